"""Storage of a network in a bundle: exact layers as integers, the rest in half precision.

network, tables ─ pack ─▶ named arrays ─ unpack ─▶ network that codes as before, tables
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from deepstd.coding.tables import ScaleTables
from deepstd.errors import BundleError
from deepstd.texture.entropy.integer import WholeConv
from deepstd.texture.networks.integer import ExactConv


def pack(network: nn.Module, tables: ScaleTables) -> dict[str, np.ndarray]:
    """Return the arrays of a network and its frequency tables, by name."""
    stored: dict[str, np.ndarray] = {"tables": tables.to_array()}
    for name, layer in _exact_layers(network).items():
        for part, values in layer.to_integers().items():
            stored[f"{name}.{part}"] = values.cpu().numpy()
    for name, values in _other_parameters(network).items():
        stored[name] = values.detach().cpu().to(torch.float16).numpy()
    return stored


def unpack(network: nn.Module, stored: Mapping[str, np.ndarray]) -> ScaleTables:
    """Load stored arrays into a network of the same sizes, ready to code; return its tables.

    Args:
        network: the network to fill.
        stored: arrays by name, from `pack`.

    Raises:
        BundleError: an array is missing, left over or does not fit.
    """
    tensors = {name: torch.from_numpy(np.array(values)) for name, values in stored.items()}
    try:
        tables = ScaleTables.from_array(stored["tables"])
        for name, layer in _exact_layers(network).items():
            ndim = layer.weight.ndim - 2
            layer.load_integers(WholeConv.from_arrays(stored, name, layer.size, ndim))
        with torch.no_grad():
            for name, parameter in _other_parameters(network).items():
                if tensors[name].shape != parameter.shape:
                    raise BundleError(
                        f"{name} has shape {tuple(tensors[name].shape)}: expected "
                        f"{tuple(parameter.shape)}"
                    )
                parameter.copy_(tensors[name].float())
        expected = pack(network, tables).keys()
        if left_over := sorted(tensors.keys() - expected):
            raise BundleError(f"the texture network has no place for {left_over[0]}")
    except (KeyError, RuntimeError) as error:
        raise BundleError(f"the texture network is incomplete: {error}") from error
    network.eval().requires_grad_(False)
    return tables


def _exact_layers(network: nn.Module) -> dict[str, ExactConv]:
    return {n: m for n, m in network.named_modules() if isinstance(m, ExactConv)}


def _other_parameters(network: nn.Module) -> dict[str, nn.Parameter]:
    exact = {f"{name}." for name in _exact_layers(network)}
    return {
        name: parameter
        for name, parameter in network.named_parameters()
        if f"{name.rpartition('.')[0]}." not in exact
    }
