"""Copies of a network on several devices, and the number types of the computation there."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import nn

from deepstd.devices import Device, Workers

_Module = TypeVar("_Module", bound=nn.Module)


def replicas(network: _Module, workers: Workers) -> dict[Device, _Module]:
    """Copy a network, which is on the first device of the workers, to their other devices."""
    copies = {workers.first: network}
    for device in workers.devices:
        if device not in copies:
            copies[device] = deepcopy(network).to(str(device))
    return copies


def torch_device(device: Device) -> torch.device:
    """Return torch's object of a device."""
    return torch.device(str(device))


@dataclass(frozen=True)
class Arithmetic:
    """Device and number types of a computation.

    Attributes:
        device: device of all tensors.
        network_dtype: type of the entropy model's activations, float32 or float64; both give the
            same integers, float32 at half the time.
        dtype: type of reconstructions; float64 is exact, float32 is enough for training.
    """

    device: torch.device
    network_dtype: torch.dtype = torch.float32
    dtype: torch.dtype = torch.float64

    @staticmethod
    def on(device: torch.device, network_dtype: torch.dtype | None = None) -> Arithmetic:
        """Return the exact arithmetic of encoders and decoders on a device.

        Args:
            device: device of the computation.
            network_dtype: type of the entropy model's activations; None for the device's own.
        """
        return Arithmetic(device, network_dtype or network_dtype_of(device))


def network_dtype_of(device: torch.device) -> torch.dtype:
    """Return the number type of the context model's activations on a device."""
    # On a GPU the library may choose an algorithm whose intermediate sums are not whole.
    return torch.float32 if device.type == "cpu" else torch.float64
