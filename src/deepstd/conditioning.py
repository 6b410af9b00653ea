"""Conditioning: what the shape stage gives the texture stage of every frame.

    shape: template, field ─ warp ─▶ Conditioning ─▶ texture: prediction in steps

All values are integers, so encoder and decoder see the same on every machine.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Conditioning(NamedTuple):
    """Warped template and template coordinates of a scan's voxels.

    Attributes:
        template: int32 (1, 1, *shape), grey values of the template, 0 to 1023.
        places: int16 (1, ndim, *shape), template coordinates, −64 to 64 across the template.
    """

    template: np.ndarray
    places: np.ndarray
