"""Scans of all kinds, small enough for the slowest path.

number ─▶ part of a scan of a study, or a procedural scan ─▶ Sample (bundle, volume, size)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.standing.studies import STUDIES, Scan
from deepstd.rate.target import Target
from deepstd.volume import Volume

_TYPES = ("u1", "i2", "u2", "i4", "f4", "f8")
# Files of fewer voxels have no room for a texture at the usual ratios.
_FEW = 600


@dataclass(frozen=True)
class Sample:
    """A scan to be compressed.

    Attributes:
        kind: for messages.
        bundle: the bundle to compress with.
        volume: the scan.
        target: size of the file.
    """

    kind: str
    bundle: str
    volume: Volume
    target: Target


def sample(number: int, data: Path) -> Sample:
    """Return a scan; ten kinds follow each other."""
    random = np.random.default_rng(number)
    round_, kind = divmod(number, 10)
    studies = (
        ("hippocampus", 999, 1),
        ("xray", 999, 4),
        ("brain-mr", 31, 1),
        ("ct-slices", 95, 1),
        ("cardiac", 61, 1),
        ("ct-volumes", 27, 1),
        ("other-mr", 33, 1),
    )
    if kind < len(studies):
        study, most, step = studies[kind]
        names = STUDIES[study].scans
        scan = Scan.read(data, names[round_ % len(names)]).volume
        volume = _part(scan, most, step, random)
        ratio = float(random.choice([8, 16, 32]))
        return Sample(study, STUDIES[study].bundle, volume, Target(ratio=ratio))
    makers = (_image, _volume, _odd)
    return makers[kind - len(studies)](random)


def _part(scan: Volume, most: int, step: int, random: np.random.Generator) -> Volume:
    """Return the middle of a scan, of at most ``most`` voxels along an axis less a few."""
    spans = []
    for n in scan.shape:
        length = min(n, most - int(random.integers(0, 4)) if most < n else n)
        start = (n - length) // 2
        spans.append(slice(start, start + length, step))
    return Volume(np.ascontiguousarray(scan.voxels[tuple(spans)]), scan.affine)


def _image(random: np.random.Generator) -> Sample:
    shape = tuple(random.integers(20, 110, 2).tolist())
    voxels = _typed(_smooth(random, shape), str(random.choice(_TYPES)))
    return Sample("procedural image", "generic", Volume(voxels), Target(ratio=12))


def _volume(random: np.random.Generator) -> Sample:
    shape = tuple(random.integers(9, 26, 3).tolist())
    voxels = _typed(_smooth(random, shape), str(random.choice(_TYPES)))
    if random.random() < 0.5:
        voxels[: shape[0] // 3] = 0  # a background
    if voxels.dtype.kind == "f" and random.random() < 0.5:
        voxels[:, : shape[1] // 4] = np.nan
    spacing = random.choice([1.0, 5.0])
    volume = Volume(voxels, np.diag([1.0, 1.0, spacing, 1.0]))
    return Sample("procedural volume", "generic", volume, Target(ratio=12))


def _odd(random: np.random.Generator) -> Sample:
    """Return a scan of several frames, one thin along some axes, or one without loss."""
    kind = int(random.integers(0, 3))
    if kind == 0:
        shape = (*random.integers(9, 16, 3).tolist(), int(random.integers(2, 5)))
    elif kind == 1:
        shape = tuple(int(n) for n in random.choice([1, 2, 3, 29, 64], 3))
    else:
        shape = tuple(random.integers(2, 17, 3).tolist())
    voxels = _typed(_smooth(random, shape), str(random.choice(_TYPES)))
    lossless = kind == 2 or voxels.size < _FEW
    target = Target(lossless=True) if lossless else Target(ratio=8)
    return Sample(f"procedural, {'×'.join(map(str, shape))}", "generic", Volume(voxels), target)


def _smooth(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    x = random.normal(size=shape)
    for axis in range(len(shape)):
        x = np.cumsum(x, axis) / np.sqrt(shape[axis])
    return x + 0.02 * random.normal(size=shape)


def _typed(values: np.ndarray, dtype: str) -> np.ndarray:
    """Return values of a type, over a good part of its range."""
    low, high = values.min(), values.max()
    share = (values - low) / max(high - low, 1e-9)
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return (share * 7 - 2).astype(kind)
    return (share * min(np.iinfo(kind).max, 1 << 20)).astype(kind)
