"""Affine of a part of a scan: every n-th voxel from some voxel on.

affine, indices along each axis ─▶ affine of the part
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def moved(affine: np.ndarray, spans: Sequence[range]) -> np.ndarray:
    """Return the voxel-to-world matrix of a part of a scan, (4, 4).

    Args:
        affine: voxel-to-world matrix of the scan, (4, 4).
        spans: indices along each axis, ascending; a fourth axis does not matter.
    """
    part = np.eye(4)
    for axis, span in enumerate(spans[:3]):
        part[axis, axis], part[axis, 3] = span.step, span.start
    return affine @ part
