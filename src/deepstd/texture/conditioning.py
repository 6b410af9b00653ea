"""Conditioning: predictions that encoder and decoder give to the networks alike.

warped template or reference slices, coordinates, step ─▶ Hint, in units of 1/64 step
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from deepstd.texture.scaling import template_units


@dataclass(frozen=True)
class Hint:
    """What is known of scans before they are decoded: their warped template, or neighbours.

    Attributes:
        units: values to expect, (B, 1, *shape) whole numbers in units of 1/64 step.
        places: what the context model is told beside them, (B, ndim, *shape) whole numbers from
            −64 to 64; of a template its coordinates.
    """

    units: torch.Tensor
    places: torch.Tensor

    def row(self, number: int) -> Hint:
        """That of one scan of the batch."""
        return Hint(self.units[number : number + 1], self.places[number : number + 1])


def hint_of(
    template: torch.Tensor | None, places: torch.Tensor | None, step_code: int
) -> Hint | None:
    """A warped template (whole numbers 0 … 1023) and its coordinates as a hint."""
    if template is None or places is None:
        return None
    return Hint(template_units(template, step_code), places)
