"""Analysis and synthesis part by part, so that memory stays bounded and devices share the work.

    scan ─ parts, each with all that it depends on ─ network ─ cut ─▶ the same as of the whole

This is the paper's block mode without its seams: what surrounds a part reaches as far as the
network does, and windows of the attention lie where they would in the whole.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

import torch

from deepstd.devices import Workers
from deepstd.texture.autoencoder.latents import block_places, template_blocks
from deepstd.texture.autoencoder.network import AutoencoderNetwork
from deepstd.texture.autoencoder.transform import AutoencoderConfig, padded
from deepstd.texture.entropy.context import condition_vector
from deepstd.texture.entropy.features import UNITS_PER_STEP
from deepstd.texture.scaling import log_rate, template_units
from deepstd.texture.tiling import Tile, tiles

_PART = {2: 1024, 3: 160}
Networks = Mapping[torch.device, AutoencoderNetwork]


class Surroundings(NamedTuple):
    """What a network is told of a scan besides its values.

    Attributes:
        template: warped template in steps, (1, 1, *whole blocks) float32, or None.
        places: template coordinates, (1, ndim, *whole blocks), or None.
        condition: (1, conditions, 1 …).
        blocks: DCT blocks of the template in units, (1, bands, *grid), or None.
        block_places: template coordinates of the blocks, or None.
    """

    template: torch.Tensor | None
    places: torch.Tensor | None
    condition: torch.Tensor
    blocks: torch.Tensor | None
    block_places: torch.Tensor | None


def surroundings(
    config: AutoencoderConfig,
    template: torch.Tensor | None,
    places: torch.Tensor | None,
    step_code: int,
) -> Surroundings:
    """What encoder and decoder know of a scan; ``template`` and ``places`` as they were warped."""
    axes = tuple(range(config.ndim))
    condition = condition_vector(config, log_rate(step_code), axes, 0)
    if template is None or places is None:
        return Surroundings(None, None, condition, None, None)
    units = padded(template_units(template, step_code), config.stride)
    places = padded(places, config.stride)
    return Surroundings(
        (units * (1.0 / UNITS_PER_STEP)).float(),
        places,
        condition,
        template_blocks(units, config),
        block_places(places, config.stride),
    )


def analyse(
    networks: Networks, values: torch.Tensor, around: Surroundings, workers: Workers
) -> torch.Tensor:
    """Latents in steps, (1, bands, *grid), of values in steps, (1, 1, *whole blocks)."""
    config = networks[workers.first].config
    grid = [n // config.stride for n in values.shape[2:]]
    latents = torch.empty((1, config.bands, *grid), device=workers.first)

    def part(device: torch.device, tile: Tile) -> None:
        with torch.no_grad():
            found = networks[device].analysis(
                values[tile.window].to(device), *_seen(around, tile, device)
            )
        inner, outer = (_coarse(place, config.stride) for place in (tile.inner, tile.outer))
        latents[(..., *outer)] = found[(..., *inner)].to(latents)

    halo = networks[workers.first].synthesis.halo
    deque(workers.map(part, tiles(values.shape[2:], halo, _PART[config.ndim])), maxlen=0)
    return latents


def synthesise(
    networks: Networks, latents: torch.Tensor, around: Surroundings, workers: Workers
) -> torch.Tensor:
    """Restored values in steps, (1, 1, *whole blocks), of latents in steps."""
    config = networks[workers.first].config
    shape = [n * config.stride for n in latents.shape[2:]]
    restored = torch.empty((1, 1, *shape), device=workers.first)

    def part(device: torch.device, tile: Tile) -> None:
        window = _coarse(tile.window[1:], config.stride)
        with torch.no_grad():
            found = networks[device].synthesis(
                latents[(..., *window)].to(device), *_seen(around, tile, device)
            )
        restored[(..., *tile.outer)] = found[(..., *tile.inner)].to(restored)

    halo = networks[workers.first].synthesis.halo
    deque(workers.map(part, tiles(shape, halo, _PART[config.ndim])), maxlen=0)
    return restored


def synthesis_gradient(
    network: AutoencoderNetwork, latents: torch.Tensor, around: Surroundings, truth: torch.Tensor
) -> tuple[float, torch.Tensor]:
    """Squared error of the restored scan and its gradient for the latents, part by part.

    Args:
        network: on the device of the latents.
        latents: in steps, (1, bands, *grid).
        around: of the scan.
        truth: in steps, (1, 1, *whole blocks).
    """
    config, total = network.config, 0.0
    gradient = torch.zeros_like(latents)
    for tile in tiles(truth.shape[2:], network.synthesis.halo, _PART[config.ndim]):
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
) -> tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor]:
    template = None if around.template is None else around.template[tile.window].to(device)
    places = None if around.places is None else around.places[tile.window].to(device)
    return template, places, around.condition.to(device)


def _coarse(place: tuple[slice, ...], stride: int) -> tuple[slice, ...]:
    return tuple(slice(s.start // stride, s.stop // stride) for s in place)
