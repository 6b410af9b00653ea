"""Slabs in Python: the reference of the engine's csrc/lossless.c, slow and with the same bytes.

neighbours all equal? ─▶ run flag ─ set ─────────────────────────────────────▶ level
       │ not, or flag clear                                                    ▲
taps ─▶ predictors ─▶ blend, bias ─▶ guess (means, scales, contexts) ─▶ code ──┤
           ▲ weights                    ▲ errors near by                       │
normal equations of blocks ◀────────────┴────────────── learn ─────────────────┘
"""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np

from deepstd.lossless.decisions import (
    CONTEXTS,
    EXPERTS,
    Bits,
    Counter,
    Guess,
    Mixer,
    code_level,
    log_2,
)

_TAPS, _LANES, _MARGIN, _BLOCK, _PREDICTORS, _SCALES = 31, 4, 8, 4, 3, 48
_FEW_FLAT, _FEW_DEEP = 12, 16
_RIDGE, _RELATIVE_RIDGE, _FORGET, _SOLVE_WHOLE_EVERY = 2.0, 1e-6, 0.004, 4
_ABOVE_SHARE, _ABOVE_SHARE_FLAT, _BEFORE_SHARE = 0.3, 0.5, 0.2
_SIDE_SHARES = (0.25, 0.6, 1.0, 0.6, 0.25)
_LEAST_ERROR, _CALM, _BIAS_PRIOR, _BIAS_MEMORY = 0.4, 4.0, 4.0, 60.0
_EDGES = (-2, -0.75, -0.25, 0.25, 0.75, 2)

# Neighbours in the order of their use: plane (0 this, 1 reference, 2 second), row, column.
_FLAT = (
    (0, 0, -1), (0, -1, 0), (0, -1, -1), (0, -1, 1), (0, 0, -2), (0, -2, 0), (0, -2, 1),
    (0, -2, -1), (0, -1, -2), (0, -1, 2), (0, 0, -3), (0, -3, 0), (0, -2, 2), (0, -2, -2),
    (0, -3, 1), (0, -3, -1), (0, -1, -3), (0, -1, 3), (0, -3, 2), (0, -3, -2), (0, -2, 3),
    (0, -2, -3), (0, -3, 3), (0, -3, -3), (0, -4, 0), (0, 0, -4), (0, -4, 1), (0, -4, -1),
    (0, -1, 4), (0, -1, -4), (0, -5, 0),
)  # fmt: skip
_DEEP = (
    (0, 0, -1), (0, -1, 0), (1, 0, 0), (0, -1, -1), (0, -1, 1), (1, 0, -1), (1, -1, 0),
    (1, 0, 1), (1, 1, 0), (0, 0, -2), (0, -2, 0), (0, -2, 1), (2, 0, 0), (0, -1, -2),
    (0, -1, 2), (0, -2, -1), (0, -3, 0), (0, -4, 0), (0, -5, 0), (0, -6, 0), (0, -7, 0),
    (0, -8, 0), (0, 0, -3), (0, 0, -4), (0, 0, -5), (0, -2, -2), (0, -2, 2), (0, -3, 1),
    (0, -3, -1), (0, -1, -3), (0, -1, 3),
)  # fmt: skip


def encode_slab(levels: np.ndarray, period: int, most: int) -> bytes:
    """Return the bytes of a slab (slices, rows, columns) of levels from 0 to ``most``."""
    bits = Bits()
    _Slab(levels.copy(), period, most, bits).code()
    return bits.finish()


def decode_slab(stream: bytes, levels: np.ndarray, period: int, most: int) -> None:
    """Fill a slab (slices, rows, columns) with the levels of a stream."""
    _Slab(levels, period, most, Bits(stream)).code()


def _clamped(x: float, most: float) -> float:
    return min(max(x, 0.0), most)


def _scale_of(error: float) -> int:
    """Two steps an octave of an error, from 1/16 level on."""
    return min(max(math.floor(2 * log_2(error + 1e-9) + 0.5) + 8, 0), _SCALES - 1)


def _step_of(x: float) -> int:
    return sum(x > edge for edge in _EDGES)


def _dot(begin: int, a: np.ndarray, b: np.ndarray) -> float:
    """Sum products from a multiple of four on, in four sums that are added last."""
    total = np.zeros(_LANES)
    for four in (a[begin:] * b[begin:]).reshape(-1, _LANES):
        total += four
    return float((total[0] + total[1]) + (total[2] + total[3]))


def _eliminate(equations: np.ndarray) -> None:
    """Bring normal equations (taps, taps and target) into triangular form, in place."""
    diagonal = np.einsum("ii->i", equations[:, :_TAPS])
    diagonal[:] = diagonal * (1 + _RELATIVE_RIDGE) + _RIDGE
    for k in range(_TAPS - 1):
        factors = equations[k, k + 1 : _TAPS] * (1 / equations[k, k])
        equations[k + 1 :] -= factors[:, None] * equations[k]


def _substitute(equations: np.ndarray, taps: int) -> np.ndarray:
    """Return the weights of the leading taps; the others are zero."""
    weights = np.zeros(_TAPS + 1)
    for k in reversed(range(taps)):
        row = equations[k]
        weights[k] = (row[_TAPS] - _dot(k - k % _LANES, row, weights)) / row[k]
    return weights


class _Slab:
    """A slab while it is coded: ``levels`` are read or, from a stream, written."""

    def __init__(self, levels: np.ndarray, period: int, most: int, bits: Bits) -> None:
        slices, rows, columns = levels.shape
        self.levels, self.period, self.most, self.bits = levels, period, most, bits
        self.mixer = Mixer(bits)
        self.runs: dict[int, Counter] = defaultdict(Counter)
        self.biases: dict[int, list[float]] = defaultdict(lambda: [0.0, 0.0])
        self.planes = [np.zeros((rows + 2 * _MARGIN, columns + 2 * _MARGIN)) for _ in range(slices)]
        self.errors = np.zeros((2, rows + 2, columns + 4, EXPERTS), np.float32)
        self.blocks = -(-columns // _BLOCK)
        self.live = np.zeros((self.blocks, _TAPS, _TAPS + 1))
        self.part, self.whole = np.zeros((2, _TAPS, _TAPS + 1))
        self.weights = np.zeros((_PREDICTORS, _TAPS + 1))
        self.solved = 0

    def code(self) -> None:
        """Code all slices."""
        slices, rows, columns = self.levels.shape
        for n in range(slices):
            self._begin_slice(n)
            for y in range(rows):
                if y % _BLOCK == 0:
                    self._begin_blocks(y // _BLOCK)
                self._code_row(n, y)
                if y % _BLOCK == _BLOCK - 1 or y == rows - 1:
                    self.kept[y // _BLOCK] = self.live
            inner = self.here[_MARGIN : _MARGIN + rows, _MARGIN : _MARGIN + columns]
            self.here[:] = np.pad(inner, _MARGIN, mode="edge")
            self.error[rows + 1] = self.error[rows]

    def _begin_slice(self, n: int) -> None:
        back = self.period if self.period and n >= self.period else 1
        second = n - 1 if back > 1 else n - 2
        self.deep, self.here = n > 0, self.planes[n]
        self.reference = self.planes[n - back] if self.deep else self.here
        planes = self.here, self.reference, self.planes[second] if second >= 0 else self.reference
        self.taps = [(planes[p], row, column) for p, row, column in (_DEEP if n else _FLAT)]
        self.error, self.before = self.errors[n % 2], self.errors[(n + 1) % 2]
        if n < 2:  # other taps from here on
            block_rows = -(-self.levels.shape[1] // _BLOCK)
            self.kept = np.zeros((block_rows, *self.live.shape), np.float32)
            self.whole[:] = 0
        if self.deep:
            self.here[:_MARGIN] = self.reference[:_MARGIN]
        self.error[0] = self.before[1]

    def _begin_blocks(self, row: int) -> None:
        same = self.kept[row].astype(np.float64)
        following = self.kept[min(row + 1, len(self.kept) - 1)]
        above = 0.0 if row == 0 else _ABOVE_SHARE if self.deep else _ABOVE_SHARE_FLAT
        self.live = above * self.live + _BEFORE_SHARE * (same + following)

    def _solve(self, block: int) -> None:
        a = np.zeros_like(self.part)
        for n, share in enumerate(_SIDE_SHARES, block - len(_SIDE_SHARES) // 2):
            if 0 <= n < self.blocks:
                a += share * self.live[n]
        _eliminate(a)
        self.weights[0] = _substitute(a, _FEW_DEEP if self.deep else _FEW_FLAT)
        self.weights[1] = _substitute(a, _TAPS)
        if self.solved % _SOLVE_WHOLE_EVERY == 0:
            a = self.whole.copy()
            _eliminate(a)
            self.weights[2] = _substitute(a, _TAPS)
        self.solved += 1

    def _settle(self, block: int) -> None:
        self.live[block] += self.part
        self.whole[:] = self.whole * (1 - _FORGET) + self.part
        self.part[:] = 0

    def _code_row(self, n: int, y: int) -> None:
        columns, levels = self.levels.shape[2], self.levels[n, y]
        row = self.here[y + _MARGIN]
        row[:_MARGIN] = self.here[y + _MARGIN - 1, _MARGIN]
        learned, stale = False, True
        for x in range(columns):
            stale |= x % _BLOCK == 0
            flat, run = self._flatness(y + _MARGIN, x + _MARGIN), 0
            west = row[x + _MARGIN - 1]
            if flat >= 0:
                run = self.bits.code(self.runs[flat].one, int(levels[x] == west))
                self.runs[flat].learn(run)
            if run:
                row[x + _MARGIN] = west
                self.error[y + 1, x + 2] = 0
            else:
                if stale:
                    self._solve(x // _BLOCK)
                stale, learned = False, True
                row[x + _MARGIN] = self._code_voxel(y, x, int(levels[x]))
            levels[x] = row[x + _MARGIN]
            if learned and ((x + 1) % _BLOCK == 0 or x + 1 == columns):
                self._settle(x // _BLOCK)
                learned = False
        row[:_MARGIN], row[_MARGIN + columns :] = row[_MARGIN], row[_MARGIN + columns - 1]
        errors = self.error[y + 1]
        errors[:2], errors[columns + 2 :] = errors[2], errors[columns + 1]

    def _flatness(self, y: int, x: int) -> int:
        """Return the context of the run flag, or -1 where the neighbours differ."""
        p, ref = self.here, self.reference
        v = p[y, x - 1]
        if not v == p[y - 1, x] == p[y - 1, x - 1] == p[y - 1, x + 1]:
            return -1
        context = 0
        if self.deep:
            corners = ref[y + 1, x + 1] == v and ref[y + 1, x - 1] == v
            context = 1
            if ref[y, x] == v:
                context = 2 + int(ref[y, x + 1] == v) + int(ref[y + 1, x] == v) + int(corners)
        return context * 3 + int(p[y, x - 2] == v) + int(p[y - 2, x] == v)

    def _mean_errors(self, y: int, x: int) -> list[float]:
        """Return the mean error of each expert near a voxel."""
        e = self.error[y : y + 2, x : x + 4].astype(np.float64)
        total = 2 * e[1, 1] + e[1, 0] + 2 * e[0, 2] + e[0, 3] + e[0, 1]
        if not self.deep:
            return (total / 7 + _LEAST_ERROR).tolist()
        f = self.before[y + 1 : y + 3, x + 1 : x + 4].astype(np.float64)
        total = total + f[0, 1] + 0.5 * (f[0, 2] + f[0, 0] + f[1, 1])
        return (total / 9.5 + _LEAST_ERROR).tolist()

    def _code_voxel(self, y: int, x: int, level: int) -> int:
        j, i, p, ref = y + _MARGIN, x + _MARGIN, self.here, self.reference
        west, north = float(p[j, i - 1]), float(p[j - 1, i])
        middle = float(ref[j, i])
        base = (west + north + 2 * middle) * 0.25 if self.deep else (west + north) * 0.5
        taps = np.array([plane[j + dy, i + dx] - base for plane, dy, dx in self.taps] + [0.0])
        mean = [_clamped(_dot(0, w, taps) + base, self.most) for w in self.weights]
        error = self._mean_errors(y, x)
        share = total = 0.0
        for k in range(_PREDICTORS):
            w = 1 / (error[k] * error[k])
            share += w * w
            total += w * w * mean[k]
        blend, scale = total / share, _scale_of(error[-1])
        around = [west, north, p[j - 1, i - 1], p[j - 1, i + 1]]
        if self.deep:
            around += [middle, ref[j, i + 1], ref[j + 1, i]]
        else:
            around += [p[j, i - 2], p[j - 2, i], 2 * west - p[j, i - 2]]
        texture = sum((v > blend) << n for n, v in enumerate(around))
        bias = self.biases[int(texture) * _SCALES + scale]
        mean.append(_clamped(blend + bias[0] / (bias[1] + _BIAS_PRIOR), self.most))
        sharpness = [1 / e for e in error]
        third, fourth = (middle, ref[j, i + 1]) if self.deep else (p[j - 1, i + 1], p[j - 1, i - 1])
        steps = [_step_of((v - mean[-1]) * sharpness[-1]) for v in (west, north, third, fourth)]
        contexts = (
            (scale * 7 + steps[0]) * 7 + steps[1],
            (scale * 7 + steps[2]) * 7 + steps[3],
            math.floor(mean[-1] + 0.5) % CONTEXTS,
        )
        value = code_level(self.mixer, Guess(mean, sharpness, scale, contexts), self.most, level)
        self.error[y + 1, x + 2] = [abs(value - m) for m in mean]
        bias[0] += value - mean[-1]
        bias[1] += 1
        if bias[1] > _BIAS_MEMORY:
            bias[:] = bias[0] * 0.5, bias[1] * 0.5
        taps[_TAPS] = value - base
        weight = 1 / (error[1] * error[1] + _CALM)
        self.part += (weight * taps[:_TAPS])[:, None] * taps
        return value
