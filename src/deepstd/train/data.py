"""Training examples from cached scans, and batches of crops.

CachedScan ─ register, warp template ─▶ Example ─ random crops ─▶ batch of equal shapes
                                          └ slices ─▶ Examples
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from deepstd.shape.conditioning import condition_on
from deepstd.shape.model import FieldCode, ShapeModel
from deepstd.texture.networks.conditioning import TensorConditioning
from deepstd.texture.scaling import Scaling
from deepstd.texture.wavelet.anisotropy import relative_sizes
from deepstd.train.cache import CachedScan

_THICKNESSES = (1, 2, 4)


@dataclass(frozen=True)
class Example:
    """Scan, or crop of a scan, prepared for training.

    Attributes:
        values: (1, 1, *shape) float32, grey values minus the scaling's offset.
        coarse: relative spacing codes of the voxels, in half octaves.
        scaling: range and offset codes of the whole scan.
        conditioning: warped template and coordinates, or None.
        source: number of the source folder.
    """

    values: torch.Tensor
    coarse: tuple[int, ...]
    scaling: Scaling
    conditioning: TensorConditioning | None
    source: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along each axis."""
        return tuple(self.values.shape[2:])

    def to(self, device: torch.device | str) -> Example:
        """Return the example on a device."""
        conditioning = self.conditioning
        if conditioning is not None:
            conditioning = TensorConditioning(*(t.to(device) for t in conditioning))
        return replace(self, values=self.values.to(device), conditioning=conditioning)


Window = tuple[slice, ...]
Cut = Callable[[Example, Window], Example]


def make_example(scan: CachedScan, model: ShapeModel | None, code: FieldCode | None) -> Example:
    """Make an example of a scan: warp the template and fit the scaling.

    Args:
        scan: scan of a cache.
        model: shape model with the template; None for no conditioning.
        code: deformation field of the scan; None for its headers alone.

    Raises:
        GeometryError: the scan cannot be laid on the template.
    """
    voxels = scan.voxels.astype(np.float32)
    conditioning, template = None, None
    if model is not None:
        template, places = condition_on(model, code, voxels.shape, scan.affine)
        conditioning = TensorConditioning(torch.from_numpy(template), torch.from_numpy(places))
    scaling = Scaling.fit(voxels, template)
    values = torch.from_numpy(voxels - np.float32(scaling.offset))[None, None]
    spacing = None
    if scan.affine is not None:
        spacing = tuple(np.linalg.norm(scan.affine[:3, : voxels.ndim], axis=0))
    return Example(values, relative_sizes(voxels, spacing), scaling, conditioning, scan.source)


def slices_of(volume: Example) -> list[Example]:
    """Return the slices of a volume as images, like in slice-wise coding.

    The slices are perpendicular to the axis of the thickest voxels. Isotropic volumes are sliced
    along all three axes instead, as means of one, two and four slices.
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
    """Draw examples of one source folder and equal voxel proportions, with replacement.

    Every folder is equally likely.
    """
    sources = sorted({e.source for e in examples})
    source = sources[int(random.integers(len(sources)))]
    chosen = [e for e in examples if e.source == source]
    first = chosen[int(random.integers(len(chosen)))]
    alike = [e for e in chosen if e.coarse == first.coarse]
    return [first, *(alike[int(n)] for n in random.integers(len(alike), size=count - 1))]


def window_of(example: Example, window: Window) -> Example:
    """Return a window of an example."""
    here = (..., *window)
    conditioning = example.conditioning
    if conditioning is not None:
        conditioning = TensorConditioning(*(t[here].contiguous() for t in conditioning))
    return replace(example, values=example.values[here].contiguous(), conditioning=conditioning)


def random_crops(
    examples: list[Example], largest: int, random: np.random.Generator, cut: Cut = window_of
) -> list[Example]:
    """Draw a crop of each example; all crops have one shape.

    Scans thinner than ``largest`` get longer crops along the other axes, up to the same volume.

    Args:
        examples: examples of one number of axes.
        largest: edge of the crops in voxels, on average.
        random: source of the draws.
        cut: returns a window of an example, as it is or deformed.
    """
    return crops_within(examples, largest ** len(examples[0].shape), random, cut)


def crops_within(
    examples: list[Example], budget: int, random: np.random.Generator, cut: Cut = window_of
) -> list[Example]:
    """Draw a crop of at most ``budget`` voxels of each example; all crops have one shape."""
    shape = np.min([e.shape for e in examples], axis=0).tolist()
    while np.prod(shape) > budget:
        longest = int(np.argmax(shape))
        shape[longest] = max(1, min(int(shape[longest] * 0.9), shape[longest] - 1))
    return [cut(example, _random_window(example, shape, random)) for example in examples]


def _random_window(example: Example, sizes: list[int], random: np.random.Generator) -> Window:
    starts = [int(random.integers(n - s + 1)) for n, s in zip(example.shape, sizes, strict=True)]
    return tuple(slice(a, a + s) for a, s in zip(starts, sizes, strict=True))
