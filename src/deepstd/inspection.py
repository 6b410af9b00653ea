"""What a .dstd file says of itself, read without torch.

file ─ parse ─▶ sizes, bundle, quality, sections
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from deepstd.container import Container, parse
from deepstd.errors import InputError


def read_file(source: str | os.PathLike[str]) -> bytes:
    """Bytes of a file; InputError when it cannot be read."""
    path = Path(source)
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


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


def describe(source: str | os.PathLike[str]) -> dict[str, Any]:
    """Shape, type, sizes, bundle, quality and sections of a file.

    Raises:
        ContainerError: it is not a .dstd file, or damaged.
    """
    container = parse(read_file(source), str(source))
    head = container.head
    return {
        "file": str(source),
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
        "latents_digest": container.latents_digest.hex(),
        "sections": [
            {"name": s.name, "offset": s.offset, "bytes": s.nbytes} for s in container.sections
        ],
    }
