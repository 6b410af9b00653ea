"""Copies of a network on several devices, and the number type of the entropy model there."""

from __future__ import annotations

from copy import deepcopy
from typing import TypeVar

import torch
from torch import nn

from deepstd.devices import Workers

_Module = TypeVar("_Module", bound=nn.Module)


def replicas(network: _Module, workers: Workers) -> dict[torch.device, _Module]:
    """Copy a network, which is on the first device of the workers, to their other devices."""
    copies = {workers.first: network}
    for device in workers.devices:
        if device not in copies:
            copies[device] = deepcopy(network).to(device)
    return copies


def network_dtype_of(device: torch.device) -> torch.dtype:
    """Return the number type of the context model's activations on a device."""
    # On a GPU the library may choose an algorithm whose intermediate sums are not whole.
    return torch.float32 if device.type == "cpu" else torch.float64
