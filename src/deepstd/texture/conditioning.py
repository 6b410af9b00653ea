"""What encoder and decoder give to the networks, and must give alike.

template, places, step ─▶ Hint ─▶ template pyramid        network ─▶ a copy on each device
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import nn

from deepstd.devices import Workers
from deepstd.texture.entropy.context import condition_vector
from deepstd.texture.scaling import log_rate, template_units
from deepstd.texture.wavelet.levels import TemplatePyramid, template_pyramid
from deepstd.texture.wavelet.lifting import Plan
from deepstd.texture.wavelet.network import TextureNetwork

_Module = TypeVar("_Module", bound=nn.Module)


def replicas(network: _Module, workers: Workers) -> dict[torch.device, _Module]:
    """The network on every device of the workers; it is on the first."""
    copies = {workers.first: network}
    for device in workers.devices:
        if device not in copies:
            copies[device] = deepcopy(network).to(device)
    return copies


def network_dtype_of(device: torch.device) -> torch.dtype:
    """Type that the context model computes in."""
    # On a GPU the library may choose an algorithm whose intermediate sums are not whole.
    return torch.float32 if device.type == "cpu" else torch.float64


def condition_of(network: TextureNetwork, step_code: int, plan: Plan) -> torch.Tensor:
    """What the post-filter is told, (1, conditions, 1 …)."""
    axes = plan[0] if plan else ()
    return condition_vector(network.context.config, log_rate(step_code), axes, 0)


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

    def pyramid(self, plan: Plan) -> TemplatePyramid:
        """The hint level by level."""
        return template_pyramid(self.units, self.places.to(self.units.dtype), plan)


def hint_of(
    template: torch.Tensor | None, places: torch.Tensor | None, step_code: int
) -> Hint | None:
    """A warped template (whole numbers 0 … 1023) and its coordinates as a hint."""
    if template is None or places is None:
        return None
    return Hint(template_units(template, step_code), places)
