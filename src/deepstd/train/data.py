"""From cached scans to batches of training crops.

CachedScan ─ register, warp template ─▶ Example ─ random crops, flip ─▶ batch of equal shapes
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from deepstd.shape.conditioning import Conditioning, condition_on
from deepstd.shape.model import FieldCode, ShapeModel
from deepstd.texture.lifting import coarseness
from deepstd.texture.scaling import Scaling
from deepstd.train.cache import CachedScan


@dataclass(frozen=True)
class Example:
    """A scan or a crop of one, ready for the level loop.

    Attributes:
        values: (1, 1, *shape) float32, grey values less the scaling's offset.
        spacing: voxel size along each axis, or None.
        scaling: range and offset codes of the whole scan.
        conditioning: warped template and places, or None.
        source: folder the scan came from.
    """

    values: torch.Tensor
    spacing: tuple[float, ...] | None
    scaling: Scaling
    conditioning: Conditioning | None
    source: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        """Spatial shape."""
        return tuple(self.values.shape[2:])

    @property
    def coarse(self) -> tuple[int, ...]:
        """Relative voxel sizes, see `lifting.coarseness`."""
        return coarseness(self.spacing, len(self.shape))

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
    return Example(values, spacing, scaling, conditioning, scan.source)


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
    examples: list[Example], largest: int, flips: bool, random: np.random.Generator
) -> list[Example]:
    """Crops of equal shape, at most ``largest`` voxels along each axis on average.

    Scans thinner than a crop give their depth to the other axes, up to the same number of voxels.
    Crops are mirrored at random if ``flips`` says so.
    """
    shape = np.min([e.shape for e in examples], axis=0).tolist()
    budget = largest ** len(shape)
    while np.prod(shape) > budget:
        longest = int(np.argmax(shape))
        shape[longest] = max(1, min(int(shape[longest] * 0.9), shape[longest] - 1))
    return [_crop(example, shape, flips, random) for example in examples]


def _crop(example: Example, sizes: list[int], flips: bool, random: np.random.Generator) -> Example:
    shape = example.shape
    starts = [int(random.integers(n - s + 1)) for n, s in zip(shape, sizes, strict=True)]
    window = (..., *(slice(a, a + s) for a, s in zip(starts, sizes, strict=True)))
    dims = [d + 2 for d in range(len(shape)) if flips and random.random() < 0.5]

    def cut(x: torch.Tensor) -> torch.Tensor:
        return x[window].flip(dims) if dims else x[window].contiguous()

    conditioning = example.conditioning
    if conditioning is not None:
        conditioning = Conditioning(cut(conditioning.template), cut(conditioning.places))
    return replace(example, values=cut(example.values), conditioning=conditioning)
