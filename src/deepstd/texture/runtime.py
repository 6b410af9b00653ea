"""Copies of a network on the devices that compute, and the type that they compute in."""

from __future__ import annotations

from copy import deepcopy
from typing import TypeVar

import torch
from torch import nn

from deepstd.devices import Workers

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
