"""What a .dstd file says of itself, read without torch.

file, URL or standard input ─ parse ─▶ sizes, bundle, quality, sections
"""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from deepstd import io
from deepstd.container import (
    MAX_HEADER_BYTES,
    Beginning,
    Container,
    parse,
    parse_head_only,
    read_beginning,
)
from deepstd.errors import BundleMismatchError, BundleNotFoundError, DamagedError

if TYPE_CHECKING:
    from deepstd.bundle import Bundle

# Enough for the head, which says how large the rest may be.
_FIRST_BYTES = 1 << 16
_PIECE = 1 << 22
_MOST_BYTES = 1 << 31


def read_container(source: str | os.PathLike[str]) -> Container:
    """Read and parse a .dstd file: a path, a URL, or "-" for standard input.

    Raises:
        ContainerError: it is not a .dstd file, damaged, or does not end.
        InputError: it cannot be read.
        MissingExtraError: a package for the URL's scheme is not installed.
    """
    place = io.location(source)
    name = _name_of(place)
    with io.incoming(place) as stream:
        if Path(place).is_file():
            return parse(stream.read(), name)
        return parse(_bounded(stream, name), name)


def read_first_levels(source: str | os.PathLike[str]) -> Beginning:
    """As much of a .dstd file as a preview needs; the rest need not be there.

    Raises:
        ContainerError: it is not a .dstd file, damaged, or ends before.
        InputError: it cannot be read.
        MissingExtraError: a package for the URL's scheme is not installed.
    """
    place = io.location(source)
    with io.incoming(place) as stream:
        return read_beginning(stream, _name_of(place))


def _name_of(place: str) -> str:
    return "standard input" if place == io.STREAM else io.shown(place)


def _bounded(stream: BinaryIO, name: str) -> memoryview:
    """All bytes of a stream, as long as its head makes it plausible that they are one file."""
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


def quality_of(container: Container) -> dict[str, float] | None:
    """The figures "mae", "max_error", "psnr" and "ssim" that a file states, or None."""
    quality = container.head.quality
    if quality is None:
        return None
    return {
        "mae": quality.mae,
        "max_error": quality.max_error,
        "psnr": quality.psnr,
        "ssim": quality.ssim,
    }


def _registration_of(container: Container) -> dict[str, float] | None:
    """What a file says of its deformation fields, None where it has none."""
    fields = [s.nbytes for s in container.sections if s.name == "SHAP"]
    if not fields:
        return None
    told = container.head.registration
    return {"bytes": sum(fields), **({} if told is None else asdict(told))}


def describe(source: str | os.PathLike[str]) -> dict[str, Any]:
    """Shape, type, sizes, bundle, quality and sections of a file.

    Raises:
        ContainerError: it is not a .dstd file, or damaged.
    """
    container = read_container(source)
    head = container.head
    return {
        "file": container.name,
        "file_bytes": container.nbytes,
        "source_format": head.source_format,
        "shape": list(head.shape),
        "dtype": head.dtype.name,
        "byte_order": "big" if head.dtype.byteorder == ">" else "little",
        "voxels": head.voxel_count,
        "stored_bytes": head.stored_bytes,
        "ratio": head.stored_bytes / container.nbytes,
        "bpv": 8 * container.nbytes / head.voxel_count,
        "bundle": {
            "name": head.bundle.name,
            "version": head.bundle.version,
            "digest": head.bundle.digest.hex(),
        },
        "quality": quality_of(container),
        "registration": _registration_of(container),
        "latents_digest": container.latents_digest.hex(),
        "sections": [
            {"name": s.name, "offset": s.offset, "bytes": s.nbytes} for s in container.sections
        ],
    }


def bundle_for(container: Beginning, model: str) -> Bundle:
    """Return the bundle of a file: one given by name or folder, or else the one that it names.

    Raises:
        BundleMismatchError: the file was written with another, or its bundle is not installed.
        BundleError: the bundle is not there, or damaged.
    """
    from deepstd import bundle as bundles  # not at the top: `info` does without

    if model != "auto":
        bundle = bundles.load(bundles.find(model))
        if bundle.reference != container.head.bundle:
            raise mismatch(container)
        return bundle
    try:
        return bundles.load_exact(container.head.bundle)
    except BundleNotFoundError as error:
        raise BundleMismatchError(f"{container.name}: {error}") from error


def mismatch(container: Beginning) -> BundleMismatchError:
    """Return the error for a file whose bundle is not the one at hand."""
    wanted = container.head.bundle
    return BundleMismatchError(
        f"{container.name} was written with the bundle {wanted.name} {wanted.version} "
        f"({wanted.digest.hex()}), which is not the one at hand. Get its folder "
        f"from where the file was written and give it with -m FOLDER; `deepstd model show "
        f"{wanted.name}` shows the installed one."
    )
