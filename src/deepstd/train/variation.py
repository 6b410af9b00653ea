"""Augmentation of crops: simulated scanners with other voxel sizes.

without a template: mirrored, turned, voxels averaged ─▶ as of a scanner with larger voxels
with one:           interpolated, noise added         ─▶ as of a detector with smaller pixels
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch.nn import functional

from deepstd.texture.networks.conditioning import TensorConditioning
from deepstd.train.data import Cut, Example, crops_within, window_of

_FACTORS = (1, 1, 2, 4)  # shrink factors, equally likely
_SHRUNK_AXIS_SHARE = 3 / 4  # axes of a volume that shrink with its batch
_SHRUNK_TO = 48  # fewest voxels of a shrunk scan along an axis
_OCTAVE = 2  # spacing codes in an octave
_MAGNIFIED_OCTAVES = 2.0  # largest magnification
_NORMAL_MEAN = 0.7979  # √(2/π): mean magnitude of normal noise of deviation 1


def varied_crops(
    examples: list[Example], largest: int, random: np.random.Generator, cut: Cut = window_of
) -> list[Example]:
    """Draw crops of scans without a template, mirrored, turned and shrunk at random.

    In half of the batches, crops are two or four times longer along some axes and their voxels are
    averaged. This simulates a scanner with larger voxels: less noise and finer structure.

    Args:
        examples: examples of one number of axes.
        largest: edge of the crops in voxels, on average.
        random: source of the draws.
        cut: returns a window of an example, as it is or deformed.
    """
    ndim = len(examples[0].shape)
    factor = _FACTORS[int(random.integers(len(_FACTORS)))]
    room = [a for a in range(ndim) if min(e.shape[a] for e in examples) >= _SHRUNK_TO * factor]
    shrunk = room if ndim == 2 else [a for a in room if random.random() < _SHRUNK_AXIS_SHARE]
    factors = tuple(factor if a in shrunk else 1 for a in range(ndim))
    crops = crops_within(examples, largest**ndim * math.prod(factors), random, cut)
    turned = random.random() < 0.5
    return [_varied(crop, factors, turned, random) for crop in crops]


def shrink_factor(lengths: Sequence[int], random: np.random.Generator) -> int:
    """Draw a shrink factor for an image; 1 where an axis would keep fewer than 48 pixels."""
    factor = _FACTORS[int(random.integers(len(_FACTORS)))]
    return factor if min(lengths) >= _SHRUNK_TO * factor else 1


def magnified_crops(
    examples: list[Example], largest: int, random: np.random.Generator, cut: Cut = window_of
) -> list[Example]:
    """Draw crops of images with a template; magnify half of the batches one to four times.

    Structure is interpolated. Noise is added, as smaller pixels have more of it: at most the level
    that averaging to the original pixels reduces to the noise of the original.

    Args:
        examples: images.
        largest: edge of the crops in pixels, on average.
        random: source of the draws.
        cut: returns a window of an example, as it is or deformed.
    """
    if random.random() < 0.5:
        return crops_within(examples, largest**2, random, cut)
    factor = 2.0 ** float(random.uniform(0.0, _MAGNIFIED_OCTAVES))
    crops = crops_within(examples, max(round((largest / factor) ** 2), 64), random, cut)
    return [_magnified(crop, factor, random) for crop in crops]


def _varied(
    example: Example, factors: tuple[int, ...], turned: bool, random: np.random.Generator
) -> Example:
    """Shrink a crop by factors, swap its first two axes if ``turned``, and mirror it at random."""
    ndim = len(example.shape)
    values = example.values
    for axis, factor in enumerate(factors):
        if factor > 1:
            values = values.unfold(2 + axis, factor, factor).mean(-1)
    sizes = [
        c + _OCTAVE * round(math.log2(f)) for c, f in zip(example.coarse, factors, strict=True)
    ]
    if turned:
        values = values.transpose(2, 3)
        sizes[:2] = sizes[1], sizes[0]
    coarse = tuple(size - min(sizes) for size in sizes)
    mirrored = [d + 2 for d in range(ndim) if random.random() < 0.5]
    return replace(example, values=values.flip(mirrored).contiguous(), coarse=coarse)


def _magnified(example: Example, factor: float, random: np.random.Generator) -> Example:
    size = [round(n * factor) for n in example.shape]

    def interpolated(x: torch.Tensor, mode: str) -> torch.Tensor:
        return functional.interpolate(x.float(), size, mode=mode, align_corners=False)

    noise = torch.from_numpy(random.standard_normal(size, dtype=np.float32))
    level = float(random.uniform(0.0, factor)) * _noise_level(example.values)
    values = interpolated(example.values, "bicubic") + level * noise.to(example.values.device)
    conditioning = example.conditioning
    if conditioning is not None:
        template, places = (interpolated(part, "bilinear").round() for part in conditioning)
        conditioning = TensorConditioning(template.int(), places.to(torch.int16))
    return replace(example, values=values, conditioning=conditioning)


def _noise_level(image: torch.Tensor) -> float:
    """Estimate the noise's standard deviation by diagonal details, which hold few edges."""
    by_columns = image[..., 1:] - image[..., :-1]
    details = 0.5 * (by_columns[..., 1:, :] - by_columns[..., :-1, :])
    return float(details.abs().mean()) / _NORMAL_MEAN
