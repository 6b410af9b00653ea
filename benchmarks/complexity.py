"""Multiplications per voxel of each part of a decoder.

sizes of a bundle's networks, grids of one scan's levels ─▶ kMAC per voxel, Markdown

    python benchmarks/complexity.py

The halos of tiles, up to 40 % more in three dimensions, are not counted. Every pass of a context
model counts at all positions, as the reference computes it; the engine leaves out the others'.
"""

from __future__ import annotations

import math

from deepstd.bundle import Bundle
from deepstd.codec.codec import Codec
from deepstd.shape.field import lattice_stride
from deepstd.shape.model import ShapeModel
from deepstd.texture.entropy.context import LevelContext
from deepstd.texture.filters.postfilter import PostFilter
from deepstd.texture.filters.wiener import half_neighbourhood
from deepstd.texture.wavelet.lifting import grid_shapes, split_plan
from deepstd.texture.wavelet.network import WaveletNetwork

_BUNDLES = ("generic", "hippocampus-t1", "chest-xray")
_EDGE = {2: 256, 3: 64}
# Multiplications per sample, axis and level: four lifting steps, two scalings per pair of samples.
_LIFTING = 3
# Most coefficients of a pair of neighbours in a Wiener filter.
_KNOTS = 8
# 2ⁿ − 1 linear interpolations by number of axes n.
_WARP = {2: 3, 3: 7}


def counted(network: WaveletNetwork) -> dict[str, float]:
    """Count the multiplications per voxel of every part of the texture stage."""
    ndim = network.config.ndim
    shape = (_EDGE[ndim],) * ndim
    voxels = math.prod(shape)
    plan = split_plan(shape, (0,) * ndim)
    models = network.context.levels
    parts: dict[str, float] = {}
    for number, grid in enumerate(grid_shapes(shape, plan)[1:]):
        level = min(number, len(models) - 1)
        more = " and coarser" if level + 1 == len(models) else ""
        title = f"context model, level {level + 1}{more}"
        work = _context_work(models[level], math.prod(grid))
        parts[title] = parts.get(title, 0.0) + work / voxels
    if isinstance(network.postfilter, PostFilter):
        # Its convolutions run over the scan folded to half its size.
        parts["post-filter"] = sum(x.weight.size for x in network.postfilter.layers) / 2**ndim
    samples, lifting = float(voxels), 0.0
    for axes in plan:
        lifting += samples * len(axes) * _LIFTING
        samples /= 2 ** len(axes)
    parts["9/7 lifting"] = lifting / voxels
    return parts


def _context_work(model: LevelContext, positions: int) -> float:
    """Return the multiplications of a level; those of the condition are done once."""
    return sum(
        layer.weight.size * (1 if name.endswith("condition") else positions)
        for name, layer in model.layers.items()
    )


def shape_stage(bundle: Bundle) -> dict[str, float]:
    """Count the multiplications per voxel of the field and the warp; empty without a template."""
    if bundle.shape is None or bundle.manifest.shape is None:
        return {}
    model = ShapeModel.from_tensors(bundle.shape, bundle.manifest.shape)
    width = model.weight1.shape[-1]
    node = model.ndim * width + width * width + width * model.ndim
    stride = lattice_stride(max(model.template.shape))
    return {
        f"field, one voxel in {stride**model.ndim}": node / stride**model.ndim,
        "backward warp": float(_WARP[model.ndim]),
    }


def main() -> None:
    """Print the table of all bundles."""
    print("| bundle | network | part | kMAC a voxel |\n| --- | --- | --- | --- |")
    for name in _BUNDLES:
        codec = Codec.load(name, device="cpu")
        for part, network in codec.model.networks.items():
            if not isinstance(network, WaveletNetwork):
                raise TypeError(f"{name}: not a network of the wavelet")
            parts = {**counted(network), **shape_stage(codec.bundle)}
            if codec.model.shape_model is None:
                pairs = len(half_neighbourhood(network.config.ndim))
                parts["Wiener filter"] = float(pairs * _KNOTS)
            title = part if isinstance(part, str) else f"{part}-D"
            for layer, number in [*parts.items(), ("sum", sum(parts.values()))]:
                print(f"| {name} | {title} | {layer} | {number / 1000:.3f} |")


if __name__ == "__main__":
    main()
