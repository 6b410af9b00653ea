"""Multiplications per voxel of each part of a decoder.

bundle ─ one small scan through the coder, layers counted ─▶ kMAC per voxel, Markdown

    python benchmarks/complexity.py

The halos of tiles, up to 40 % more in three dimensions, are not counted.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import torch
from torch import nn

from deepstd.bundle import Bundle
from deepstd.codec.codec import Codec
from deepstd.conditioning import Conditioning
from deepstd.shape.field import lattice_stride
from deepstd.shape.model import ShapeModel
from deepstd.texture.filters.wiener import half_neighbourhood
from deepstd.texture.networks.network import TextureNetwork
from deepstd.texture.wavelet.encoder import TextureEncoder
from deepstd.texture.wavelet.lifting import split_plan

_BUNDLES = ("generic", "hippocampus-t1", "chest-xray")
_EDGE = {2: 256, 3: 64}
# Multiplications per sample, axis and level: four lifting steps, two scalings per pair of samples.
_LIFTING = 3
# Most coefficients of a pair of neighbours in a Wiener filter.
_KNOTS = 8
# 2ⁿ − 1 linear interpolations by number of axes n.
_WARP = {2: 3, 3: 7}


def counted(network: TextureNetwork) -> dict[str, float]:
    """Count the multiplications per voxel of every part of the texture stage."""
    ndim = network.config.ndim
    shape = (_EDGE[ndim],) * ndim
    totals: Counter[str] = Counter()

    def hook(name: str) -> Any:
        def count(layer: nn.Module, inputs: Any, output: torch.Tensor) -> None:
            weight: Any = layer.weight
            totals[name] += output[0, 0].numel() * weight.numel()

        return count

    for name, layer in network.named_modules():
        weight = getattr(layer, "weight", None)
        if isinstance(weight, torch.Tensor) and weight.ndim > 2:
            part = ".".join(name.split(".")[:3]) if name.startswith("context") else "postfilter"
            layer.register_forward_hook(hook(part))
    conditioning = None
    if network.config.template:
        template = np.zeros((1, 1, *shape), np.int32)
        conditioning = Conditioning(template, np.zeros((1, ndim, *shape), np.int16))
    values = np.random.default_rng(0).normal(size=shape)
    encoder = TextureEncoder(network, values, None, conditioning)
    encoder.restored(encoder.encode(2048, 0.08), 2048)
    voxels = math.prod(shape)
    parts = {_title(name, network): count / voxels for name, count in totals.items()}
    plan = split_plan(shape, (0,) * ndim)
    samples, lifting = float(voxels), 0.0
    for axes in plan:
        lifting += samples * len(axes) * _LIFTING
        samples /= 2 ** len(axes)
    parts["9/7 lifting"] = lifting / voxels
    return parts


def _title(name: str, network: TextureNetwork) -> str:
    if not name.startswith("context"):
        return "post-filter"
    number = int(name.split(".")[-1])
    last = number + 1 == len(network.context.levels)
    return f"context model, level {number + 1}" + (" and coarser" if last else "")


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
            parts = {**counted(network), **shape_stage(codec.bundle)}
            if codec.model.shape_model is None:
                pairs = len(half_neighbourhood(network.config.ndim))
                parts["Wiener filter"] = float(pairs * _KNOTS)
            title = part if isinstance(part, str) else f"{part}-D"
            for layer, number in [*parts.items(), ("sum", sum(parts.values()))]:
                print(f"| {name} | {title} | {layer} | {number / 1000:.3f} |")


if __name__ == "__main__":
    main()
