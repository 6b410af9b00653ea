"""Training batches for the network that codes slices between two decoded ones, or after one.

    volume ─ axis, thickness, shrinking ─ slices at k − d, k, k + d, cut alike ─▶ units
    slices at k − d, k + d ─ quantised, or coded between slices farther off ─▶ Hint

The slices on both sides are what a decoder has: coded alone, for which a dead-zone quantiser stands
in, or coded by the network itself between two others. Thin slices are averaged to thicker ones, so
that one network sees all thicknesses.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from deepstd.texture.entropy.features import UNITS_PER_STEP
from deepstd.texture.scaling import STEPS_PER_OCTAVE, log_rate
from deepstd.texture.slices.schedule import hint_after, hint_between
from deepstd.texture.wavelet.lifting import Plan, decompose, grid_shapes, merge, split_plan
from deepstd.texture.wavelet.network import TextureNetwork
from deepstd.train.coding import Batch, code_units
from deepstd.train.config import TrainConfig
from deepstd.train.data import Example, draw
from deepstd.train.variation import shrink_factor

_DISTANCES, _SHARES = (1, 2, 4), (0.5, 0.3, 0.2)
_CHAINED_SHARE = 0.4
_AFTER_DISTANCES, _AFTER_SHARE = (1, 2, 4, 8), 0.25
_THICKNESSES = (1, 2, 3, 5)
_OTHER_AXIS_SHARE = 0.4
_SLICES_OF_A_CHAIN = 5
FEWEST = 3
_DEAD_ZONES = (0.15, 0.35)
Slices = Callable[[int], torch.Tensor]


def draw_batch(
    network: TextureNetwork,
    examples: list[Example],
    config: TrainConfig,
    random: np.random.Generator,
    generator: torch.Generator,
    *,
    largest: int,
    code: int | None = None,
) -> tuple[Batch, tuple[int, ...]]:
    """Slices to code, with their hints, and the relative sizes of their pixels.

    Args:
        network: in training; it codes some of the slices that others lie between.
        examples: volumes of at least `FEWEST` voxels along every axis.
        config: of the run.
        random, generator: of what is drawn, and of the noise that code_units asks for.
        largest: crops have at most so many pixels along an axis, on average.
        code: step code of all slices; drawn if None.
    """
    volume = draw(examples, 1, random)[0]
    view = _View.draw(volume, largest, random)
    between = random.random() >= _AFTER_SHARE
    if between:
        distance = int(random.choice(_DISTANCES, p=_SHARES))
    else:
        distance = int(random.choice(_AFTER_DISTANCES))
    while (2 if between else 1) * distance + 1 > view.count and distance > 1:
        distance //= 2
    chained = between and random.random() < _CHAINED_SHARE and 4 * distance + 1 <= view.count
    far = 3 * distance if chained else distance if between else 0
    codes = [
        round(float(random.uniform(*config.rates)) * STEPS_PER_OCTAVE) if code is None else code
        for _ in range(config.batch)
    ]
    crops = [
        view.crop(distance, far, UNITS_PER_STEP / step, random)
        for step in (volume.scaling.step(code) for code in codes)
    ]

    def at(offset: int) -> torch.Tensor:
        return torch.cat([crop(offset) for crop in crops])

    plan = split_plan(view.shape, view.coarse)
    rates = [log_rate(code) for code in codes]
    dead = float(random.uniform(*_DEAD_ZONES))

    if not between:
        hint = hint_after(_quantised(at(-distance), plan, dead), distance)
        return Batch(at(0), hint.units, hint.places, rates), view.coarse
    before, after = _quantised(torch.cat([at(-distance), at(far)]), plan, dead).chunk(2)
    if chained:
        hint = hint_between(before, after, 2 * distance)
        batch = Batch(at(distance), hint.units, hint.places, rates)
        with torch.no_grad():
            after = code_units(network, batch, view.coarse, config.rate_weight, generator).low
    hint = hint_between(before, after, distance)
    return Batch(at(0), hint.units, hint.places, rates), view.coarse


class _View:
    """A volume seen along an axis, its slices made thicker and smaller.

    Attributes:
        count: slices.
        shape: of a crop.
        coarse: relative sizes of its pixels.
    """

    def __init__(
        self, volume: Example, axis: int, thickness: int, factor: int, shape: tuple[int, ...]
    ) -> None:
        self._values = volume.values[0, 0].movedim(axis, 0)
        self._thickness, self._factor = thickness, factor
        self.count = len(self._values) // thickness
        self.shape = shape
        sizes = [size for a, size in enumerate(volume.coarse) if a != axis]
        self.coarse = tuple(size - min(sizes) for size in sizes)

    @staticmethod
    def draw(volume: Example, largest: int, random: np.random.Generator) -> _View:
        """A view such that there are slices on both sides of one."""
        axis = int(np.argmax(volume.coarse))
        thick = volume.coarse[axis] > min(volume.coarse) + 1
        if not thick and random.random() < _OTHER_AXIS_SHARE:
            axis = int(random.integers(3))
        room = volume.shape[axis] // _SLICES_OF_A_CHAIN
        thicknesses = [t for t in _THICKNESSES if t <= room] if not thick else []
        thickness = int(random.choice(thicknesses or [1]))
        lengths = [n for a, n in enumerate(volume.shape) if a != axis]
        factor = shrink_factor(lengths, random)
        shape = tuple(min(largest, n // factor) for n in lengths)
        return _View(volume, axis, thickness, factor, shape)

    def crop(self, before: int, after: int, scale: float, random: np.random.Generator) -> Slices:
        """A place with so many slices on its two sides; gives the slice at an offset, in units.

        Positive offsets lead to the second side, which may be either of the volume's.
        """
        thickness, factor = self._thickness, self._factor
        direction = 1 if random.random() < 0.5 else -1
        lower, upper = (before, after) if direction > 0 else (after, before)
        index = int(random.integers(lower, self.count - upper))
        extents = [n * factor for n in self.shape]
        starts = [
            int(random.integers(n - extent + 1))
            for n, extent in zip(self._values.shape[1:], extents, strict=True)
        ]
        window = tuple(slice(s, s + e) for s, e in zip(starts, extents, strict=True))
        mirrored = [dim for dim in (2, 3) if random.random() < 0.5]

        def at(offset: int) -> torch.Tensor:
            number = index + direction * offset
            part = self._values[(slice(number * thickness, (number + 1) * thickness), *window)]
            image = torch.nn.functional.avg_pool2d(part.mean(0)[None, None], factor)
            return (image * scale).flip(mirrored)

        return at


def _quantised(units: torch.Tensor, plan: Plan, dead: float) -> torch.Tensor:
    """Images as a decoder has them that were coded alone: wavelet, dead-zone quantiser."""
    lows, highs = decompose(units, plan)
    low = lows[-1] if lows else units
    low = UNITS_PER_STEP * torch.floor(low / UNITS_PER_STEP + 0.5)
    shapes = grid_shapes(units.shape[2:], plan)
    for level in reversed(range(len(plan))):
        steps = torch.floor(highs[level].abs() / UNITS_PER_STEP + (0.5 - dead)).clamp(min=0)
        high = UNITS_PER_STEP * steps * torch.sign(highs[level])
        low = merge(low, high, plan[level], shapes[level])
    return low
