"""Synthetic scans, on which a network's knowledge is kept where no earlier scan is at hand.

    no template: random ellipsoids ─ texture, noise ─▶ scan
    template:    smoothly deformed ─ texture, noise ─▶ scan

They have edges, textures of several roughnesses and noise of several levels, as scans have.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from deepstd.shape.model import ShapeModel
from deepstd.train.cache import CachedScan

_COUNT = 12  # scans
_VALIDATION_EVERY = 4
_SIZES = {2: (192, 192), 3: (64, 64, 40)}  # voxels, without a template
_THICKNESSES = (1.0, 4.0)  # of the slices of volumes, relative to pixels
_RANGE = 1000.0  # grey values
_ELLIPSOIDS = 14
_ROUGHNESSES = (1.0, 2.5)  # exponents of the amplitude spectrum
_TEXTURES = (0.0, 0.15)  # deviation of the texture, relative to the range
_NOISES = (0.0, 0.06)  # deviation of the noise, relative to the range
_DEFORMATION = 0.03  # of an axis, on average
SYNTHETIC = -1
"""Number of the source folder of synthetic scans."""


def synthetic_scans(ndim: int, model: ShapeModel | None, seed: int) -> list[CachedScan]:
    """Return twelve synthetic scans, three of them for validation; equal for equal seeds.

    Args:
        ndim: axes of the scans, 2 or 3; a template decides for itself.
        model: shape model whose template the scans resemble, or None.
        seed: seed of all random numbers.
    """
    random = np.random.default_rng([seed, ndim])
    scans = []
    for number in range(_COUNT):
        if model is None:
            values = _ellipsoids(_SIZES[ndim], random)
            thickness = _THICKNESSES[number % len(_THICKNESSES)] if ndim == 3 else 1.0
            affine = np.diag([1.0, 1.0, thickness, 1.0])
        else:
            values, affine = _deformed(model.template.astype(np.float64), random), model.affine
        texture = random.uniform(*_TEXTURES) * _texture(values.shape, random)
        noise = random.uniform(*_NOISES) * random.standard_normal(values.shape)
        voxels = (_RANGE * (values + texture + noise)).astype(np.float32)
        split = "train" if (number + 1) % _VALIDATION_EVERY else "validation"
        name = f"synthetic-{ndim}d-{number}"
        scans.append(CachedScan(name, name, split, voxels, affine, SYNTHETIC))
    return scans


def _ellipsoids(shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    """Return overlapping ellipsoids of random grey values, 0 to 1."""
    values = np.zeros(shape)
    axes = np.meshgrid(*[np.linspace(-1.0, 1.0, n) for n in shape], indexing="ij")
    for size in np.linspace(0.9, 0.1, _ELLIPSOIDS):
        distance = np.zeros(shape)
        for axis in axes:
            centre = random.uniform(-0.8, 0.8) * (1.0 - size)
            distance += ((axis - centre) / (size * random.uniform(0.4, 1.0))) ** 2
        values[distance < 1.0] = random.random()
    return ndimage.gaussian_filter(values, random.uniform(0.3, 1.2))


def _deformed(template: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return the template after a random smooth deformation, 0 to 1."""
    shape = template.shape
    places = np.meshgrid(*[np.arange(n, dtype=np.float64) for n in shape], indexing="ij")
    moved = []
    for place, length in zip(places, shape, strict=True):
        field = ndimage.gaussian_filter(random.standard_normal(shape), np.array(shape) / 8.0)
        moved.append(place + _DEFORMATION * length * field / (field.std() + 1e-12))
    warped = ndimage.map_coordinates(template, moved, order=1, mode="nearest")
    return warped / max(float(warped.max()), 1.0)


def _texture(shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    """Return noise whose amplitudes fall with a power of frequency, of deviation 1."""
    frequencies = np.meshgrid(*[np.fft.fftfreq(n) for n in shape], indexing="ij")
    radius = np.sqrt(sum(f**2 for f in frequencies))
    radius[(0,) * len(shape)] = np.inf
    spectrum = np.fft.fftn(random.standard_normal(shape))
    texture = np.fft.ifftn(spectrum * radius ** -random.uniform(*_ROUGHNESSES)).real
    return texture / (texture.std() + 1e-12)
