"""Conditioning and predictions as tensors, for networks in torch.

TensorConditioning ─ step ─▶ TensorHint ◀─ Hint of the coder
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from deepstd.texture.conditioning import Hint
from deepstd.texture.entropy.features import UNITS_PER_STEP
from deepstd.texture.scaling import template_units


class TensorConditioning(NamedTuple):
    """Warped template and template coordinates (`conditioning.Conditioning`), as tensors.

    Attributes:
        template: int32 (1, 1, *shape), grey values of the template, 0 to 1023.
        places: int16 (1, ndim, *shape), template coordinates, −64 to 64 across the template.
    """

    template: torch.Tensor
    places: torch.Tensor


class TensorHint(NamedTuple):
    """Prediction of a batch of scans (`texture.conditioning.Hint`), as tensors.

    Attributes:
        units: predicted values, (B, 1, *shape) whole numbers in 1/64 step; the autoencoder also
            predicts latents, (B, bands, *grid).
        places: coordinates for the context model, (B, ndim, *shape) whole numbers −64 … 64.
    """

    units: torch.Tensor
    places: torch.Tensor

    @property
    def steps(self) -> torch.Tensor:
        """Predicted values in steps."""
        return self.units * (1.0 / UNITS_PER_STEP)


def tensor_hint(conditioning: TensorConditioning | None, step_code: int) -> TensorHint | None:
    """Return the prediction from a warped template, on its device; None without a template.

    Args:
        conditioning: warped template and coordinates, or None.
        step_code: code of the quantisation step.
    """
    if conditioning is None:
        return None
    template = conditioning.template
    units = torch.from_numpy(template_units(template.cpu().numpy(), step_code))
    return TensorHint(units.to(template.device), conditioning.places)


def tensors_of(hint: Hint, device: torch.device | str) -> TensorHint:
    """Convert a prediction of the coder to tensors on a device."""
    units, places = (torch.from_numpy(part).to(device) for part in hint)
    return TensorHint(units, places)
