"""The post-filter: what the wavelet's quantisation took away, guessed back.

    reconstruction ─ high-pass ─┐
    template − reconstruction ──┴ fold voxels into channels ─ blocks ─ unfold ─ + ─▶ restored

It works in units of the quantiser step and is told the logarithm of the step, so one filter serves
every rate. Its last layer starts at zero: an untrained filter changes nothing. It is ordinary
floating point, because no symbol depends on it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from deepstd.devices import Workers
from deepstd.texture.entropy.features import UNITS_PER_STEP, blur
from deepstd.texture.tiling import Tile, fold, tiles, unfold

_LIMIT = 16.0
_SLOPE = 0.1


class ResidualBlock(nn.Module):
    """conv − LeakyReLU − conv, added to its input."""

    def __init__(self, ndim: int, width: int) -> None:
        super().__init__()
        convolution = nn.Conv3d if ndim == 3 else nn.Conv2d
        self.first = convolution(width, width, 3, padding=1)
        self.second = convolution(width, width, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, width, *grid) to the same shape."""
        return x + self.second(functional.leaky_relu(self.first(x), _SLOPE))


class PostFilter(nn.Module):
    """See the module's diagram.

    Args:
        ndim: 2 or 3.
        width: channels of the blocks.
        blocks: number of residual blocks.
        template: whether the warped template is an input.
        conditions: length of the condition vector (`context.condition_vector`).
    """

    def __init__(self, ndim: int, width: int, blocks: int, template: bool, conditions: int) -> None:
        super().__init__()
        convolution = nn.Conv3d if ndim == 3 else nn.Conv2d
        cells = 2**ndim
        self._template = template
        # What the convolutions on the folded grid reach, and one voxel for the high-pass.
        self.halo = 2 * (1 + 2 * blocks) + 2
        self.entry = convolution(cells * (2 if template else 1), width, 3, padding=1)
        self.condition = nn.Linear(conditions, width)
        self.blocks = nn.Sequential(*(ResidualBlock(ndim, width) for _ in range(blocks)))
        self.exit = convolution(width, cells, 1)
        nn.init.zeros_(self.exit.weight)
        if self.exit.bias is not None:
            nn.init.zeros_(self.exit.bias)

    def forward(
        self, low: torch.Tensor, template: torch.Tensor | None, condition: torch.Tensor
    ) -> torch.Tensor:
        """Restored values in steps.

        Args:
            low: reconstruction in units of 1/64 step, (B, 1, *shape), any float type.
            template: warped template in the same units, or None.
            condition: (1 or B, conditions, 1 …).
        """
        shape = low.shape[2:]
        channels = [low - blur(low)]
        if self._template and template is not None:
            channels.append(template - low)
        x = torch.cat(channels, 1).float() * (1.0 / UNITS_PER_STEP)
        x = x.clamp(-_LIMIT, _LIMIT)
        padding = [p for n in reversed(shape) for p in (0, n % 2)]
        x = fold(functional.pad(x, padding))
        told = self.condition(condition.flatten(1).float() / 32.0)
        x = self.entry(x) + told.reshape(*told.shape, *[1] * len(shape))
        x = self.blocks(functional.leaky_relu(x, _SLOPE))
        change = unfold(self.exit(x), 1)[(..., *(slice(0, n) for n in shape))]
        return low * (1.0 / UNITS_PER_STEP) + change


class NoFilter(nn.Module):
    """In the place of a filter, where none is worth its time."""

    halo = 0

    def forward(
        self, low: torch.Tensor, template: torch.Tensor | None, condition: torch.Tensor
    ) -> torch.Tensor:
        """The reconstruction in steps."""
        return low * (1.0 / UNITS_PER_STEP)


Filter = PostFilter | NoFilter


def restore(
    filters: Mapping[torch.device, Filter],
    low: torch.Tensor,
    template: torch.Tensor | None,
    condition: torch.Tensor,
    workers: Workers,
) -> np.ndarray:
    """Restored values in steps, (*shape) float32, tile by tile so that memory stays bounded.

    Args:
        filters: the filter, on every device of the workers.
        low: reconstruction in units, (1, 1, *shape).
        template: warped template in units, or None.
        condition: (1, conditions, 1 …).
        workers: share the tiles.
    """
    shape = tuple(low.shape[2:])
    restored = np.empty(shape, dtype=np.float32)

    def restore_tile(device: torch.device, tile: Tile) -> None:
        part = None if template is None else template[tile.window].to(device)
        with torch.no_grad():
            values = filters[device](low[tile.window].to(device), part, condition.to(device))
        restored[tile.outer] = values[0, 0][tile.inner].cpu().numpy()

    deque(workers.map(restore_tile, tiles(shape, filters[workers.first].halo)), maxlen=0)
    return restored
