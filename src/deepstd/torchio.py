"""Reader of .dstd files for TorchIO.

torchio.ScalarImage("scan.dstd", reader=deepstd.torchio.read) ─ read ─▶ (C, W, H, D), affine
"""

from __future__ import annotations

import os

import numpy as np

from deepstd.loading import load


def read(path: str | os.PathLike[str]) -> tuple[np.ndarray, np.ndarray]:
    """Restore a scan as TorchIO's images expect it.

    Args:
        path: path of a .dstd file.

    Returns:
        real-world values, (channels, width, height, depth), where frames are channels; and the
        voxel-to-world matrix, (4, 4), RAS+ in millimetres, the identity without geometry.

    Raises:
        ContainerError: the source is no .dstd file, or damaged.
        BundleError: the bundle is not installed, or damaged.
    """
    values, affine = load(path)
    if values.ndim == 2:
        values = values[..., np.newaxis]
    channels = values[np.newaxis] if values.ndim == 3 else np.moveaxis(values, -1, 0)
    return np.ascontiguousarray(channels), np.eye(4) if affine is None else affine
