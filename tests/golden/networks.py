"""Three bundles of a few tens of kilobytes, trained for so many steps rather than seconds.

    procedural scans ─ template, shape model ─┐
                     └ so many steps of Adam ─┴ frozen tables ─▶ bundle

One thread, seeds and a clock that counts its readings make a run repeatable on one machine. On
another the last bits of floats differ, so a bundle that exists is never made again: its files
could not be decoded any more.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch

from deepstd import bundle
from deepstd.shape import ShapeModel
from deepstd.shape.register import register_all
from deepstd.texture.autoencoder.config import AutoencoderConfig
from deepstd.texture.description import Config, description_of
from deepstd.texture.kinds import BETWEEN, Part
from deepstd.texture.trainable import Trainable, untrained
from deepstd.texture.wavelet.network import TextureConfig
from deepstd.train.between import FEWEST
from deepstd.train.cache import CachedScan
from deepstd.train.config import TrainConfig
from deepstd.train.data import make_example
from deepstd.train.loop import averaged, freeze_tables, new_state, train_until
from deepstd.train.template.build import build_shape_model
from tests.golden.scans import body

BUNDLES = Path(__file__).parent / "bundles"
SCANS = 16
IMAGE, VOLUME = (64, 56), (22, 26, 18)
SPACING = np.diag([1.0, 1.0, 1.2, 1.0])
STEPS, TABLE_BATCHES = 250, 12
# A shape model of this width has modes enough to lay one procedural body on another.
WIDTH = 10
PARTS: dict[str, dict[Part, Config]] = {
    "golden-plain": {
        2: TextureConfig(2, (12, 8), False, 6, 1),
        3: TextureConfig(3, (12, 8), False, 0, 0),
        BETWEEN: TextureConfig(2, (10, 8), True, 6, 1),
    },
    "golden-template": {3: TextureConfig(3, (12, 8), True, 6, 1)},
    "golden-autoencoder": {
        2: AutoencoderConfig(2, (16,), 8, 4, 4, False),
        3: AutoencoderConfig(3, (16,), 8, 4, 2, False),
    },
}


def make_bundle(name: str, folder: Path) -> None:
    """Train the networks of a bundle and write it."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    template = name == "golden-template"
    scans = [_scan(shape, seed) for shape in (IMAGE, VOLUME) for seed in range(SCANS)]
    shape = _shape_model([s for s in scans if s.voxels.ndim == 3]) if template else None
    networks = {part: _trained(part, config, scans, shape) for part, config in PARTS[name].items()}
    description: Mapping[str, object] = {
        "name": name,
        "version": "1",
        "modality": "none",
        "body_part": "none",
        "description": "Of procedural scans, for golden files.",
        "licence": "Apache-2.0",
        "networks": {str(p): description_of(n.config) for p, n in networks.items()},
        "rate_weight": 0.08,
        "shape": None if shape is None else shape.metadata(),
    }
    arrays = {str(part): network.to_tensors() for part, network in networks.items()}
    tensors = None if shape is None else shape.to_tensors()
    affine = None if shape is None else shape.affine
    card = f"# {name}\n\nOf procedural scans, for golden files.\n"
    bundle.save(folder, description, arrays, tensors, affine, card)


def _scan(shape: tuple[int, ...], seed: int) -> CachedScan:
    voxels = np.rint(1000 * body(shape, 100 + seed)).astype(np.int16)
    affine = SPACING if len(shape) == 3 else None
    return CachedScan(f"{len(shape)}-{seed}", str(seed), "train", voxels, affine)


def _shape_model(scans: list[CachedScan]) -> ShapeModel:
    with patch("deepstd.train.template.build.WIDTH", WIDTH):
        return build_shape_model(
            [s.voxels.astype(np.float32) for s in scans],
            [s.affine for s in scans],
            max_seconds=1e9,
            seed=0,
        )


def _trained(
    part: Part, sizes: Config, scans: list[CachedScan], shape: ShapeModel | None
) -> Trainable:
    """A network after so many steps, its tables frozen."""
    ndim = 2 if part == 2 else 3
    chosen = [s for s in scans if s.voxels.ndim == ndim and min(s.voxels.shape) >= FEWEST]
    codes = [None] * len(chosen)
    if shape is not None:
        volumes = [s.voxels.astype(np.float32) for s in chosen]
        codes = [code for code, _ in register_all(volumes, [s.affine for s in chosen], shape)]
    examples = [make_example(s, shape, code) for s, code in zip(chosen, codes, strict=True)]
    config = TrainConfig(
        "golden", template=shape is not None, crop_2d=40, crop_3d=16, batch=4, rates=(0.5, 6.0),
        widths_between=(1,) if part == BETWEEN else (),
    )  # fmt: skip
    torch.manual_seed(0)
    state = new_state(part, untrained(sizes), config)
    readings = itertools.count()
    train_until(
        state,
        examples,
        examples[:2],
        config,
        total_seconds=2.0 * STEPS,
        stop_at=1e9,
        report=lambda message, share: None,
        clock=lambda: float(next(readings)),
    )
    network = averaged(state)
    freeze_tables(state, network, examples, config, batches=TABLE_BATCHES)
    return network
