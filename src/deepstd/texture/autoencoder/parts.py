"""Analysis and synthesis tile by tile, with bounded memory and shared by devices.

    scan ─ tiles with their halo ─ network ─ crop ─▶ the result of the whole scan

This is the paper's block mode without seams: the halo of a tile is the reach of the network, and
attention windows have the positions that they have in the whole scan.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

import torch

from deepstd.conditioning import Conditioning
from deepstd.devices import Device, Workers
from deepstd.texture.autoencoder.config import AutoencoderConfig
from deepstd.texture.autoencoder.latents import hint_of_latents, padded_hint
from deepstd.texture.autoencoder.network import AutoencoderNetwork
from deepstd.texture.networks.conditioning import TensorConditioning, TensorHint, tensor_hint
from deepstd.texture.networks.context import condition_vector
from deepstd.texture.networks.runtime import torch_device
from deepstd.texture.scaling import log_rate
from deepstd.texture.tiling import Tile, TileEdges, tiles

NETWORK_TILES = TileEdges(1024, 160)
"""Tiles of analysis and synthesis."""
Networks = Mapping[Device, AutoencoderNetwork]


class Surroundings(NamedTuple):
    """Conditioning of a scan for the networks.

    Attributes:
        hint: prediction of the voxels, (1, 1, *whole blocks) float32, or None.
        condition: condition vector, (1, conditions, 1 …).
        blocks: prediction of the latents, (1, bands, *grid) float64, or None.
    """

    hint: TensorHint | None
    condition: torch.Tensor
    blocks: TensorHint | None


def surroundings(
    config: AutoencoderConfig,
    conditioning: Conditioning | None,
    step_code: int,
    device: torch.device,
) -> Surroundings:
    """Return the conditioning of a scan, which encoder and decoder share.

    Args:
        config: sizes of the networks.
        conditioning: warped template and coordinates, or None.
        step_code: code of the quantisation step.
        device: device of the tensors.
    """
    axes = tuple(range(config.ndim))
    condition = condition_vector(config, log_rate(step_code), axes, 0)
    hint = None
    if conditioning is not None:
        template, places = (torch.from_numpy(part).to(device) for part in conditioning)
        hint = tensor_hint(TensorConditioning(template, places), step_code)
    if hint is None:
        return Surroundings(None, condition, None)
    hint = padded_hint(hint, config)
    return Surroundings(
        TensorHint(hint.units.float(), hint.places), condition, hint_of_latents(hint, config)
    )


def analyse(
    networks: Networks,
    values: torch.Tensor,
    around: Surroundings,
    workers: Workers,
    edges: TileEdges = NETWORK_TILES,
) -> torch.Tensor:
    """Analyse a scan; return its latents in steps, (1, bands, *grid).

    Args:
        networks: copy of the network on every device of the workers.
        values: values in steps, (1, 1, *whole blocks).
        around: conditioning of the scan.
        workers: devices that share the tiles.
        edges: edges of the tiles, whole windows.
    """
    config = networks[workers.first].config
    grid = [n // config.stride for n in values.shape[2:]]
    latents = torch.empty((1, config.bands, *grid), device=torch_device(workers.first))

    def part(on: Device, tile: Tile) -> None:
        device = torch_device(on)
        with torch.no_grad():
            found = networks[on].analysis(
                values[tile.window].to(device), *_seen(around, tile, device)
            )
        inner, outer = (_coarse(place, config.stride) for place in (tile.inner, tile.outer))
        latents[(..., *outer)] = found[(..., *inner)].to(latents)

    halo = networks[workers.first].synthesis.halo
    deque(workers.map(part, tiles(values.shape[2:], halo, edges)), maxlen=0)
    return latents


def synthesise(
    networks: Networks,
    latents: torch.Tensor,
    around: Surroundings,
    workers: Workers,
    edges: TileEdges = NETWORK_TILES,
) -> torch.Tensor:
    """Synthesise a scan; return its values in steps, (1, 1, *whole blocks).

    Args:
        networks: copy of the network on every device of the workers.
        latents: latents in steps, (1, bands, *grid).
        around: conditioning of the scan.
        workers: devices that share the tiles.
        edges: edges of the tiles, whole windows.
    """
    config = networks[workers.first].config
    shape = [n * config.stride for n in latents.shape[2:]]
    restored = torch.empty((1, 1, *shape), device=torch_device(workers.first))

    def part(on: Device, tile: Tile) -> None:
        window, device = _coarse(tile.window[1:], config.stride), torch_device(on)
        with torch.no_grad():
            found = networks[on].synthesis(
                latents[(..., *window)].to(device), *_seen(around, tile, device)
            )
        restored[(..., *tile.outer)] = found[(..., *tile.inner)].to(restored)

    halo = networks[workers.first].synthesis.halo
    deque(workers.map(part, tiles(shape, halo, edges)), maxlen=0)
    return restored


def synthesis_gradient(
    network: AutoencoderNetwork,
    latents: torch.Tensor,
    around: Surroundings,
    truth: torch.Tensor,
    edges: TileEdges = NETWORK_TILES,
) -> tuple[float, torch.Tensor]:
    """Return the squared error of the restored scan and its gradient by the latents.

    Args:
        network: network on the device of the latents.
        latents: latents in steps, (1, bands, *grid).
        around: conditioning of the scan.
        truth: true values in steps, (1, 1, *whole blocks).
        edges: edges of the tiles, whole windows.

    Returns:
        Sum over voxels in squared steps, and its gradient in the shape of the latents.
    """
    config, total = network.config, 0.0
    gradient = torch.zeros_like(latents)
    for tile in tiles(truth.shape[2:], network.synthesis.halo, edges):
        window = _coarse(tile.window[1:], config.stride)
        with torch.enable_grad():
            part = latents[(..., *window)].detach().requires_grad_()
            restored = network.synthesis(part, *_seen(around, tile, latents.device))
            error = restored[(..., *tile.inner)] - truth[(..., *tile.outer)]
            squared = error.square().sum()
            (found,) = torch.autograd.grad(squared, part)
        gradient[(..., *window)] += found
        total += float(squared.detach())
    return total, gradient


def _seen(
    around: Surroundings, tile: Tile, device: torch.device
) -> tuple[TensorHint | None, torch.Tensor]:
    hint = around.hint
    if hint is not None:
        hint = TensorHint(hint.units[tile.window].to(device), hint.places[tile.window].to(device))
    return hint, around.condition.to(device)


def _coarse(place: tuple[slice, ...], stride: int) -> tuple[slice, ...]:
    return tuple(slice(s.start // stride, s.stop // stride) for s in place)
