"""From cached scans to batches of training crops.

CachedScan ─ register, warp template ─▶ Example ─ random crops ─▶ batch of equal shapes
                                          └ slices ─▶ Examples
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from deepstd.shape.conditioning import Conditioning, condition_on
from deepstd.shape.model import FieldCode, ShapeModel
from deepstd.texture.scaling import Scaling
from deepstd.texture.wavelet.anisotropy import relative_sizes
from deepstd.train.cache import CachedScan

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
    return crops_within(examples, largest ** len(examples[0].shape), random)


def crops_within(
    examples: list[Example], budget: int, random: np.random.Generator
) -> list[Example]:
    """Crops of equal shape and at most ``budget`` voxels."""
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
