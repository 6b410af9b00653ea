"""Training batches for the network of bidirectional and forward-predicted slices.

    volume ─ axis, thickness, shrinking ─ equal crops of slices k − d, k, k + d ─▶ units
    slices k − d, k + d ─ quantised, or coded bidirectionally ─▶ Hint: prediction, coordinates

The reference slices are reconstructions, as in a decoder. For intra slices a dead-zone quantiser
stands in; bidirectional slices are coded by the network itself. Thin slices are averaged to thicker
slices, so that one network sees all thicknesses.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from deepstd.texture.conditioning import Hint
from deepstd.texture.entropy.features import UNITS_PER_STEP
from deepstd.texture.networks.conditioning import TensorHint, tensors_of
from deepstd.texture.networks.lifting import decompose, merge
from deepstd.texture.networks.network import TextureNetwork
from deepstd.texture.scaling import STEPS_PER_OCTAVE, log_rate
from deepstd.texture.slices.schedule import hint_after, hint_between
from deepstd.texture.wavelet.lifting import Plan, grid_shapes, split_plan
from deepstd.train.coding import Batch, code_units
from deepstd.train.config import TrainConfig
from deepstd.train.data import Example, draw
from deepstd.train.variation import shrink_factor

# Distances to the references of bidirectional slices, and their shares of the batches.
_DISTANCES, _SHARES = (1, 2, 4), (0.5, 0.3, 0.2)
_CHAINED_SHARE = 0.4  # bidirectional batches with a bidirectional reference
_AFTER_DISTANCES, _AFTER_SHARE = (1, 2, 4, 8), 0.25  # forward prediction
_THICKNESSES = (1, 2, 3, 5)  # slices averaged to one
_OTHER_AXIS_SHARE = 0.4
_SLICES_OF_A_CHAIN = 5
FEWEST = 3
"""Fewest voxels of a training volume along an axis: a slice and two references."""
_DEAD_ZONES = (0.15, 0.35)  # in quantisation steps
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
    """Draw slices to code, with their predictions.

    Args:
        network: network in training; it also codes bidirectional references.
        examples: volumes of at least `FEWEST` voxels along every axis.
        config: description of the run.
        random: source of the draws.
        generator: source of the quantiser's noise.
        largest: edge of the crops in pixels, on average.
        code: log2(range / step) of all slices, times `STEPS_PER_OCTAVE`; None to draw it for each.

    Returns:
        The batch, and the relative spacing codes of its pixels.
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
        hint = _hint(hint_after, _quantised(at(-distance), plan, dead), distance=distance)
        return Batch(at(0), hint, rates), view.coarse
    before, after = _quantised(torch.cat([at(-distance), at(far)]), plan, dead).chunk(2)
    if chained:
        hint = _hint(hint_between, before, after, distance=2 * distance)
        batch = Batch(at(distance), hint, rates)
        with torch.no_grad():
            after = code_units(network, batch, view.coarse, config.rate_weight, generator).low
    hint = _hint(hint_between, before, after, distance=distance)
    return Batch(at(0), hint, rates), view.coarse


def _hint(predict: Callable[..., Hint], *references: torch.Tensor, distance: int) -> TensorHint:
    """Predict slices from reference slices as the coder does, on the references' device."""
    known = (np.floor(slices.double().cpu().numpy()) for slices in references)
    hint = tensors_of(predict(*known, distance), references[0].device)
    return TensorHint(hint.units.to(references[0].dtype), hint.places.to(references[0].dtype))


class _View:
    """Volume sliced along an axis, with thicker and smaller slices.

    Attributes:
        count: number of slices.
        shape: pixels of a crop along both axes.
        coarse: relative spacing codes of the pixels, in half octaves.
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
        """Draw axis, thickness and size, leaving slices for references on both sides."""
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
        """Draw a slice and a crop; return a function from an offset to that slice's crop.

        Positive offsets lead to either end of the volume, by chance. Crops are (1, 1, h, w).

        Args:
            before: slices needed at negative offsets.
            after: slices needed at positive offsets.
            scale: factor on the grey values, units a grey level.
            random: source of the draws.
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
    """Return images as reconstructed from intra coding: wavelet and dead-zone quantiser.

    Args:
        units: (B, 1, h, w) in 1/64 step.
        plan: axes that each level of the wavelet splits.
        dead: offset of the rounding towards zero, in steps.
    """
    lows, highs = decompose(units, plan)
    low = lows[-1] if lows else units
    low = UNITS_PER_STEP * torch.floor(low / UNITS_PER_STEP + 0.5)
    shapes = grid_shapes(units.shape[2:], plan)
    for level in reversed(range(len(plan))):
        steps = torch.floor(highs[level].abs() / UNITS_PER_STEP + (0.5 - dead)).clamp(min=0)
        high = UNITS_PER_STEP * steps * torch.sign(highs[level])
        low = merge(low, high, plan[level], shapes[level])
    return low
