"""Scans as callers give them: paths, volumes, arrays.

path or URL, several paths ─ io.read ───┐
array, affine ─ as_volume ──────────────┼▶ Volume
Volume ─────────────────────────────────┘
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TypeGuard, cast

import numpy as np

from deepstd import io
from deepstd.errors import InputError
from deepstd.io import KeptMetadata, Metadata
from deepstd.volume import SupportsArray, Volume, as_volume

PathLike = str | os.PathLike[str]
Paths = PathLike | Sequence[PathLike]
Source = Paths | Volume | SupportsArray


def in_memory(source: Source) -> TypeGuard[Volume | SupportsArray]:
    """Return True for a volume or an array, False for paths."""
    return hasattr(source, "__array__") and not isinstance(source, str | os.PathLike)


def paths_of(source: Source) -> list[PathLike]:
    """Return the paths and URLs of a scan; none for a scan in memory."""
    if in_memory(source):
        return []
    paths = cast("Paths", source)
    return [paths] if isinstance(paths, str | os.PathLike) else list(paths)


def name_of(source: Source) -> str:
    """Return the name of a scan in messages: its first path, or its kind where it has none."""
    if in_memory(source):
        return "the volume" if isinstance(source, Volume) else "the array"
    paths = paths_of(source)
    if not paths:
        return "the scan"
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return io.shown(io.location(paths[0])) + more


def check_options(
    source: Source,
    affine: np.ndarray | None,
    series: str | None,
    metadata: KeptMetadata = Metadata.DEIDENTIFIED,
) -> None:
    """Raise an InputError where an option does not apply to the kind of a source.

    Args:
        source: paths, a volume or an array.
        affine: of an array.
        series, metadata: of paths, as for `io.read`.
    """
    if not in_memory(source):
        if affine is not None:
            raise InputError(
                f"{name_of(source)}: a file has a geometry of its own. Give an affine with an "
                "array only"
            )
        return
    if series is not None:
        raise InputError(f"{name_of(source)}: only DICOM files have series: leave out {series}")
    if metadata is not Metadata.DEIDENTIFIED:
        raise InputError(
            f"{name_of(source)}: metadata are chosen when a scan is read. Give metadata to "
            "deepstd.read"
        )


def load(
    source: Source,
    affine: np.ndarray | None = None,
    *,
    series: str | None = None,
    metadata: KeptMetadata = Metadata.DEIDENTIFIED,
    progress: Callable[[str], None] = lambda message: None,
) -> Volume:
    """Return the volume of a source: read it from paths, or take it from memory.

    Args:
        source: path or URL, several paths, a volume, or an array of 2 to 4 axes.
        affine: voxel-to-world matrix of an array, (4, 4), RAS+ in millimetres; None for none.
        series: id of a DICOM series, where the paths hold several.
        metadata: information of the file that its header keeps.
        progress: called with a sentence while a URL is fetched.

    Raises:
        InputError: the scan cannot be read or used.
        MissingExtraError: an optional dependency is needed to read it.
    """
    if in_memory(source):
        return as_volume(source, affine)
    return io.read(paths_of(source), series=series, metadata=metadata, progress=progress)


def apart(paths: Sequence[PathLike], output: PathLike) -> str:
    """Return the location of an output; raise an InputError where it is an input."""
    place = io.location(output)
    if any(io.is_same(io.location(path), place) for path in paths):
        raise InputError(f"{io.shown(place)}: is the input. Choose another output")
    return place
