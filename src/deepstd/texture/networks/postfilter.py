"""Learned post-filter in torch: the trainable version of `filters.postfilter`.

    reconstruction ─ high-pass ─┐
    template − reconstruction ──┴ fold voxels into channels ─ blocks ─ unfold ─ + ─▶ restored

The filter works in quantisation steps and is conditioned on the logarithm of the step, so one
filter serves every rate. Its last layer starts at zero: an untrained filter is the identity. It
uses ordinary floating point, because no symbol depends on it.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from deepstd.texture.entropy.features import UNITS_PER_STEP
from deepstd.texture.filters.postfilter_arrays import INPUT_LIMIT, LEAK
from deepstd.texture.networks.features import blur
from deepstd.texture.networks.fold import fold, unfold


class ResidualBlock(nn.Module):
    """Residual block: conv − LeakyReLU − conv, added to the input."""

    def __init__(self, ndim: int, width: int) -> None:
        super().__init__()
        convolution = nn.Conv3d if ndim == 3 else nn.Conv2d
        self.first = convolution(width, width, 3, padding=1)
        self.second = convolution(width, width, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the block to (B, width, *grid)."""
        return x + self.second(functional.leaky_relu(self.first(x), LEAK))


class PostFilter(nn.Module):
    """Post-filter (diagram of the module).

    Args:
        ndim: 2 or 3 spatial axes.
        width: channels of the blocks.
        blocks: number of residual blocks.
        template: whether the prediction is an input.
        conditions: length of the condition vector (`context.condition_vector`).

    Attributes:
        halo: voxels that a filtered voxel depends on, on either side.
    """

    def __init__(self, ndim: int, width: int, blocks: int, template: bool, conditions: int) -> None:
        super().__init__()
        convolution = nn.Conv3d if ndim == 3 else nn.Conv2d
        cells = 2**ndim
        self._template = template
        # Reach of the convolutions on the folded grid, and of the high-pass.
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
        """Return the restored values in steps, (B, 1, *shape).

        Args:
            low: reconstruction in 1/64 step, (B, 1, *shape), any float type.
            template: predicted values in 1/64 step, (B, 1, *shape), or None.
            condition: condition vector, (1 or B, conditions, 1 …).
        """
        shape = low.shape[2:]
        channels = [low - blur(low)]
        if self._template and template is not None:
            channels.append(template - low)
        x = torch.cat(channels, 1).float() * (1.0 / UNITS_PER_STEP)
        x = x.clamp(-INPUT_LIMIT, INPUT_LIMIT)
        padding = [p for n in reversed(shape) for p in (0, n % 2)]
        x = fold(functional.pad(x, padding))
        projected = self.condition(condition.flatten(1).float() / 32.0)
        x = self.entry(x) + projected.reshape(*projected.shape, *[1] * len(shape))
        x = self.blocks(functional.leaky_relu(x, LEAK))
        change = unfold(self.exit(x), 1)[(..., *(slice(0, n) for n in shape))]
        return low * (1.0 / UNITS_PER_STEP) + change


class NoFilter(nn.Module):
    """Identity in place of a post-filter, for networks without one."""

    halo = 0

    def forward(
        self, low: torch.Tensor, template: torch.Tensor | None, condition: torch.Tensor
    ) -> torch.Tensor:
        """Return the reconstruction in steps, (B, 1, *shape); the other arguments are ignored."""
        return low * (1.0 / UNITS_PER_STEP)


Filter = PostFilter | NoFilter
