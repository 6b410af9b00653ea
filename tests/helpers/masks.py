"""Frames with backgrounds that are cut out exactly: circles, wavy outlines, stripped heads."""

from __future__ import annotations

import numpy as np


def disc(size: int, radius: float, x: float = 0, y: float = 0) -> np.ndarray:
    """True within a circle around the middle of a square image, moved by x rows and y columns."""
    rows, columns = np.mgrid[:size, :size] - (size - 1) / 2
    return (rows - x) ** 2 + (columns - y) ** 2 <= radius**2


def wavy(size: int, radius: float) -> np.ndarray:
    """True within an outline of many bays."""
    rows, columns = np.mgrid[:size, :size] - (size - 1) / 2
    turn = np.arctan2(rows, columns)
    edge = radius * (0.85 + 0.08 * np.sin(7 * turn) + 0.03 * np.sin(19 * turn + 1))
    return np.hypot(rows, columns) <= edge


def padded_ct(
    size: int = 512,
    slices: int | None = None,
    padding: int = -2000,
    inside: np.ndarray | None = None,
) -> np.ndarray:
    """A noisy body in air, with padding outside the circle of view, or outside of ``inside``."""
    shape = (size, size) if slices is None else (size, size, slices)
    scan = np.random.default_rng(0).normal(-1000, 15, shape)
    scan[disc(size, size * 0.35)] += 1040
    scan[~(disc(size, size / 2) if inside is None else inside)] = padding
    return scan.astype(np.int16)


def blobs(shape: tuple[int, ...], seed: int = 0, smooth: float = 2.0) -> np.ndarray:
    """True in ragged connected regions: noise, blurred along every axis and cut at its median."""
    noise = np.random.default_rng(seed).normal(size=shape)
    for axis in range(len(shape)):
        reach = min(int(3 * smooth), shape[axis] - 1)
        places = np.arange(-reach, reach + 1)
        weights = np.exp(-(places**2) / (2 * smooth**2))
        noise = np.apply_along_axis(lambda row, w=weights: np.convolve(row, w, "same"), axis, noise)
    return noise > np.median(noise)


def stripped_head(shape: tuple[int, int, int]) -> np.ndarray:
    """A brain with folds and noise in an exact background of zero, its edge cut at a threshold."""
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    radius = np.sqrt(sum((a / s) ** 2 for a, s in zip(axes, (0.8, 0.9, 0.75), strict=True)))
    rng = np.random.default_rng(0)
    folds = np.sin(14 * axes[0]) * np.sin(12 * axes[1]) * np.cos(13 * axes[2])
    values = 300 + 120 * folds + rng.normal(0, 25, shape) - 150 * (radius > 0.6)
    ragged = radius + 0.04 * folds + rng.normal(0, 0.01, shape) < 0.9
    return np.where(ragged, np.maximum(values, 20), 0).astype(np.int16)
