"""One small SIREN for each block of a frame, after BRIEF (Yang et al., PNAS 2024).

    frame ─ blocks ─▶ mean, spread, width of each ─ Adam ─ Adam through the quantiser ─▶ bytes
    bytes ─▶ weights ─▶ sin(W₁x+b₁) ─▶ … ─▶ mean + spread · (W₄h+b₄) ─▶ frame

Parameters are shared out to blocks by the sum of squares about their means. Unlike the original,
weights are quantised and range-coded. Trained are weights over the bounds of SIREN's random
initial weights, so that one learning rate and one quantiser step suit all.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

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
from deepstd.baselines.neural.partition import Box, best_flags, blocks
from deepstd.coding.backend import Decoder, Encoder, new_decoder

_BITS = 5.5  # planned for a parameter
_OF_A_BLOCK = 2500  # parameters, about; fewer make poor networks
_MOST_BLOCKS = 64
_HIDDEN = 3  # hidden layers
# Largest first frequency, radians from the middle of a block to its side, over the parameters
# an axis.
_OMEGA = 0.8
_BATCH = 2048  # voxels a step
_CHUNK = 1 << 16  # voxels restored at once
_RATE, _SLOWER = 3e-2, 0.02  # learning rate at the begin, and its last share
_FINE_RATE = 4e-3
_FIRST_FIT = 0.8  # share of the time without quantiser
# Factors of the steps of weight and bias of each layer, which make their errors weigh the same.
_FINER = (1 / 16, 1 / 16, 1.0, 1.0, 1.0, 1.0, 1 / 4, 1 / 8)
# Mean, in sixteenths of the frame's spread; log2 of the spread, in eighths; width.
_MEAN_BITS, _SPREAD_BITS, _WIDTH_BITS = 8, 6, 8


class Network:
    """SIREN of one block.

    Attributes:
        box: the block.
        mean, spread, width: symbols of the mean and spread, and neurons of a hidden layer; no
            network with width 0.
        weights: weight and bias of each layer, in units of their bounds.
    """

    def __init__(self, box: Box, mean: int, spread: int, width: int) -> None:
        self.box, self.mean, self.spread, self.width = box, mean, spread, width
        self._bounds = _bounds(len(box), width)
        generator = torch.Generator().manual_seed(0)
        self.weights = [
            (torch.rand(*shape, generator=generator) * 2 - 1).requires_grad_()
            for shape in _shapes(len(box), width)
        ]
        self._adam = (
            torch.optim.Adam(self.weights, betas=(0.9, 0.99), fused=True) if width else None
        )
        self._generator = generator

    def fit(self, frame: np.ndarray, limit: Limit, rate: float, step: float | None) -> None:
        """Fit the network to its block, with weights rounded to a step or as they are."""
        if self._adam is None:
            return
        target = (
            torch.from_numpy(frame[self.box].copy()).reshape(-1, 1) - self._level
        ) / self._gain
        points = self._points()
        for done in limit.ticks():
            for group in self._adam.param_groups:
                group["lr"] = rate * _SLOWER**done
            chosen = torch.randint(len(points), (_BATCH,), generator=self._generator)
            self._adam.zero_grad()
            values = self._values(points[chosen], self._rounded(step))
            torch.mean((values - target[chosen]) ** 2).backward()
            self._adam.step()

    def restore(self, frame: np.ndarray) -> None:
        """Write the restored values of the block into a frame."""
        part = frame[self.box]
        part[...] = self._level
        if self.width:
            with torch.no_grad():
                parts = [self._values(p, self.weights) for p in self._points().split(_CHUNK)]
            part += self._gain * torch.cat(parts).reshape(part.shape).numpy()

    @property
    def _level(self) -> float:
        return (self.mean - (1 << _MEAN_BITS - 1)) / 16

    @property
    def _gain(self) -> float:
        return 2.0 ** ((self.spread - (1 << _SPREAD_BITS - 1)) / 8)

    def _points(self) -> Tensor:
        """Return the coordinates of the block's voxels from -1 to 1, (n, axes)."""
        axes = [torch.linspace(-1, 1, part.stop - part.start) for part in self.box]
        return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes))

    def _rounded(self, step: float | None) -> list[Tensor]:
        if step is None:
            return self.weights
        steps = [step * finer for finer in _FINER]
        return [
            w + (torch.round(w / own) * own - w).detach()
            for w, own in zip(self.weights, steps, strict=True)
        ]

    def _values(self, points: Tensor, weights: Sequence[Tensor]) -> Tensor:
        scaled = [w * bound for w, bound in zip(weights, self._bounds, strict=True)]
        for layer in range(0, len(scaled), 2):
            points = torch.addmm(scaled[layer + 1], points, scaled[layer])
            if layer < len(scaled) - 2:
                points = torch.sin(points)
        return points


def encode(frame: np.ndarray, max_bytes: int, limit: Limit, name: str) -> bytes:
    """Fit networks to a frame within a number of bytes.

    Args:
        frame: float32 of 1 to 3 axes, mean 0 and standard deviation 1.
        max_bytes: allowed bytes.
        limit: time or steps of the fit.
        name: name of the codec, for messages.

    Raises:
        RateError: even the coarsest quantiser needs more bytes.
    """
    planned = int(8 * max_bytes / _BITS)
    flags = best_flags(frame, min(max(1, planned // _OF_A_BLOCK), _MOST_BLOCKS))
    networks = _begun(frame, blocks(frame.shape, iter(flags)), planned)
    counts = [sum(w.numel() for w in network.weights) for network in networks]

    def fit(part: Limit, rate: float, step: float | None) -> None:
        for network, count in zip(networks, counts, strict=True):
            network.fit(frame, part.scaled(count / max(1, sum(counts))), rate, step)

    def writer(encoder: Encoder, index: int) -> None:
        encoder.encode_bits(index, STEP_BITS)
        for flag in flags:
            encoder.encode_bits(flag, 1)
        for network in networks:
            encoder.encode_bits(network.mean, _MEAN_BITS)
            encoder.encode_bits(network.spread, _SPREAD_BITS)
            encoder.encode_bits(network.width, _WIDTH_BITS)
        groups = zip(_groups(networks), _FINER, strict=True)
        write(encoder, [symbols_of(values, step_of(index) * finer) for values, finer in groups])

    fit(limit.scaled(_FIRST_FIT), _RATE, None)
    fine = limit.scaled((1 - _FIRST_FIT) / ROUNDS)
    return tuned(writer, lambda step: fit(fine, _FINE_RATE, step), max_bytes, name)


def decode(stream: bytes, shape: tuple[int, ...]) -> np.ndarray:
    """Decode a frame of `encode`, float32 (shape).

    Raises:
        DamagedError: the stream decodes to no symbols.
    """
    decoder = new_decoder(stream)
    step = step_of(decoder.decode_bits(STEP_BITS))
    networks = [_read(decoder, box) for box in blocks(shape, _flags(decoder))]
    groups = read(decoder, [values.size for values in _groups(networks)])
    frame = np.empty(shape, np.float32)
    begins = [0] * len(groups)
    for network in networks:
        for number, weight in enumerate(network.weights):
            end = begins[number] + weight.numel()
            values = groups[number][begins[number] : end] * (step * _FINER[number])
            begins[number] = end
            weight.data = torch.from_numpy(values.astype(np.float32)).reshape(weight.shape)
        network.restore(frame)
    return frame


def _begun(frame: np.ndarray, boxes: Sequence[Box], planned: int) -> list[Network]:
    """Return networks to be fitted, with ``planned`` parameters together."""
    squares = [float(frame[box].var()) * frame[box].size for box in boxes]
    total = sum(squares) or 1.0
    networks = []
    for box, energy in zip(boxes, squares, strict=True):
        part = frame[box]
        mean = round(16 * float(part.mean())) + (1 << _MEAN_BITS - 1)
        spread = round(8 * math.log2(max(float(part.std()), 2.0**-4))) + (1 << _SPREAD_BITS - 1)
        networks.append(
            Network(
                box,
                min(max(mean, 0), (1 << _MEAN_BITS) - 1),
                min(max(spread, 0), (1 << _SPREAD_BITS) - 1),
                _width(len(box), planned * energy / total),
            )
        )
    return networks


def _width(axes: int, count: float) -> int:
    """Return the largest width with at most ``count`` parameters; 0 where none fits."""
    width = 0
    while width + 1 < 1 << _WIDTH_BITS and _count(axes, width + 1) <= count:
        width += 1
    return width


def _count(axes: int, width: int) -> int:
    """Return the number of parameters of a network."""
    return sum(math.prod(shape) for shape in _shapes(axes, width))


def _shapes(axes: int, width: int) -> list[tuple[int, int]]:
    """Return the shapes of weight and bias of each layer."""
    widths = [axes, *[width] * _HIDDEN, 1 if width else 0]
    return [
        shape
        for before, after in itertools.pairwise(widths)
        for shape in ((before, after), (1, after))
    ]


def _bounds(axes: int, width: int) -> list[float]:
    """Return the bounds of SIREN's initial weights and biases, times its frequency factor.

    The more parameters a network has, the finer the detail that its first layer begins with.
    """
    frequency = _OMEGA * _count(axes, width) ** (1 / axes)
    return [frequency / axes, math.pi, *[math.sqrt(6 / max(1, width))] * (2 * _HIDDEN)]


def _groups(networks: Sequence[Network]) -> list[np.ndarray]:
    """Return the parameters of each kind, of all networks."""
    kinds = zip(*[network.weights for network in networks], strict=True)
    return [np.concatenate([w.detach().numpy().reshape(-1) for w in kind]) for kind in kinds]


def _flags(decoder: Decoder) -> Iterator[int]:
    while True:
        yield decoder.decode_bits(1)


def _read(decoder: Decoder, box: Box) -> Network:
    mean = decoder.decode_bits(_MEAN_BITS)
    spread = decoder.decode_bits(_SPREAD_BITS)
    return Network(box, mean, spread, decoder.decode_bits(_WIDTH_BITS))
