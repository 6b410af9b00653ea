"""A voxel's level as binary decisions: the reference of csrc/lossless_value.h, _mix.h and _bits.h.

    guess (means, scales, contexts) ─▶ central interval? ─▶ side ─▶ step ─▶ place in it
                                                  │ each a decision
    experts, counters ─ mixed log odds ─▶ probability ─ arithmetic coder ─▶ bytes

All sums have the order of the engine's, so that both give the same bytes.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass

EXPERTS, COUNTERS, CONTEXTS = 4, 3, 4096
_INPUTS = EXPERTS + COUNTERS + 1
_FINEST = 65536
_LEAST, _DOUBT, _CONSTANT, _RATE, _FIRST_WEIGHT = 1e-5, 1e-7, 0.5, 1e-3, 0.125
_MOST_LOG_ODDS, _MEMORY = 30.0, 255.0
_CENTRAL, _ABOVE, _STEP, _LAST_STEP, _WITHIN = 0, 1, 2, 12, 16
_WORD = 0xFFFFFFFF


@dataclass(frozen=True)
class Guess:
    """A voxel before it is known: the experts' means and sharpnesses, the scale, the contexts."""

    mean: list[float]
    sharpness: list[float]
    scale: int
    contexts: tuple[int, int, int]


class Counter:
    """Share of ones among the decisions of a context."""

    def __init__(self) -> None:
        self.one, self.count = 0.5, 0.0

    def learn(self, bit: int) -> None:
        """Take in one outcome."""
        self.one += (bit - self.one) / (self.count + 1.5)
        self.count = min(self.count + 1, _MEMORY)
        self.one = min(max(self.one, _LEAST), 1 - _LEAST)


class Bits:
    """Binary arithmetic coder; it encodes where no stream is given."""

    def __init__(self, stream: bytes | None = None) -> None:
        self.low, self.high, self.word, self.at = 0, _WORD, 0, 0
        self.stream, self.out = stream, bytearray()
        if stream is not None:
            for _ in range(4):
                self._read()

    def _read(self) -> None:
        stream = self.stream or b""
        byte = stream[self.at] if self.at < len(stream) else 0
        self.word, self.at = self.word << 8 & _WORD | byte, self.at + 1

    def code(self, probability: float, bit: int) -> int:
        """Code a decision that is 1 with the given probability; return it."""
        share = min(max(int(probability * _FINEST), 1), _FINEST - 1)
        middle = self.low + (self.high - self.low) * share // _FINEST
        if self.stream is not None:
            bit = int(self.word <= middle)
        if bit:
            self.high = middle
        else:
            self.low = middle + 1
        while (self.low ^ self.high) >> 24 == 0:
            if self.stream is None:
                self.out.append(self.high >> 24)
            else:
                self._read()
            self.low, self.high = self.low << 8 & _WORD, self.high << 8 & _WORD | 255
        return bit

    def finish(self) -> bytes:
        """Return the stream."""
        return bytes((*self.out, self.high >> 24)).rstrip(b"\0")


def log_2(x: float) -> float:
    """Approximate the logarithm to base 2 by a parabola in each octave."""
    mantissa, exponent = math.frexp(x)
    f = 2 * mantissa - 1
    return exponent - 1 + f * (1.34375 - f * 0.34375)


def _power_2(x: float) -> float:
    octave = math.floor(x)
    f = x - octave
    return math.ldexp(1 + f * (0.65625 + f * 0.34375), octave)


def _student(t: float) -> float:
    """Integral from 0 to t of Student's t distribution with eight degrees of freedom."""
    rest, u = 8 / (t * t + 8), t / math.sqrt(t * t + 8)
    return 0.5 * u * (1 + rest * (0.5 + rest * (0.375 + rest * 0.3125)))


def _masses(g: Guess, edge: float) -> list[float]:
    return [_student((edge - m) * s) for m, s in zip(g.mean, g.sharpness, strict=True)]


def _minus(a: list[float], b: list[float]) -> list[float]:
    return [x - y for x, y in zip(a, b, strict=True)]


def _dot(a: list[float], b: list[float]) -> float:
    s = [a[n] * b[n] + a[n + 4] * b[n + 4] for n in range(4)]
    return (s[0] + s[1]) + (s[2] + s[3])


class Mixer:
    """Weights and counters of all decisions."""

    def __init__(self, bits: Bits) -> None:
        first = [_FIRST_WEIGHT] * EXPERTS + [0.0] * (_INPUTS - EXPERTS)
        self.bits = bits
        self.counters: dict[tuple[int, int, int], Counter] = defaultdict(Counter)
        self.weights: dict[tuple[int, ...], list[float]] = defaultdict(first.copy)

    def decide(self, g: Guess, node: int, one: list[float], zero: list[float], bit: int) -> int:
        """Code a decision from the experts' masses of its sides; return it."""
        counters = [self.counters[c, g.contexts[c], node] for c in range(COUNTERS)]
        ins = [log_2((a + _DOUBT) / (b + _DOUBT)) for a, b in zip(one, zero, strict=True)]
        ins += [log_2(c.one / (1 - c.one)) for c in counters]
        ins.append(_CONSTANT)
        sets = self.weights[node,], self.weights[g.scale, node]
        odds = _dot(ins, sets[0]) + _dot(ins, sets[1])
        odds = min(max(odds, -_MOST_LOG_ODDS), _MOST_LOG_ODDS)
        probability = 1 / (1 + _power_2(-odds))
        bit = self.bits.code(probability, bit)
        step = (bit - probability) * _RATE
        for weights in sets:
            weights[:] = [w + step * x for w, x in zip(weights, ins, strict=True)]
        for counter in counters:
            counter.learn(bit)
        return bit


class Range:
    """Levels from low to high that are still possible, and the experts' masses at their edges."""

    def __init__(self, mixer: Mixer, guess: Guess, most: int, level: int) -> None:
        self.mixer, self.guess, self.level = mixer, guess, level
        self.low, self.high = 0, most
        self.below, self.above = _masses(guess, -0.5), _masses(guess, most + 0.5)

    def keep(self, upper: bool, at: int, mass: list[float]) -> None:
        """Narrow to the levels from ``at`` on, or to those below."""
        if upper:
            self.low, self.below = at, mass
        else:
            self.high, self.above = at - 1, mass

    def split(self, node: int, at: int, *, flip: bool = False) -> int:
        """Decide whether the level is ``at`` or more (``flip``: less), and narrow the range."""
        mass = _masses(self.guess, at - 0.5)
        sides = _minus(self.above, mass), _minus(mass, self.below)
        one, zero = sides[::-1] if flip else sides
        bit = self.mixer.decide(self.guess, node, one, zero, int((self.level >= at) != flip))
        self.keep(bool(bit) != flip, at, mass)
        return bit

    def centre(self, first: int, last: int) -> int:
        """Narrow to the central interval (return 0), or to what is below (1) or above it (2)."""
        if first <= self.low and last >= self.high:
            return 0
        start, stop = _masses(self.guess, first - 0.5), _masses(self.guess, last + 0.5)
        above, below = _minus(self.above, stop), _minus(start, self.below)
        outside = [a + b for a, b in zip(above, below, strict=True)]
        inside = int(first <= self.level <= last)
        if self.mixer.decide(self.guess, _CENTRAL, _minus(stop, start), outside, inside):
            self.keep(True, first, start)
            self.keep(False, last + 1, stop)
            return 0
        up = int(first <= self.low)
        if not up and last < self.high:
            up = self.mixer.decide(self.guess, _ABOVE, above, below, int(self.level > last))
        if up:
            self.keep(True, last + 1, stop)
        else:
            self.keep(False, first, start)
        return 1 + up


def code_level(mixer: Mixer, guess: Guess, most: int, level: int) -> int:
    """Code a level from 0 to ``most``; return it."""
    octave = guess.scale - 8 >> 1
    half = 0 if octave < 0 else (17 << octave) >> 6 if guess.scale & 1 else (3 << octave) >> 4
    middle = math.floor(guess.mean[-1] + 0.5)
    found = Range(mixer, guess, most, level)
    side, group = found.centre(max(0, middle - half), min(most, middle + half)), 0
    if side:
        step, up = 0, side == 2
        while found.high - found.low >= (width := 2 * half + 1 << (step >> 1)):
            at = found.low + width if up else found.high - width + 1
            if not found.split(min(_STEP + step, _LAST_STEP), at, flip=not up):
                break
            step += 1
        group = 1 + min(step, 3)
    path = 1
    while found.low < found.high:
        at = found.low + (found.high - found.low + 1) // 2
        bit = found.split(_WITHIN + 8 * group + path % 8, at)
        path = 2 * path + bit if path < 4 else 8
    return found.low
