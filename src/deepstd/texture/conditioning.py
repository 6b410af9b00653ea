"""Predictions that encoder and decoder share.

warped template or reference slices, coordinates, step ─▶ Hint, in units of 1/64 step
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from deepstd.conditioning import Conditioning
from deepstd.texture.scaling import template_units


class Hint(NamedTuple):
    """Prediction of a batch of scans: from a warped template, or from reference slices.

    Attributes:
        units: predicted values, (B, 1, *shape) whole numbers in 1/64 step.
        places: coordinates for the context model, (B, ndim, *shape) whole numbers −64 … 64. With a
            template, they are template coordinates; with reference slices, distance and
            difference of the references.
    """

    units: np.ndarray
    places: np.ndarray

    def row(self, number: int) -> Hint:
        """Return the prediction of one scan of the batch."""
        return Hint(self.units[number : number + 1], self.places[number : number + 1])


def hint_of(conditioning: Conditioning | None, step_code: int) -> Hint | None:
    """Return the prediction from a warped template; None without a template.

    Args:
        conditioning: warped template and coordinates, or None.
        step_code: code of the quantisation step.
    """
    if conditioning is None:
        return None
    return Hint(template_units(conditioning.template, step_code), conditioning.places)
