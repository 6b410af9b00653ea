"""From cached scans to batches of training crops.

CachedScan ─ register, warp template ─▶ Example ─ random crops, vary ─▶ batch of equal shapes
                                          └ slices ─▶ Examples
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from deepstd.shape.conditioning import Conditioning, condition_on
from deepstd.shape.model import FieldCode, ShapeModel
from deepstd.texture.anisotropy import relative_sizes
from deepstd.texture.scaling import Scaling
from deepstd.train.cache import CachedScan

_FACTORS = (1, 1, 2, 4)
_SHRUNK_AXIS_SHARE = 3 / 4
_SHRUNK_TO = 48
_OCTAVE = 2
_THICKNESSES = (1, 2, 4)


@dataclass(frozen=True)
class Example:
    """A scan or a crop of one, ready for the level loop.

    Attributes:
        values: (1, 1, *shape) float32, grey values less the scaling's offset.
        coarse: relative voxel sizes, see `lifting.coarseness`.
        scaling: range and offset codes of the whole scan.
        conditioning: warped template and places, or None.
        source: folder the scan came from.
    """

    values: torch.Tensor
    coarse: tuple[int, ...]
    scaling: Scaling
    conditioning: Conditioning | None
    source: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        """Spatial shape."""
        return tuple(self.values.shape[2:])

    def to(self, device: torch.device | str) -> Example:
        """The same on a device."""
        conditioning = self.conditioning
        if conditioning is not None:
            conditioning = Conditioning(*(t.to(device) for t in conditioning))
        return replace(self, values=self.values.to(device), conditioning=conditioning)


def make_example(scan: CachedScan, model: ShapeModel | None, code: FieldCode | None) -> Example:
    """Warp the template to a scan, if there is one, and fit the scan's scaling."""
    voxels = scan.voxels.astype(np.float32)
    conditioning = None
    if model is not None:
        conditioning = condition_on(model, code, voxels.shape, scan.affine)
    template = None if conditioning is None else conditioning.template.numpy()
    scaling = Scaling.fit(voxels, template)
    values = torch.from_numpy(voxels - np.float32(scaling.offset))[None, None]
    spacing = None
    if scan.affine is not None:
        spacing = tuple(np.linalg.norm(scan.affine[:3, : voxels.ndim], axis=0))
    return Example(values, relative_sizes(voxels, spacing), scaling, conditioning, scan.source)


def slices_of(volume: Example) -> list[Example]:
    """A volume's slices as images, as they are where slices are coded one by one.

    Along the axis with the thickest voxels; where none is thicker than the others along all three,
    as means of one, two and four slices.
    """
    shape, sizes = volume.shape, volume.coarse
    axis = int(np.argmax(sizes))
    alike = sizes[axis] == min(sizes)
    images = []
    for dim, thickness in enumerate(_THICKNESSES) if alike else [(axis, 1)]:
        within = [size for a, size in enumerate(sizes) if a != dim]
        coarse = tuple(size - min(within) for size in within)
        for part in volume.values.split(thickness, dim + 2)[: shape[dim] // thickness]:
            images.append(replace(volume, values=part.mean(dim + 2), coarse=coarse))
    return images


def draw(examples: list[Example], count: int, random: np.random.Generator) -> list[Example]:
    """Examples of one source folder, with voxels of equal proportions, perhaps one more than once.

    Every folder is as likely as any other.
    """
    sources = sorted({e.source for e in examples})
    source = sources[int(random.integers(len(sources)))]
    chosen = [e for e in examples if e.source == source]
    first = chosen[int(random.integers(len(chosen)))]
    alike = [e for e in chosen if e.coarse == first.coarse]
    return [first, *(alike[int(n)] for n in random.integers(len(alike), size=count - 1))]


def random_crops(
    examples: list[Example], largest: int, random: np.random.Generator
) -> list[Example]:
    """Crops of equal shape, at most ``largest`` voxels along each axis on average.

    Scans thinner than a crop give their depth to the other axes, up to the same number of voxels.
    """
    return _crops(examples, largest ** len(examples[0].shape), random)


def varied_crops(
    examples: list[Example], largest: int, random: np.random.Generator
) -> list[Example]:
    """`random_crops` of scans without a template, mirrored, turned and shrunk at random.

    Half of the batches are of crops two or four times as large along some axes, their voxels
    averaged: as a scanner with larger voxels would have made them, with less noise and finer
    structure.
    """
    ndim = len(examples[0].shape)
    factor = _FACTORS[int(random.integers(len(_FACTORS)))]
    room = [a for a in range(ndim) if min(e.shape[a] for e in examples) >= _SHRUNK_TO * factor]
    shrunk = room if ndim == 2 else [a for a in room if random.random() < _SHRUNK_AXIS_SHARE]
    factors = tuple(factor if a in shrunk else 1 for a in range(ndim))
    crops = _crops(examples, largest**ndim * math.prod(factors), random)
    turned = random.random() < 0.5
    return [_varied(crop, factors, turned, random) for crop in crops]


def shrink_factor(lengths: Sequence[int], random: np.random.Generator) -> int:
    """By how much an image of these lengths is to be shrunk; 1 where too little would be left."""
    factor = _FACTORS[int(random.integers(len(_FACTORS)))]
    return factor if min(lengths) >= _SHRUNK_TO * factor else 1


def _crops(examples: list[Example], budget: int, random: np.random.Generator) -> list[Example]:
    shape = np.min([e.shape for e in examples], axis=0).tolist()
    while np.prod(shape) > budget:
        longest = int(np.argmax(shape))
        shape[longest] = max(1, min(int(shape[longest] * 0.9), shape[longest] - 1))
    return [_crop(example, shape, random) for example in examples]


def _crop(example: Example, sizes: list[int], random: np.random.Generator) -> Example:
    starts = [int(random.integers(n - s + 1)) for n, s in zip(example.shape, sizes, strict=True)]
    window = (..., *(slice(a, a + s) for a, s in zip(starts, sizes, strict=True)))
    conditioning = example.conditioning
    if conditioning is not None:
        conditioning = Conditioning(*(t[window].contiguous() for t in conditioning))
    return replace(example, values=example.values[window].contiguous(), conditioning=conditioning)


def _varied(
    example: Example, factors: tuple[int, ...], turned: bool, random: np.random.Generator
) -> Example:
    """Shrunk along some axes, the first two axes swapped or not, and mirrored at random."""
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
