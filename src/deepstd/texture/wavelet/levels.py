"""Coding of levels from coarse to fine: one loop for encoding and decoding.

    last low ─▶ level n: features ─ context model ─ passes ─▶ high ─ merge ─▶ low of n − 1 …

The two uses differ in the `SymbolSource`: the encoder quantises, the decoder reads. All arrays hold
whole numbers of the fixed-point unit, 1/64 of the quantisation step. The native engine codes whole
tiles; without it, or on a GPU, the passes run here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from deepstd.devices import Device
from deepstd.texture.conditioning import Hint
from deepstd.texture.entropy.context import (
    GATE_ONE,
    HALO,
    ContextModel,
    Predictor,
    condition_vector,
    pass_of_position,
)
from deepstd.texture.entropy.features import (
    BLUR_REACH,
    UNITS_PER_STEP,
    blur,
    signed_log,
    subsample,
    upsample,
)
from deepstd.texture.entropy.native_context import NativeContext, native_context
from deepstd.texture.entropy.native_tile import LevelArrays, NativeLevel, TileCoder
from deepstd.texture.entropy.source import SymbolSource
from deepstd.texture.tiling import Region, Window, tile_regions
from deepstd.texture.wavelet.lifting import Plan, decompose, grid_shapes, merge, subband_mask

MEAN_UNITS = UNITS_PER_STEP // 16
"""Fixed-point units of the predicted means, which count sixteenths of a step."""


@dataclass(frozen=True)
class TemplatePyramid:
    """Wavelet decomposition of a prediction, with its coordinates, finest level first.

    Attributes:
        lows: low subband of each level, (B, 1, *coarse) whole numbers in 1/64 step.
        highs: high subbands of each level, (B, bands, *coarse) whole numbers in 1/64 step.
        places: coordinates on the coarse grid, (B, ndim, *coarse) whole numbers −64 … 64.
    """

    lows: list[np.ndarray]
    highs: list[np.ndarray]
    places: list[np.ndarray]


def pyramid_of(hint: Hint, plan: Plan) -> TemplatePyramid:
    """Decompose the prediction of a batch by the split plan of its scans.

    Args:
        hint: prediction on the scans' grid.
        plan: axes split at each level, finest first.
    """
    lows, highs = decompose(hint.units, plan, whole=True)
    places, coarse_places = hint.places.astype(np.float64), []
    for axes in plan:
        places = subsample(places, axes)
        coarse_places.append(places)
    return TemplatePyramid(lows, highs, coarse_places)


@dataclass(frozen=True)
class Level:
    """State shared by all tiles of a decomposition level; tiles are coded independently.

    Attributes:
        context: context models of all levels.
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
    """

    context: ContextModel
    number: int
    condition: np.ndarray
    mask: np.ndarray
    passes: int
    low: np.ndarray
    parents: np.ndarray | None
    parent_axes: tuple[int, ...]
    pyramid: TemplatePyramid | None
    axes: tuple[int, ...]
    fine: tuple[int, ...]
    _native: list[NativeLevel] = field(default_factory=list, init=False, repr=False)

    @property
    def grid(self) -> tuple[int, ...]:
        """Shape of the subbands."""
        return tuple(self.low.shape[2:])

    @property
    def bare(self) -> Level:
        """The level without the fields that only coding needs."""
        return replace(self, parents=None, pyramid=None)

    def regions(self) -> Iterator[Region]:
        """Yield the tiles in coding order."""
        return tile_regions(self.grid, len(self.grid))

    def code(self, region: Region, source: SymbolSource, device: Device) -> np.ndarray:
        """Code a tile; return its high subbands in 1/64 step, (B, bands, *tile) float64.

        Args:
            region: the tile.
            source: source of its symbols.
            device: device of the context model.
        """
        model = self.context.of_level(self.number, device)
        window = Window.around(region, self.grid, HALO)
        native = native_context(model)
        if native is not None and source.coders:
            return self._code_natively(native, window, region, source.coders)
        features = self._features(window.outer)
        hidden = model.hidden(features, self.condition, window.borders)[(..., *window.kept)]
        template_high = None
        if self.pyramid is not None:
            template_high = self.pyramid.highs[self.number][(..., *region)]
        mask = self.mask[(..., *region)]
        order = pass_of_position(mask.shape[1:], self.passes)
        return code_passes(model, hidden, template_high, mask, order, source)

    def _code_natively(
        self, native: NativeContext, window: Window, region: Region, coders: Sequence[TileCoder]
    ) -> np.ndarray:
        """Return what `code` returns, computed by the engine."""
        prepared = self._prepared(native, len(coders))
        tile = prepared.tile(window, region, self.mask[(..., *region)])
        return np.stack([coder.code_tile(tile.of_scan(n)) for n, coder in enumerate(coders)])

    def _prepared(self, native: NativeContext, scans: int) -> NativeLevel:
        """Return the level as the engine reads it, made for the first tile and kept."""
        if not self._native:
            pyramid, number = self.pyramid, self.number
            template = None
            if pyramid is not None:
                parts = pyramid.lows, pyramid.highs, pyramid.places
                template = parts[0][number], parts[1][number], parts[2][number]
            arrays = LevelArrays(self.low, self.parents, self.parent_axes, template, self.condition)
            self._native.append(NativeLevel(native, arrays, scans))
        return self._native[0]

    def _features(self, region: Region) -> np.ndarray:
        """Return the input features of the model in a region, (B, features, *region) float32."""
        here = (..., *region)
        window = Window.around(region, self.grid, BLUR_REACH)
        around = self.low[(..., *window.outer)]
        low = self.low[here]
        parts = [signed_log(low - blur(around)[(..., *window.inner)])]
        if self.parents is None:
            parts.append(np.zeros((len(low), len(self.mask), *low.shape[2:]), np.float32))
        else:
            parts.append(upsample(self.parents, self.parent_axes, region))
        if self.pyramid is not None:
            for part in (
                signed_log(self.pyramid.highs[self.number][here]),
                signed_log(low - self.pyramid.lows[self.number][here]),
                self.pyramid.places[self.number][here],
            ):
                parts.append(np.broadcast_to(part, (len(low), *part.shape[1:])))
        return np.concatenate(parts, axis=1, dtype=np.float32)

    def merged(self, high: np.ndarray) -> np.ndarray:
        """Merge the low subband with the high subbands of all tiles, (B, 1, *fine)."""
        return merge(self.low, high, self.axes, self.fine, dtype=high.dtype)


def code_passes(
    model: Predictor,
    hidden: Any,
    template_high: np.ndarray | None,
    mask: np.ndarray,
    order: np.ndarray,
    source: SymbolSource,
) -> np.ndarray:
    """Code coefficients pass by pass, each pass conditioned on the passes before.

    Args:
        model: context model of the coefficients.
        hidden: activations of the model, (B, width, *grid).
        template_high: subbands of the prediction in 1/64 step, (B, bands, *grid), or None.
        mask: true where there is a coefficient, (bands, *grid).
        order: pass of each coefficient, (1, 1 or bands, *grid).
        source: source of the symbols.

    Returns:
        Decoded coefficients in 1/64 step, (B, bands, *grid) float64.
    """
    value = np.zeros((len(hidden), *mask.shape))
    known = np.zeros(value.shape, np.float32)
    passes = int(order.max()) + 1
    for index in range(passes):
        prediction = model.predict(index, hidden, known)
        mean = prediction.mean.astype(np.float64) * MEAN_UNITS
        if prediction.gate is not None and template_high is not None:
            mean += np.floor(prediction.gate * template_high * (1 / GATE_ONE) + 0.5)
        coded = (order == index) & mask
        value = np.where(coded, mean + source.residuals(mean, prediction, coded), value)
        if index + 1 < passes:
            known = signed_log(value)
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
    hint: Hint | None


def code_levels(
    model: ContextModel,
    batch: ScanBatch,
    source: SymbolSource,
    device: Device,
    *,
    last_level: int = 0,
    finest: Callable[[Level], np.ndarray] | None = None,
) -> np.ndarray:
    """Code scans from coarse to fine and return their reconstruction.

    Args:
        model: context model.
        batch: scans to code.
        source: source of the symbols.
        device: device of the context model.
        last_level: level to stop after: 0 for full resolution, 1 for half, and so on.
        finest: codes the tiles of level 0 in place of this loop and returns the reconstruction.

    Returns:
        (B, 1, *grid) in units of 1/64 step.
    """
    bands, plan = model.config.bands, batch.plan
    shapes = grid_shapes(batch.shape, plan)
    pyramid = None if batch.hint is None else pyramid_of(batch.hint, plan)
    start = np.zeros((1, 1, *shapes[-1]))
    low = source.last_low(pyramid.lows[-1] if pyramid is not None and plan else start)
    parents = None
    # Scans of one step share the condition.
    rates = batch.log_rates if len(set(batch.log_rates)) > 1 else batch.log_rates[:1]
    for level in range(len(plan) - 1, last_level - 1, -1):
        depth, axes = model.depth(level), plan[level]
        task = Level(
            model,
            level,
            np.concatenate([condition_vector(model.config, rate, axes, depth) for rate in rates]),
            subband_mask(shapes[level], axes),
            model.config.passes,
            low,
            parents,
            plan[level + 1] if level + 1 < len(plan) else (),
            pyramid,
            axes,
            shapes[level],
        )
        if level == 0 and finest is not None:
            return finest(task)
        # The finest level is stored in float32: conversion rounds alike on every machine.
        stored = np.float32 if level == 0 else np.float64
        high = np.zeros((len(low), bands, *task.grid), stored)
        for region in task.regions():
            source.begin_tile(level, region)
            high[(..., *region)] = task.code(region, source, device)
        low = task.merged(high)
        parents = signed_log(high) if level > last_level else None
    return low
