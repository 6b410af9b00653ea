"""Names of files in a data set: those that a batch writes, and those of restored scans.

scan ─ original_of ─▶ sub-01/anat/sub-01_T1w.nii.gz, or ct/15b3d37f/ for a DICOM series
format of a .dstd file ─ original_by_format ─▶ the same, where no table says it
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from deepstd import io
from deepstd.io import ScanSource

SUMS = "SHA256SUMS"
README = "README.deepstd.md"
TABLE = "deepstd.tsv"
REPORT = "report.html"
IGNORED = ".bidsignore"
DESCRIPTION = "dataset_description.json"
SUFFIX = ".dstd"

_OURS = re.compile(
    f"{SUMS}|{re.escape(README)}|{re.escape(TABLE)}|{re.escape(REPORT)}|ledger[-0-9of]*\\.jsonl"
)
_DICOM = ".dcm"
_NIFTI = ".nii.gz"
_NUMPY = ".npy"
# Suffixes of scans that are only read, and of those written as two files, by what is restored.
_INSTEAD = {
    ".nii.bz2": _NIFTI, ".hdr": _NIFTI, ".hdr.gz": _NIFTI,
    ".mgh": _NIFTI, ".mgz": _NIFTI, ".mgh.gz": _NIFTI, ".mnc": _NIFTI, ".par": _NIFTI,
    ".jpg": ".png", ".jpeg": ".png",
    ".npz": _NUMPY, ".h5": _NUMPY, ".hdf5": _NUMPY, ".hdf": _NUMPY,
    ".mhd": ".mha", ".nhdr": ".nrrd",
}  # fmt: skip
_BY_FORMAT = {
    "nifti1": _NIFTI, "nifti2": _NIFTI, "npy": _NUMPY, "png": ".png", "tiff": ".tif",
    "nrrd": ".nrrd", "metaimage": ".mha",
}  # fmt: skip


def is_ours(name: str) -> bool:
    """Return True for a file at the top of a data set that a batch writes itself."""
    return _OURS.fullmatch(name) is not None


def original_of(scan: ScanSource, name: str) -> str:
    """Return the path that a restored scan gets, with "/" at its end for a folder.

    Args:
        scan: source of the scan.
        name: name of its output, without the suffix.
    """
    if scan.series is None:
        return _with_suffix(name, _scan_suffix(scan.places[0].name))
    is_file = len(scan.files) == 1 and scan.name.rpartition("/")[2] == scan.places[0].name
    return _with_suffix(name, _DICOM) if is_file else f"{name}/"


def original_by_format(name: str, source_format: str) -> str:
    """Return the path that a restored scan gets, by the format that its .dstd file states."""
    suffix = _scan_suffix(name)
    if source_format == "dicom":
        return name if name.lower().endswith(_DICOM) else f"{name}/"
    if suffix and _INSTEAD.get(suffix.lower(), suffix) == suffix:
        return name
    return f"{name}{_BY_FORMAT[source_format]}" if source_format in _BY_FORMAT else f"{name}/"


def is_plain(path: str) -> bool:
    """Return True for a relative path that stays below its folder and hides nothing."""
    parts = PurePosixPath(path).parts
    strange = any(part in ("..", "~") or part.startswith("/") for part in parts)
    return bool(parts) and not strange and not re.search(r"[\\\x00-\x1f\x7f]|^[A-Za-z]:", path)


def _with_suffix(name: str, suffix: str) -> str:
    written = _INSTEAD.get(suffix.lower(), suffix)
    if name.lower().endswith(written.lower()):
        return name
    return name + written  # of a.nii.bz2 beside a.nii.gz, too, whose name has its suffix


def _scan_suffix(name: str) -> str:
    """Return the suffix of a scan as the name has it, or an empty string."""
    matching = [suffix for suffix in io.SUFFIXES if name.lower().endswith(suffix)]
    longest = max(matching, key=len, default="")
    return name[len(name) - len(longest) :] if longest else ""
