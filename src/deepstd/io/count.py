"""Counts of the samples in a scan's files, made without the readers of this package.

path ─ walk of TIFF, nibabel, NumPy, pydicom ─▶ number of samples, or None where nothing counts them

A reader that loses slices loses them both on compressing and on verifying. Only a count made
without that reader notices. NRRD and MetaImage are left out: their sizes are compared with
SimpleITK's on every read.
"""

from __future__ import annotations

import hashlib
import math
import os
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from deepstd.errors import InputError
from deepstd.io import (
    archive,
    array,
    hdf5,
    image,
    mgh,
    minc,
    nifti,
    parrec,
    parts,
    streams,
    tiff,
    tiff_count,
)
from deepstd.io.dicom.items import ZIP_MAGIC, Item, begins_as_dicom, expanded
from deepstd.io.formats import header_beside
from deepstd.io.locations import is_url, location, shown
from deepstd.volume import Volume

PathLike = str | os.PathLike[str]
_OF_IMAGES = (*image.SUFFIXES, *tiff.SUFFIXES)
_NIBABEL_SUFFIXES = (".nii", ".nii.gz", ".hdr", ".mgh", ".mgz", ".mnc", ".par")
_MOSAIC = "MOSAIC"
_SEGMENTATION = "SEG"


def check_complete(
    source: PathLike | Sequence[PathLike], volume: Volume, series: str | None = None
) -> None:
    """Raise an InputError where a scan's files hold more samples than a volume.

    The samples are counted without the readers of this package (see `count`). Sources behind a URL
    are not counted.

    Args:
        source: file or folder of the scan, or several files of one scan.
        volume: the scan, as it was read or restored.
        series: id of one DICOM series in the source; such a scan is not counted.
    """
    sources = [source] if isinstance(source, str | os.PathLike) else list(source)
    places = [location(one) for one in sources]
    if any(map(is_url, places)):
        return
    counted = count_samples([Path(place) for place in places], series)
    if counted is not None and counted > volume.voxels.size:
        raise InputError(
            f"{shown(places[0])}: holds {counted} samples, the compressed scan {volume.voxels.size}"
            ": slices were lost. Keep the original, and please report this with `deepstd doctor`"
        )


def count_samples(paths: Sequence[Path], series: str | None = None) -> int | None:
    """Return the number of samples in the files of one scan, or None where it is unknown.

    Args:
        paths: local files or folders of the scan.
        series: id of one DICOM series in the files; such a scan is not counted.
    """
    path = header_beside(paths[0])
    if parts.split(path)[1]:
        return None  # one array of several
    if len(paths) > 1 or (path.is_dir() and not _holds_images(path)) or _is_dicom(path):
        return None if series is not None else _of_dicom(paths)
    if path.is_dir():
        counts = [_of_file(entry) for entry in path.iterdir() if not entry.name.startswith(".")]
        return sum(count or 0 for count in counts)
    return _of_file(path)


def _holds_images(folder: Path) -> bool:
    return any(entry.suffix.lower() in _OF_IMAGES for entry in folder.iterdir())


def _is_dicom(path: Path) -> bool:
    if not path.is_file():
        return False
    with open(path, "rb") as stream:
        head = stream.read(4096)
    is_zip = head.startswith(ZIP_MAGIC) and not archive.recognises(head)
    return is_zip or begins_as_dicom(head)


def _of_file(path: Path) -> int | None:
    head = streams.head(path, 4096)
    for recognises, count in _COUNTERS:
        if recognises(head):
            return count(path)
    return None


def _by_nibabel(path: Path) -> int | None:
    """Count the voxels in the shape that nibabel reads.

    nibabel goes by the suffix, so files without a suffix that it knows are not counted.
    """
    import nibabel

    if not path.name.lower().endswith(_NIBABEL_SUFFIXES):
        return None
    with (
        suppress(Exception),
        warnings.catch_warnings(),
    ):  # files that nibabel refuses are not counted
        warnings.simplefilter("ignore")  # told when the scan was read
        shape: Any = nibabel.load(path).shape  # pyright: ignore[reportAttributeAccessIssue, reportPrivateImportUsage]
        return math.prod(max(int(n), 1) for n in shape)
    return None


def _by_numpy(path: Path) -> int:
    return int(np.load(path, mmap_mode="r", allow_pickle=False).size)


def _by_header(path: Path) -> int:
    """Count the pixels of a PNG file by its IHDR chunk."""
    with open(path, "rb") as stream:
        header = stream.read(24)
    return int.from_bytes(header[16:20], "big") * int.from_bytes(header[20:24], "big")


_COUNTERS: tuple[tuple[Callable[[bytes], bool], Callable[[Path], int | None]], ...] = (
    (tiff.recognises, tiff_count.count),
    (image.recognises, _by_header),
    (array.recognises, _by_numpy),
    (nifti.recognises, _by_nibabel),
    (mgh.recognises, _by_nibabel),
    (minc.recognises, _by_nibabel),
    (hdf5.recognises, _by_nibabel),
    (parrec.recognises, _by_nibabel),
)


def _of_dicom(paths: Sequence[Path]) -> int | None:
    """Count the pixels of grey images; identical copies of an object count once."""
    counted: dict[tuple[str, str, bytes], int] = {}
    with expanded(paths) as items:
        for item in items:
            if not begins_as_dicom(item.head()):
                continue
            try:
                key, count = _of_object(item)
            except Exception:  # pydicom raises many kinds; unreadable objects are not counted
                return None
            if count is None:
                return None
            counted[key] = count
    return sum(counted.values())


def _of_object(item: Item) -> tuple[tuple[str, str, bytes], int | None]:
    """Return a key that copies of an object share, and its number of pixels (None: unknown)."""
    from pydicom import dcmread

    with item.open() as stream:
        dataset = dcmread(stream, force=True)
    pixels = dataset.get("PixelData") or b""
    key = (
        str(dataset.get("SOPInstanceUID", item.label)),
        str(dataset.get("ImagePositionPatient", "")),
        hashlib.sha256(pixels).digest(),
    )
    grey = int(dataset.get("SamplesPerPixel", None) or 1) == 1
    if not pixels or not grey:
        return key, 0
    if dataset.get("Modality") == _SEGMENTATION:
        return key, None  # frames of several segments may share a slice
    if _MOSAIC in (dataset.get("ImageType") or []):
        return key, None  # some of its tiles may be empty
    frames = int(dataset.get("NumberOfFrames", None) or 1)
    return key, frames * int(dataset.Rows) * int(dataset.Columns)
