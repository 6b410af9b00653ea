"""Coding of levels from coarse to fine on tensors: the loop of training (`wavelet.levels`).

    last low ─▶ level n: features ─ context model ─ passes ─▶ high ─ merge ─▶ low of n − 1 …

The `TensorSource` quantises and sums a loss. All tensors hold whole numbers of the fixed-point
unit, 1/64 of the quantisation step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from deepstd.texture.entropy.context import HALO
from deepstd.texture.entropy.features import BLUR_REACH
from deepstd.texture.networks.conditioning import TensorHint
from deepstd.texture.networks.context import (
    ContextModel,
    LevelContext,
    condition_vector,
    pass_of_position,
)
from deepstd.texture.networks.features import blur, signed_log, subsample, upsample
from deepstd.texture.networks.integer import round_through
from deepstd.texture.networks.lifting import decompose, merge, subband_mask
from deepstd.texture.networks.runtime import Arithmetic
from deepstd.texture.networks.source import TensorSource
from deepstd.texture.tiling import Region, Window, tile_regions
from deepstd.texture.wavelet.levels import MEAN_UNITS
from deepstd.texture.wavelet.lifting import Plan, grid_shapes


@dataclass(frozen=True)
class TemplatePyramid:
    """Wavelet decomposition of a prediction, with its coordinates, finest level first.

    Attributes:
        lows: low subband of each level, (B, 1, *coarse) whole numbers in 1/64 step.
        highs: high subbands of each level, (B, bands, *coarse) whole numbers in 1/64 step.
        places: coordinates on the coarse grid, (B, ndim, *coarse) whole numbers −64 … 64.
    """

    lows: list[torch.Tensor]
    highs: list[torch.Tensor]
    places: list[torch.Tensor]


def pyramid_of(hint: TensorHint, plan: Plan) -> TemplatePyramid:
    """Decompose the prediction of a batch by the split plan of its scans.

    Args:
        hint: prediction on the scans' grid.
        plan: axes split at each level, finest first.
    """
    lows, highs = decompose(hint.units, plan, whole=True)
    places, coarse_places = hint.places.to(hint.units.dtype), []
    for axes in plan:
        places = subsample(places, axes)
        coarse_places.append(places)
    return TemplatePyramid(lows, highs, coarse_places)


@dataclass(frozen=True)
class Level:
    """State shared by all tiles of a decomposition level; tiles are coded independently.

    Attributes:
        model: context model of the level.
        number: number of the level, 0 for the finest.
        condition: constant input of the model, (B, conditions, 1 …).
        mask: true where the padded high subbands have a coefficient, (bands, *grid).
        passes: number of interleaved passes of a tile.
        low: decoded low subband in 1/64 step, (B, 1, *grid).
        parents: features of the high subbands of the next coarser level, or None.
        parent_axes: axes that the next coarser level splits.
        pyramid: decomposed prediction, or None.
        axes: axes that the level splits.
        fine: shape that low and high subbands merge to.
        dtype: type of reconstructions.
        network_dtype: type of the model's activations.
    """

    model: LevelContext
    number: int
    condition: torch.Tensor
    mask: torch.Tensor
    passes: int
    low: torch.Tensor
    parents: torch.Tensor | None
    parent_axes: tuple[int, ...]
    pyramid: TemplatePyramid | None
    axes: tuple[int, ...]
    fine: tuple[int, ...]
    dtype: torch.dtype
    network_dtype: torch.dtype

    @property
    def grid(self) -> tuple[int, ...]:
        """Shape of the subbands."""
        return tuple(self.low.shape[2:])

    def regions(self) -> Iterator[Region]:
        """Yield the tiles in coding order."""
        return tile_regions(self.grid, len(self.grid))

    def code(self, region: Region, source: TensorSource) -> torch.Tensor:
        """Code a tile; return its high subbands in 1/64 step, (B, bands, *tile).

        Args:
            region: the tile.
            source: source of its symbols.
        """
        model = self.model
        window = Window.around(region, self.grid, HALO)
        features = self._features(window.outer)
        hidden = model.hidden(features, self.condition, window.borders)[(..., *window.kept)]
        template_high = None
        if self.pyramid is not None:
            template_high = self.pyramid.highs[self.number][(..., *region)]
        order = pass_of_position(tuple(hidden.shape[2:]), self.passes, hidden.device)
        mask = self.mask[(..., *region)]
        return code_passes(model, hidden, template_high, mask, order, source, self.dtype)

    def _features(self, region: Region) -> torch.Tensor:
        """Return the input features of the model in a region, (B, features, *region)."""
        here = (..., *region)
        window = Window.around(region, self.grid, BLUR_REACH)
        around = self.low[(..., *window.outer)]
        low, dtype = self.low[here], self.network_dtype
        parts = [signed_log(low - blur(around)[(..., *window.inner)]).to(dtype)]
        if self.parents is None:
            parts.append(low.new_zeros((len(low), len(self.mask), *low.shape[2:]), dtype=dtype))
        else:
            parts.append(upsample(self.parents, self.parent_axes, region))
        if self.pyramid is not None:
            parts.append(signed_log(self.pyramid.highs[self.number][here]).to(dtype))
            parts.append(signed_log(low - self.pyramid.lows[self.number][here]).to(dtype))
            parts.append(self.pyramid.places[self.number][here].to(dtype))
        return torch.cat(parts, dim=1)

    def merged(self, high: torch.Tensor) -> torch.Tensor:
        """Merge the low subband with the high subbands of all tiles, (B, 1, *fine)."""
        return merge(self.low, high, self.axes, self.fine)


def code_passes(
    model: LevelContext,
    hidden: torch.Tensor,
    template_high: torch.Tensor | None,
    mask: torch.Tensor,
    order: torch.Tensor,
    source: TensorSource,
    dtype: torch.dtype,
) -> torch.Tensor:
    """Code coefficients pass by pass, each pass conditioned on the passes before.

    Args:
        model: context model of the coefficients.
        hidden: activations of the model, (B, width, *grid).
        template_high: subbands of the prediction in 1/64 step, (B, bands, *grid), or None.
        mask: true where there is a coefficient, (bands, *grid).
        order: pass of each coefficient, (1, 1 or bands, *grid).
        source: source of the symbols.
        dtype: type of the values.

    Returns:
        Decoded coefficients in 1/64 step, (B, bands, *grid).
    """
    shape = (hidden.shape[0], mask.shape[0], *hidden.shape[2:])
    value = torch.zeros(shape, dtype=dtype, device=hidden.device)
    known = torch.zeros_like(value, dtype=hidden.dtype)
    passes = len(model.head)
    for index in range(passes):
        prediction = model.predict(index, hidden, known)
        mean = prediction.mean.to(dtype) * MEAN_UNITS
        if prediction.gate is not None and template_high is not None:
            mean = mean + round_through(prediction.gate.to(dtype) * template_high, 1 / 16)
        coded = (order == index) & mask
        residuals = source.residuals(mean, prediction, coded)
        value = torch.where(coded, mean.detach() + residuals, value)
        if index + 1 < passes:
            known = signed_log(value).to(hidden.dtype)
    return value


@dataclass(frozen=True)
class ScanBatch:
    """Batch of scans to code, as far as encoder and decoder both know them.

    Attributes:
        shape: spatial shape of every scan.
        plan: axes split at each level, finest first.
        log_rates: 32 log2(range / step), rounded, of each scan.
        hint: prediction of the batch, or None.
    """

    shape: tuple[int, ...]
    plan: Plan
    log_rates: Sequence[int]
    hint: TensorHint | None


def code_levels(
    model: ContextModel,
    batch: ScanBatch,
    source: TensorSource,
    arithmetic: Arithmetic,
    *,
    last_level: int = 0,
) -> torch.Tensor:
    """Code scans from coarse to fine and return their reconstruction.

    Args:
        model: context model.
        batch: scans to code.
        source: source of the symbols.
        arithmetic: device and number types of the computation.
        last_level: level to stop after: 0 for full resolution, 1 for half, and so on.

    Returns:
        (B, 1, *grid) in units of 1/64 step.
    """
    bands, plan, device, dtype = model.config.bands, batch.plan, arithmetic.device, arithmetic.dtype
    shapes = grid_shapes(batch.shape, plan)
    pyramid = None if batch.hint is None else pyramid_of(batch.hint, plan)
    start = torch.zeros((1, 1, *shapes[-1]), dtype=dtype, device=device)
    low = source.last_low(pyramid.lows[-1] if pyramid is not None and plan else start)
    parents = None
    for level in range(len(plan) - 1, last_level - 1, -1):
        network, depth = model.level(level)
        condition = torch.cat(
            [condition_vector(model.config, rate, plan[level], depth) for rate in batch.log_rates]
        )
        task = Level(
            network,
            level,
            condition.to(device=device, dtype=arithmetic.network_dtype),
            subband_mask(shapes[level], plan[level]).to(device),
            model.config.passes,
            low,
            parents,
            plan[level + 1] if level + 1 < len(plan) else (),
            pyramid,
            plan[level],
            shapes[level],
            dtype,
            arithmetic.network_dtype,
        )
        high = torch.zeros((len(low), bands, *task.grid), dtype=dtype, device=device)
        for region in task.regions():
            source.begin_tile(level, region)
            high[(..., *region)] = task.code(region, source)
        low = task.merged(high)
        parents = signed_log(high).to(arithmetic.network_dtype) if level > last_level else None
    return low
