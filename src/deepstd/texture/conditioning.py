"""Conditioning: predictions that encoder and decoder share.

warped template or reference slices, coordinates, step ─▶ Hint, in units of 1/64 step
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from deepstd.texture.scaling import template_units


@dataclass(frozen=True)
class Hint:
    """Prediction of a batch of scans: from a warped template, or from reference slices.

    Attributes:
        units: predicted values, (B, 1, *shape) whole numbers in 1/64 step.
        places: coordinates for the context model, (B, ndim, *shape) whole numbers −64 … 64. With a
            template, they are template coordinates; with reference slices, distance and
            difference of the references.
    """

    units: torch.Tensor
    places: torch.Tensor

    def row(self, number: int) -> Hint:
        """Return the prediction of one scan of the batch."""
        return Hint(self.units[number : number + 1], self.places[number : number + 1])


def hint_of(
    template: torch.Tensor | None, places: torch.Tensor | None, step_code: int
) -> Hint | None:
    """Return the prediction from a warped template; None without a template.

    Args:
        template: warped template, whole numbers 0 … 1023, (1, 1, *shape), or None.
        places: template coordinates, whole numbers −64 … 64, (1, ndim, *shape), or None.
        step_code: code of the quantisation step.
    """
    if template is None or places is None:
        return None
    return Hint(template_units(template, step_code), places)
