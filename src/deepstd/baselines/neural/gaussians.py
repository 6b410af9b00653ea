"""Sums of Gaussians, after GaussianImage (Zhang et al., ECCV 2024), in 1 to 3 axes.

    frame ─ N random Gaussians ─ Adam ─ Adam through the quantiser ─▶ sorted, differences ─▶ bytes
    bytes ─▶ N Gaussians ─ sum over those near a tile ─▶ frame

A Gaussian has a centre, a Cholesky factor L of its inverse covariance and an amplitude; its value
at x is amplitude · exp(−½ |Lᵀ (x − centre)|²). Volumes are the direct extension: three axes, no
projection, no opacity. Unlike the original, all parameters are range-coded with one step, which the
number of bytes determines; the original's vector quantiser is for colours.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from deepstd.baselines.neural.limit import Limit
from deepstd.baselines.neural.parameters import (
    ROUNDS,
    STEP_BITS,
    read,
    step_of,
    symbols_of,
    tuned,
    write,
)
from deepstd.baselines.neural.tiles import Tiles
from deepstd.coding.backend import Encoder, new_decoder

_BITS = 5.0  # planned for a parameter
_COUNT_BITS = 16
_RATE, _SLOWER = 1e-1, 0.05  # learning rate at the begin, and its last share
_FINE_RATE = 3e-2
_FIRST_FIT = 0.6  # share of the time without quantiser
_EVERY = 20  # steps between two searches for the Gaussians near each tile
_TILES, _VOXELS = 1024, 32  # tiles, and voxels of each, that count in a step
_WIDTH = 0.6  # first standard deviation over the mean distance of Gaussians


class _Fit:
    """Gaussians that are being fitted to a frame.

    Attributes:
        values: (N, axes + axes (axes + 1) / 2 + 1) float32: centre, Cholesky factor with the
            logarithms of its diagonal, amplitude. The unit of length is the first standard
            deviation, that of amplitudes the spread of the frame.
    """

    def __init__(self, frame: np.ndarray, count: int) -> None:
        self._shape, self._tiles = frame.shape, Tiles(frame.shape)
        self._generator = torch.Generator().manual_seed(0)
        self._target, self._inside = self._tiles.split(frame)
        self.values = self._drawn(frame, count).requires_grad_()
        self._adam = torch.optim.Adam([self.values], betas=(0.9, 0.99), fused=True)

    def fit(self, limit: Limit, rate: float, step: float | None) -> None:
        """Fit the Gaussians, with parameters rounded to a step or as they are."""
        tiles = near = torch.empty(0)
        for count, done in enumerate(limit.ticks()):
            self._adam.param_groups[0]["lr"] = rate * _SLOWER**done
            values = self.values
            if step is not None:
                values = values + (torch.round(values / step) * step - values).detach()
            parts = _physical(values, self._shape)
            if count % _EVERY == 0:
                tiles = self._some(self._tiles.count, _TILES)
                near = self._tiles.near(*(part.detach() for part in parts[:2]), tiles)
            chosen = self._some(self._target.shape[1], _VOXELS)
            place = tiles[:, None], chosen
            errors = self._tiles.sums(*parts, tiles, near, chosen) - self._target[place]
            self._adam.zero_grad()
            (errors * self._inside[place]).square().mean().backward()
            self._adam.step()

    def _some(self, count: int, most: int) -> Tensor:
        """Return at most ``most`` different numbers below ``count`` at random."""
        return torch.randperm(count, generator=self._generator)[:most]

    def _drawn(self, frame: np.ndarray, count: int) -> Tensor:
        """Return Gaussians at random voxels, half of them chosen by the slope of the frame."""
        rng = np.random.default_rng(0)
        slopes = [np.abs(np.gradient(frame, axis=n)).reshape(-1) for n in range(frame.ndim)]
        slope = np.sum(slopes, 0)
        chance = 0.5 / slope.size + 0.5 * slope / slope.sum()
        chosen = rng.choice(slope.size, count, p=chance / chance.sum())
        places = np.stack(np.unravel_index(chosen, frame.shape), 1)
        middle = (np.array(frame.shape) - 1) / 2
        values = np.zeros((count, _columns(frame.ndim)), np.float32)
        values[:, : frame.ndim] = (places - middle) / _unit(frame.shape, count)
        values[:, -1] = 0.3 * frame.reshape(-1)[chosen]
        return torch.from_numpy(values)


def encode(frame: np.ndarray, max_bytes: int, limit: Limit, name: str) -> bytes:
    """Fit Gaussians to a frame within a number of bytes.

    Args:
        frame: float32 of 1 to 3 axes, mean 0 and standard deviation 1.
        max_bytes: allowed bytes.
        limit: time or steps of the fit.
        name: name of the codec, for messages.

    Raises:
        RateError: even the coarsest quantiser needs more bytes.
    """
    planned = int(8 * max_bytes / (_BITS * _columns(frame.ndim)))
    count = min(max(planned, 1), frame.size, (1 << _COUNT_BITS) - 1)
    fit = _Fit(frame, count)

    def writer(encoder: Encoder, index: int) -> None:
        encoder.encode_bits(index, STEP_BITS)
        encoder.encode_bits(count, _COUNT_BITS)
        symbols = symbols_of(fit.values.detach().numpy(), step_of(index)).reshape(count, -1)
        symbols = symbols[np.argsort(symbols[:, 0], kind="stable")]
        symbols[1:, 0] = np.diff(symbols[:, 0])
        write(encoder, [symbols[:1, 0], symbols[1:, 0], *symbols.T[1:]])

    fit.fit(limit.scaled(_FIRST_FIT), _RATE, None)
    fine = limit.scaled((1 - _FIRST_FIT) / ROUNDS)
    return tuned(writer, lambda step: fit.fit(fine, _FINE_RATE, step), max_bytes, name)


def decode(stream: bytes, shape: tuple[int, ...]) -> np.ndarray:
    """Decode a frame of `encode`, float32 (shape).

    Raises:
        DamagedError: the stream decodes to no symbols.
    """
    decoder = new_decoder(stream)
    step = step_of(decoder.decode_bits(STEP_BITS))
    count = decoder.decode_bits(_COUNT_BITS)
    first, others, *rest = read(decoder, [1, count - 1, *[count] * (_columns(len(shape)) - 1)])
    symbols = np.stack([np.cumsum(np.concatenate([first, others])), *rest], 1)
    tiles = Tiles(shape)
    parts = _physical(torch.from_numpy((symbols * step).astype(np.float32)), shape)
    return tiles.restored(*parts)


def _physical(values: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """Return centres (N, d) and factors (N, d, d) in voxels, and amplitudes (N,)."""
    axes, unit = len(shape), _unit(shape, len(values))
    rows, columns = torch.tril_indices(axes, axes)
    middle = torch.tensor([(length - 1) / 2 for length in shape])
    entries = values[:, axes:-1]
    entries = torch.where(rows == columns, torch.exp(entries), entries) / unit
    factors = torch.zeros(len(values), axes * axes)
    factors = factors.index_copy(1, rows * axes + columns, entries)
    return values[:, :axes] * unit + middle, factors.unflatten(1, (axes, axes)), values[:, -1]


def _unit(shape: tuple[int, ...], count: int) -> float:
    """Return the first standard deviation of Gaussians in voxels."""
    return _WIDTH * (math.prod(shape) / count) ** (1 / len(shape))


def _columns(axes: int) -> int:
    """Return the number of parameters of a Gaussian."""
    return axes + axes * (axes + 1) // 2 + 1
