"""Scans in HDF5 files: MINC 2, fastMRI, or any dataset by its name.

    scan.h5[::NAME] ─┬ group minc-2.0 ───────────────▶ minc.read_hdf5
                     ├ arrays of fastMRI, header ────▶ fastmri.read
                     └ the dataset that is a scan ───▶ Volume (affine None) as of a .npy file

A plain dataset comes back as .npy, in the order of its axes. Attributes and other datasets are not
kept.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from deepstd.errors import InputError
from deepstd.io import array, fastmri, hdf5, minc, parts
from deepstd.io.others import FILE
from deepstd.volume import Volume

if TYPE_CHECKING:
    from pathlib import Path


def read(path: Path) -> Volume:
    """Read a scan of an HDF5 file.

    Args:
        path: the file, or file::name for one of its datasets.

    Raises:
        UnsupportedFormatError: no scan, or values that lie in other files.
        InputError: several datasets can be the scan, or the file is damaged.
        MissingExtraError: h5py is not installed.
    """
    place, asked = parts.split(path)
    with hdf5.opened(place) as file:
        if not asked and hdf5.find(file, minc.ROOT) is not None:
            return minc.read_hdf5(file)
        layout = fastmri.layout_of(file, asked)
        if layout is not None:
            return fastmri.read(layout)
        found, others = _chosen(file, asked)
        volume = Volume(hdf5.values(found))
    return replace(volume, notes=others)


def declares(path: Path) -> tuple[tuple[int, ...], np.dtype]:
    """Return the shape and type of the voxels that `read` returns.

    Raises:
        UnsupportedFormatError: no scan, or values that lie in other files.
        InputError: several datasets can be the scan, or the file is damaged.
        MissingExtraError: h5py is not installed.
    """
    place, asked = parts.split(path)
    with hdf5.opened(place) as file:
        if not asked and hdf5.find(file, minc.ROOT) is not None:
            return minc.declares_hdf5(file)
        layout = fastmri.layout_of(file, asked)
        if layout is not None:
            return layout.shape, layout.dtype
        found, _ = _chosen(file, asked)
        return hdf5.shape_of(found), found.dtype


def _chosen(file: Any, asked: str) -> tuple[Any, tuple[str, ...]]:
    """Return the dataset that is asked for, or the only one that can be a scan, and notes."""
    notes: tuple[str, ...] = ()
    if asked:
        found = hdf5.find(file, asked)
        if found is None or not hasattr(found, "dtype"):
            names = ", ".join(map(parts.told, list(hdf5.arrays(file))[:8])) or "none"
            what = "no dataset" if found is None else "a group, not a dataset:"
            raise InputError(f"{what} {parts.told(asked)} is in it. Its datasets: {names}")
        name = asked
    else:
        every = hdf5.arrays(file)
        described = {name: (hdf5.shape_of(one), one.dtype) for name, one in every.items()}
        name = next(iter(every)) if len(every) == 1 else parts.only_scan(described)
        found, notes = every[name], parts.left_out(every, name)
    loaded = f"h5py.File('{FILE}')['{parts.quoted(name)}'][()]"
    array.check(hdf5.shape_of(found), found.dtype, loaded)
    hdf5.check_stored(found)
    return found, notes
