"""Texture to bytes and back.

    values ─ decompose ─▶ subbands ─ level loop (EncoderSource) ─▶ payload, tiles
    payload, tiles ─ level loop (DecoderSource) ─▶ reconstruction ─ post-filter ─▶ values

The first stream holds all levels but the finest; where the finest has several tiles, each has a
stream of its own that needs only the first one, so a damaged or unwanted tile costs no other.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from deepstd.coding.range_coder import RangeDecoder, RangeEncoder
from deepstd.coding.tables import ScaleTables
from deepstd.errors import InputError
from deepstd.texture.context import Prediction, condition_vector
from deepstd.texture.features import UNITS_PER_STEP
from deepstd.texture.head import TextureHead, check_texture, tile_count
from deepstd.texture.levels import (
    Region,
    TemplatePyramid,
    code_levels,
    template_pyramid,
)
from deepstd.texture.lifting import Plan, coarseness, decompose, split_plan
from deepstd.texture.network import TextureNetwork
from deepstd.texture.postfilter import restore
from deepstd.texture.quantizer import quantize, symbol_costs
from deepstd.texture.scaling import (
    STEP_CODE_MAX,
    STEP_CODE_MIN,
    STEPS_PER_OCTAVE,
    Scaling,
    log_rate,
    template_units,
)

_LAST_LOW_SCALE = np.array([48], dtype=np.uint8)
_MOST_OCTAVES = 31
_FEWEST_SLICES = 16


@dataclass(frozen=True)
class EncodedTexture:
    """One frame's texture: payloads, the decoded latents' hash, and the reconstruction in units."""

    payload: bytes
    tiles: tuple[bytes, ...]
    latents: bytes
    low: torch.Tensor

    @property
    def nbytes(self) -> int:
        """Bytes of all payloads, chunk framing not counted."""
        return len(self.payload) + sum(map(len, self.tiles))


@dataclass(frozen=True)
class DecodedTexture:
    """Grey values are ``offset + step · steps``; ``steps`` is (*shape) float32."""

    steps: np.ndarray
    step: float
    offset: float
    latents: bytes


class TextureEncoder:
    """Encodes one scan at any step; what does not depend on the step is done once.

    Args:
        network: of the scan's number of axes.
        values: finite grey values, (*shape).
        spacing: voxel size along each axis, or None.
        template: warped template, whole numbers 0 … 1023, (1, 1, *shape), or None.
        places: (1, ndim, *shape) whole numbers, or None.
        scaling: codes to use instead of those fitted to the values.
        device: where to compute.

    Attributes:
        finest: largest step code at which all coefficients can be coded.

    Raises:
        InputError: the values span more than can be coded.
    """

    def __init__(
        self,
        network: TextureNetwork,
        values: np.ndarray,
        spacing: Sequence[float] | None,
        template: torch.Tensor | None = None,
        places: torch.Tensor | None = None,
        *,
        scaling: Scaling | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self._network, self._device = network, torch.device(device)
        self._template, self._places = template, places
        self.shape = tuple(values.shape)
        self._coarse = coarseness(spacing, values.ndim)
        self.plan = split_plan(self.shape, self._coarse)
        matched = None if template is None else template.cpu().numpy()
        self.scaling = scaling or Scaling.fit(values, matched)
        self._values = values
        normalised = self.scaling.normalise(values)
        self.finest = _finest_step_code(normalised, self.plan)
        centred = torch.from_numpy(normalised)[None, None].to(self._device)
        lows, self._highs = decompose(centred, self.plan)
        self._last_low = lows[-1] if lows else centred

    @property
    def conditioned(self) -> bool:
        """Whether there is a template."""
        return self._template is not None

    def encode(self, step_code: int, rate_weight: float) -> EncodedTexture:
        """Code at one step."""
        head = TextureHead(self.scaling, step_code, self._coarse)
        factor = UNITS_PER_STEP * 2.0 ** (step_code / STEPS_PER_OCTAVE)
        source = _EncoderSource(
            self._network.tables,
            self._last_low,
            self._highs,
            factor,
            rate_weight,
            self.plan,
            self.shape,
        )
        pyramid, _ = _conditioning(self._template, self._places, step_code, self.plan)
        low = code_levels(
            self._network.context,
            self.shape,
            self.plan,
            [log_rate(step_code)],
            pyramid,
            source,
            network_dtype=_network_dtype(self._device),
            device=self._device,
        )
        payload = head.pack() + source.first.finish()
        tiles = tuple(t.finish() for t in source.tiles)
        return EncodedTexture(payload, tiles, source.latents.digest(), low)

    def middle_slices(self, voxels: int) -> TextureEncoder:
        """An encoder of about so many voxels from the middle of the last axis; not with a template.

        Whole slices, because the margins of a scan hold less than its centre.
        """
        length = self.shape[-1]
        count = min(length, max(_FEWEST_SLICES, voxels * length // self._values.size))
        start = (length - count) // 2
        window = (..., slice(start, start + count))
        spacing = [2.0 ** (c / 2) for c in self._coarse]
        return TextureEncoder(
            self._network,
            self._values[window],
            spacing,
            scaling=self.scaling,
            device=self._device,
        )

    def squared_error(self, encoded: EncodedTexture, step_code: int) -> float:
        """Mean squared error in grey values after the post-filter."""
        _, template = _conditioning(self._template, None, step_code, None)
        restored = restore(
            self._network.postfilter,
            encoded.low,
            template,
            _condition(self._network, step_code, self.plan),
        )
        step, total = self.scaling.step(step_code), 0.0
        for row, truth in zip(restored, self._values, strict=True):
            error = row * np.float64(step) + self.scaling.offset - truth
            total += float(np.square(error).sum())
        return total / restored.size


def decode_texture(
    network: TextureNetwork,
    payload: bytes,
    tiles: Sequence[bytes],
    shape: tuple[int, ...],
    template: torch.Tensor | None = None,
    places: torch.Tensor | None = None,
    *,
    name: str,
    device: torch.device | str = "cpu",
    network_dtype: torch.dtype | None = None,
) -> DecodedTexture:
    """Decode one frame's texture.

    Args:
        network: that the texture was coded with.
        payload, tiles: the coded texture.
        shape: of the scan.
        template, places: as for `TextureEncoder`.
        name: the file, for messages.
        device: where to compute.
        network_dtype: type the context model computes in; the latents do not depend on it.

    Raises:
        DamagedError: the bytes make no sense.
    """
    device = torch.device(device)
    head, plan, stream = check_texture(payload, tiles, shape, name)
    source = _DecoderSource(network.tables, stream, tiles, plan, shape)
    pyramid, units = _conditioning(template, places, head.step_code, plan)
    low = code_levels(
        network.context,
        shape,
        plan,
        [log_rate(head.step_code)],
        pyramid,
        source,
        network_dtype=network_dtype or _network_dtype(device),
        device=device,
    )
    steps = restore(network.postfilter, low, units, _condition(network, head.step_code, plan))
    step = head.scaling.step(head.step_code)
    return DecodedTexture(steps, step, head.scaling.offset, source.latents.digest())


def _finest_step_code(normalised: np.ndarray, plan: Plan) -> int:
    # Low subbands grow by a half octave an axis and level; beyond so many octaves a lifting step
    # would not be exact in float64.
    growth = sum(map(len, plan)) / 2
    largest = max(float(normalised.max()), -float(normalised.min()), 2.0**-_MOST_OCTAVES)
    octaves = _MOST_OCTAVES - growth - math.log2(largest) if math.isfinite(largest) else -math.inf
    if octaves * STEPS_PER_OCTAVE <= STEP_CODE_MIN:
        raise InputError(
            "the values span too much: some lie more than a million times as far out as nearly all "
            "others. Clip them, or replace them by NaN"
        )
    return min(STEP_CODE_MAX, math.floor(octaves * STEPS_PER_OCTAVE))


def _network_dtype(device: torch.device) -> torch.dtype:
    # On a GPU the library may choose an algorithm whose intermediate sums are not whole.
    return torch.float32 if device.type == "cpu" else torch.float64


def _condition(network: TextureNetwork, step_code: int, plan: Plan) -> torch.Tensor:
    axes = plan[0] if plan else ()
    return condition_vector(network.context.config, log_rate(step_code), axes, 0)


def _conditioning(
    template: torch.Tensor | None,
    places: torch.Tensor | None,
    step_code: int,
    plan: Plan | None,
) -> tuple[TemplatePyramid | None, torch.Tensor | None]:
    if template is None:
        return None, None
    units = template_units(template, step_code)
    if places is None or plan is None:
        return None, units
    return template_pyramid(units, places.to(units.dtype), plan), units


class _Streams:
    """Which stream a tile's symbols belong to, and the hash of all symbols."""

    def __init__(self, tables: ScaleTables, plan: Plan, shape: tuple[int, ...]) -> None:
        self._tables = tables
        self._tile_count = tile_count(plan, shape)
        self.latents = hashlib.sha256()

    def _note(self, symbols: np.ndarray) -> None:
        self.latents.update(symbols.astype("<i4").tobytes())


class _EncoderSource(_Streams):
    def __init__(
        self,
        tables: ScaleTables,
        last_low: torch.Tensor,
        highs: list[torch.Tensor],
        factor: float,
        rate_weight: float,
        plan: Plan,
        shape: tuple[int, ...],
    ) -> None:
        super().__init__(tables, plan, shape)
        self._last_low, self._highs = last_low, highs
        self._factor, self._rate_weight = factor, rate_weight
        self._costs = symbol_costs(tables, last_low.device)
        self.first = RangeEncoder()
        self.tiles: list[RangeEncoder] = []
        self._current = self.first
        self._target = last_low

    def last_low(self, prediction: torch.Tensor) -> torch.Tensor:
        truth = self._last_low.to(prediction.dtype) * self._factor
        symbols = torch.floor((truth - prediction) * (1 / UNITS_PER_STEP) + 0.5)
        flat = symbols.cpu().numpy().astype(np.int64).reshape(-1)
        self.first.encode(flat, _LAST_LOW_SCALE.repeat(flat.size), self._tables)
        self._note(flat)
        return prediction + UNITS_PER_STEP * symbols

    def begin_tile(self, level: int, region: Region) -> None:
        if level == 0 and self._tile_count:
            self.tiles.append(RangeEncoder())
            self._current = self.tiles[-1]
        self._target = self._highs[level][(..., *region)]

    def symbols(
        self, mean: torch.Tensor, prediction: Prediction, coded: torch.Tensor
    ) -> torch.Tensor:
        places = coded.flatten().nonzero()[:, 0]
        scale = prediction.scale.flatten()[places]
        target = self._target.flatten()[places].to(mean.dtype)
        residual = (target * self._factor - mean.flatten()[places]) * (1 / UNITS_PER_STEP)
        chosen = quantize(residual, scale, self._costs, self._rate_weight)
        flat = chosen.cpu().numpy().astype(np.int64)
        self._current.encode(flat, scale.cpu().numpy().astype(np.uint8), self._tables)
        self._note(flat)
        symbols = mean.new_zeros(mean.numel())
        symbols[places] = chosen
        return symbols.reshape(mean.shape)


class _DecoderSource(_Streams):
    def __init__(
        self,
        tables: ScaleTables,
        first: bytes,
        tiles: Sequence[bytes],
        plan: Plan,
        shape: tuple[int, ...],
    ) -> None:
        super().__init__(tables, plan, shape)
        self._first, self._tiles = RangeDecoder(first), iter(tiles)
        self._current = self._first

    def last_low(self, prediction: torch.Tensor) -> torch.Tensor:
        flat = self._first.decode(_LAST_LOW_SCALE.repeat(prediction.numel()), self._tables)
        self._note(flat)
        symbols = torch.from_numpy(flat.astype(np.float64)).to(prediction)
        return prediction + UNITS_PER_STEP * symbols.reshape(prediction.shape)

    def begin_tile(self, level: int, region: Region) -> None:
        if level == 0 and self._tile_count:
            self._current = RangeDecoder(next(self._tiles))

    def symbols(
        self, mean: torch.Tensor, prediction: Prediction, coded: torch.Tensor
    ) -> torch.Tensor:
        scale = prediction.scale[coded].cpu().numpy().astype(np.uint8)
        flat = self._current.decode(scale, self._tables)
        self._note(flat)
        values = torch.from_numpy(flat.astype(np.float64)).to(mean)
        return torch.zeros_like(mean).masked_scatter(coded, values)
