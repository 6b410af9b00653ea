"""Known kinds of files that are not read, each with advice on how to convert it.

    first bytes, name ─ refusal ─▶ UnsupportedFormatError, or None for an unknown kind

No advice changes a value: channels and parts are saved apart, packed files are unpacked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from deepstd.errors import UnsupportedFormatError

FILE = "FILE"
"""Placeholder of the file in a command."""


def by_nibabel(values: str) -> str:
    """Return a command that saves an expression of ``scan`` as NIfTI, with unchanged values."""
    return (
        f"python -c \"import nibabel, numpy; scan = nibabel.load('{FILE}'); "
        f"nibabel.save(nibabel.Nifti1Image({values}, scan.affine), 'scan.nii.gz')\""
    )


_BY_NIBABEL = by_nibabel("numpy.asarray(scan.dataobj)")
ANALYZE_ADVICE = f"Convert it to NIfTI: {_BY_NIBABEL}"


class _Kind(NamedTuple):
    """A known kind of file that is not read.

    Attributes:
        recognises: returns whether a file is of this kind, given its first bytes and lower-case
            name.
        what: description of the kind, with advice.
    """

    recognises: Callable[[bytes, str], bool]
    what: str


def _begins(*magic: bytes) -> Callable[[bytes, str], bool]:
    return lambda head, name: head.startswith(magic)


_KINDS = (
    _Kind(_begins(b"\xd5STD\r\n\n"), "a .dstd file, compressed already. Decompress it instead"),
    _Kind(_begins(b"\x28\xb5\x2f\xfd"), "packed with Zstandard. Unpack it first: zstd -d FILE"),
    _Kind(_begins(b"\xfd7zXZ\0"), "packed with xz. Unpack it first: xz -dk FILE"),
    _Kind(_begins(b"\x1f\x9d"), "packed with compress. Unpack it first: gunzip -k FILE"),
    _Kind(_begins(b"7z\xbc\xaf\x27\x1c"), "a 7-Zip archive. Unpack it first: 7z x FILE"),
    _Kind(
        lambda head, name: name.endswith((".head", ".brik", ".brik.gz")),
        "an AFNI scan. Convert it to NIfTI: 3dAFNItoNIFTI FILE",
    ),
    _Kind(_begins(b"MATRIX"), f"an ECAT scan. Convert it to NIfTI: {_BY_NIBABEL}"),
    _Kind(
        _begins(b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"),
        "a JPEG 2000 image. Unpack it: opj_decompress -i FILE -o scan.tif (comes with OpenJPEG)",
    ),
)


def refusal(head: bytes, name: str) -> UnsupportedFormatError | None:
    """Return the error for a known kind of file that is not read, else None.

    Args:
        head: first bytes of the file, unpacked.
        name: name of the file.
    """
    name = name.lower()
    for kind in _KINDS:
        if kind.recognises(head, name):
            return UnsupportedFormatError(kind.what)
    return None


def filled_in(message: str, path: str) -> str:
    """Return a message with the path of the file in its commands."""
    return message.replace(FILE, path)
