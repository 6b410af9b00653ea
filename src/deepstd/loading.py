"""Scans for training: real-world values and affine of a .dstd file, for the readers of others.

.dstd file ─ decompress ─ slope, intercept ─▶ values, affine ─▶ monai, torchio, nnunet, torch
"""

from __future__ import annotations

import multiprocessing
import os
from contextlib import nullcontext

import numpy as np

from deepstd import api, io
from deepstd.inspection import AUTO
from deepstd.threads import limited_to

SUFFIX = ".dstd"


def load(
    path: str | os.PathLike[str], model: str = AUTO, device: str = "cpu"
) -> tuple[np.ndarray, np.ndarray | None]:
    """Restore a scan as training reads it.

    A process that another one started, such as a worker of a data loader, uses one thread: its
    siblings use the other cores.

    Args:
        path: path or URL of a .dstd file.
        model: name or folder of the model bundle; "auto" finds the bundle that the file names.
        device: "cpu", "cuda" or "cuda:N". Workers that were forked cannot use a GPU.

    Returns:
        real-world values such as HU, shape (I, J), (I, J, K) or (I, J, K, T), in the machine's byte
        order; and the voxel-to-world matrix, (4, 4), RAS+ in millimetres, or None.

    Raises:
        ContainerError: the source is no .dstd file, or damaged.
        BundleError: the bundle is not installed, or damaged.
    """
    is_worker = multiprocessing.parent_process() is not None
    with limited_to(1) if is_worker else nullcontext():
        volume = io.real_world(api.decompress(path, model=model, device=device))
    voxels = volume.voxels
    return voxels.astype(voxels.dtype.newbyteorder("="), copy=False), volume.affine
