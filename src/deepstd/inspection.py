"""Contents of a .dstd file, read without torch.

file, URL or standard input ─ parse ─▶ sizes, bundle, quality, notes, sections
errors of stored values ─ slope and unit of the source header ─▶ errors of real-world values
"""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from deepstd import io
from deepstd.container import (
    MAX_HEADER_BYTES,
    NO_BUNDLE,
    Beginning,
    Container,
    Description,
    parse,
    parse_head_only,
    read_beginning,
)
from deepstd.errors import BundleMismatchError, BundleNotFoundError, DamagedError, InputError
from deepstd.reports import Asked, FileInfo

if TYPE_CHECKING:
    from deepstd.bundle import Bundle

AUTO = "auto"
"""Name that stands for the bundle of a file, or for all bundles that suit a scan."""

# Enough for the header, which bounds the size of the rest.
_FIRST_BYTES = 1 << 16
_PIECE = 1 << 22  # bytes of a read
_MOST_BYTES = 1 << 31
_FIELD = "SHAP"  # section of a deformation field


def read_container(source: str | os.PathLike[str], *, lossy_suffices: bool = False) -> Container:
    """Read and parse a .dstd file.

    Args:
        source: path or URL of the file, or "-" for standard input.
        lossy_suffices: True to keep the error of a damaged exact part in the result.

    Raises:
        ContainerError: the source is no .dstd file, damaged, or does not end.
        InputError: the source cannot be read.
        MissingExtraError: a package for the URL's scheme is not installed.
    """
    data, name = read_bytes(source)
    return parse(data, name, lossy_suffices=lossy_suffices)


def read_bytes(source: str | os.PathLike[str]) -> tuple[bytes | memoryview, str]:
    """Read the bytes of a .dstd file; return them with the file's name for messages.

    Args:
        source: path or URL of the file, or "-" for standard input.

    Raises:
        ContainerError: the source is no .dstd file, or does not end.
        InputError: the source cannot be read.
        MissingExtraError: a package for the URL's scheme is not installed.
    """
    place = io.location(source)
    name = _name_of(place)
    with io.incoming(place) as stream:
        if Path(place).is_file():
            return stream.read(), name
        return _bounded(stream, name), name


def read_first_levels(source: str | os.PathLike[str]) -> Beginning:
    """Read the first part of a .dstd file, which a preview needs; the rest may be missing.

    Args:
        source: path or URL of the file, or "-" for standard input.

    Raises:
        ContainerError: the source is no .dstd file, damaged, or ends before the textures.
        InputError: the source cannot be read.
        MissingExtraError: a package for the URL's scheme is not installed.
    """
    place = io.location(source)
    with io.incoming(place) as stream:
        return read_beginning(stream, _name_of(place))


def _name_of(place: str) -> str:
    return "standard input" if place == io.STREAM else io.shown(place)


def _bounded(stream: BinaryIO, name: str) -> memoryview:
    """Read all bytes of a stream; raise a DamagedError beyond the size that its header allows."""
    data = bytearray()
    while len(data) < _FIRST_BYTES and (piece := stream.read(_FIRST_BYTES - len(data))):
        data += piece
    head = parse_head_only(bytes(data), name)
    most = min(2 * head.stored_bytes + MAX_HEADER_BYTES + _FIRST_BYTES, _MOST_BYTES)
    while piece := stream.read(_PIECE):
        data += piece
        if len(data) > most:
            raise DamagedError(
                f"{name}: goes on after {most} bytes, more than such a scan can need. It is damaged"
            )
    return memoryview(data)


def error_scale_of(container: Description) -> io.ErrorScale:
    """Return slope and unit by which errors of a file's stored values are reported.

    Raises:
        DamagedError: the header of the original scan is damaged.
    """
    try:
        return io.error_scale_of(container.source_header())
    except InputError as error:
        raise DamagedError(
            f"{container.name}: the header of the original scan is damaged: {error}"
        ) from error


def quality_of(container: Description) -> dict[str, float] | None:
    """Return the metrics "mae", "max_error", "psnr" and "ssim" that a file states, or None.

    The file states errors of stored values; they are returned as errors of real-world values.

    Raises:
        DamagedError: the header of the original scan is damaged.
    """
    quality = container.head.quality
    if quality is None:
        return None
    return asdict(quality.scaled(error_scale_of(container).slope))


def asked_of(container: Description) -> Asked | None:
    """Return the quality that was asked for, and what was reached; None where none was.

    Raises:
        DamagedError: the header of the original scan is damaged.
    """
    goal, quality = container.head.goal, container.head.quality
    if goal is None or quality is None:
        return None
    slope = error_scale_of(container).slope
    return Asked(
        goal.measure, goal.value, goal.reached(quality, slope), goal.kept_by(quality, slope)
    )


def smallest_of(container: Description) -> tuple[str | None, float | None]:
    """Return the smallest type that holds every voxel, and the compression ratio in that type.

    Both are None if the stored type has at most 2 bytes, or is the smallest type already.
    """
    smallest, head = container.smallest, container.head
    if smallest is None:
        return None, None
    nbytes = head.voxel_count * smallest.itemsize
    return (
        (smallest.name, nbytes / container.nbytes) if nbytes < head.stored_bytes else (None, None)
    )


def notes_of(container: Description) -> tuple[str, ...]:
    """Return the notes on a compressed scan: on its stored type, then the notes in the file."""
    smallest, ratio = smallest_of(container)
    if smallest is None or ratio is None:
        return container.notes
    head = container.head
    bpv = 8 * container.nbytes / head.voxel_count
    stored_ratio = head.stored_bytes / container.nbytes
    on_type = (
        f"{stored_ratio:.2f}:1 of {head.dtype.name} is {ratio:.2f}:1 of {smallest}, which holds "
        f"every value; {bpv:.4f} bits per voxel"
    )
    layered = isinstance(container, Container) and container.exact_part is not None
    if head.bundle != NO_BUNDLE and not layered:  # else there was no such size to ask for
        on_type += (
            f". For {stored_ratio:.0f}:1 of {smallest} ask for --ratio "
            f"{stored_ratio**2 / ratio:.0f}"
        )
    return on_type, *container.notes


def figures_of(container: Container) -> dict[str, Any]:
    """Return the entries of a file in the ledger of a batch: plain values, without unknown ones.

    "mae" and "max_error" are errors of real-world values; "slope" is real-world units of one stored
    unit. Ledger lines of earlier releases have no slope: their errors are of stored values.

    Raises:
        DamagedError: the header of the original scan is damaged.
    """
    head, scale = container.head, error_scale_of(container)
    smallest, smallest_ratio = smallest_of(container)
    entries = {
        "format": head.source_format,
        "dtype": head.dtype.newbyteorder("=").name,
        "voxels": head.voxel_count,
        "stored_bytes": head.stored_bytes,
        "file_bytes": container.nbytes,
        "ratio": head.stored_bytes / container.nbytes,
        "bpv": 8 * container.nbytes / head.voxel_count,
        "exact_bytes": container.nbytes - container.lossy_nbytes or None,
        "smallest_dtype": smallest,
        "smallest_ratio": smallest_ratio,
        "bundle": f"{head.bundle.name} {head.bundle.version}",
        **(quality_of(container) or {}),
        "slope": scale.slope,
        "unit": scale.unit,
        "notes": list(notes_of(container)) or None,
    }
    return {key: value for key, value in entries.items() if value is not None}


def info(source: str | os.PathLike[str]) -> FileInfo:
    """Return what a .dstd file holds: shape, type, sizes, bundle, quality, notes and sections.

    The file is read and its checksums are checked. Nothing is decoded, no model bundle is needed.

    Args:
        source: path or URL of a .dstd file, or "-" for standard input.

    Raises:
        ContainerError: the source is no .dstd file, or damaged.
        InputError: the source cannot be read.
        MissingExtraError: a package for the URL's scheme is not installed.
    """
    return info_of(read_container(source))


def info_of(container: Container) -> FileInfo:
    """Return what a parsed file holds.

    Raises:
        DamagedError: the header of the original scan is damaged.
    """
    head, scale = container.head, error_scale_of(container)
    smallest, smallest_ratio = smallest_of(container)
    return FileInfo(
        file=container.name,
        file_bytes=container.nbytes,
        source_format=head.source_format,
        shape=head.shape,
        dtype=head.dtype.name,
        byte_order="big" if head.dtype.byteorder == ">" else "little",
        voxels=head.voxel_count,
        stored_bytes=head.stored_bytes,
        ratio=head.stored_bytes / container.nbytes,
        bpv=8 * container.nbytes / head.voxel_count,
        smallest_dtype=smallest,
        smallest_ratio=smallest_ratio,
        bundle=head.bundle,
        quality=None if head.quality is None else head.quality.scaled(scale.slope),
        slope=scale.slope,
        unit=scale.unit,
        notes=notes_of(container),
        field_bytes=sum(s.nbytes for s in container.sections if s.name == _FIELD),
        registration=head.registration,
        digest=container.digest,
        sections=container.sections,
        lossless=container.lossless,
        asked=asked_of(container),
        exact_bytes=container.nbytes - container.lossy_nbytes,
        lossy_ratio=head.stored_bytes / container.lossy_nbytes,
    )


def bundle_for(container: Beginning, model: str) -> Bundle:
    """Load the bundle of a file.

    Args:
        container: the parsed file.
        model: name or folder of a bundle; "auto" for the installed bundle that the file names.

    Raises:
        BundleMismatchError: the file was written with another bundle, or its bundle is not
            installed.
        BundleError: the bundle is missing or damaged.
    """
    from deepstd import bundle as bundles  # not at the top: `info` does without

    if model != AUTO:
        bundle = bundles.load(bundles.find(model))
        if bundle.reference != container.head.bundle:
            raise mismatch(container)
        return bundle
    try:
        return bundles.load_exact(container.head.bundle)
    except BundleNotFoundError as error:
        raise BundleMismatchError(f"{container.name}: {error}") from error


def mismatch(container: Beginning) -> BundleMismatchError:
    """Return the error for a file that was written with another bundle than the one at hand."""
    wanted = container.head.bundle
    return BundleMismatchError(
        f"{container.name} was written with the bundle {wanted.name} {wanted.version} "
        f"({wanted.digest.hex()}), which is not the one at hand. Get its folder "
        f"from where the file was written and give it with -m FOLDER; `deepstd model show "
        f"{wanted.name}` shows the installed one."
    )
