"""Interface of a reference codec, and the search for a setting that meets a number of bytes.

voxels ─ encode(knob) ─▶ codestreams ─ decode ─▶ restored voxels
           ▲   │ size
           └───┘ bisection: the largest knob whose codestreams fit
"""

from __future__ import annotations

import importlib
import math
import time
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Protocol, runtime_checkable

import numpy as np

from deepstd.errors import MissingExtraError, RateError

_AIM = 0.9997  # share of the allowed bytes that interpolation aims at
_MAX_ATTEMPTS = 24
_BISECT_EVERY = 3  # every third attempt bisects, in case interpolation stalls


@dataclass(frozen=True)
class Encoded:
    """Codestreams of one scan.

    Attributes:
        streams: the codestreams, whose lengths are counted.
        side: side information for a container; not counted.
    """

    streams: tuple[bytes, ...]
    side: Any = None

    @property
    def nbytes(self) -> int:
        """Bytes of all codestreams."""
        return sum(map(len, self.streams))


class Coder(Protocol):
    """A lossy or lossless codec.

    Attributes:
        name: name in tables.
    """

    @property
    def name(self) -> str:
        """Name in tables."""
        ...

    def check(self) -> None:
        """Raise a MissingExtraError where the codec is not installed."""
        ...

    def decode(self, encoded: Encoded) -> np.ndarray:
        """Decode a scan to the shape and type of the original."""
        ...


@runtime_checkable
class Baseline(Coder, Protocol):
    """A lossy codec with one quality setting (knob); bytes and quality grow with the knob.

    Attributes:
        knobs: smallest and largest knob.
        step: least change of the knob that is tried.
        near: share of the allowed bytes at which the search may end.
    """

    @property
    def knobs(self) -> tuple[float, float]:
        """Smallest and largest knob."""
        ...

    @property
    def step(self) -> float:
        """Least change of the knob that is tried."""
        ...

    @property
    def near(self) -> float:
        """Share of the allowed bytes at which the search may end."""
        ...

    def encode(self, voxels: np.ndarray, knob: float) -> Encoded:
        """Encode a scan of 2 to 4 axes."""
        ...


class Lossless(Coder, Protocol):
    """A lossless codec, without a knob."""

    def encode(self, voxels: np.ndarray) -> Encoded:
        """Encode a scan of 2 to 4 axes."""
        ...


class Budgeted(Coder, Protocol):
    """A lossy codec that meets a number of bytes by itself, without a knob."""

    def encode(self, voxels: np.ndarray, max_bytes: int) -> Encoded:
        """Encode a scan of 2 to 4 axes to codestreams that fit into a number of bytes."""
        ...


@dataclass(frozen=True)
class BaselineResult:
    """Result of a reference codec.

    Attributes:
        nbytes: bytes of the codestreams.
        restored: decoded voxels.
        knob: the setting found; NaN for a codec without a knob.
        encode_s: seconds of the final encoding.
        decode_s: seconds of its decoding.
    """

    nbytes: int
    restored: np.ndarray
    knob: float
    encode_s: float
    decode_s: float


def fit_to_bytes(
    codec: Baseline, voxels: np.ndarray, max_bytes: int, known: dict[float, int] | None = None
) -> BaselineResult:
    """Encode a scan with the largest knob whose codestreams fit into a number of bytes; decode it.

    The search ends at the share ``codec.near`` of the allowed bytes, or where no smaller step of
    the knob is left.

    Args:
        codec: the reference codec.
        voxels: scan of 2 to 4 axes.
        max_bytes: allowed bytes.
        known: bytes at knobs tried before on the same scan; new results are added.

    Raises:
        RateError: even the smallest knob needs more bytes.
        MissingExtraError: the codec is not installed.
    """
    search = _Search(codec, voxels, max_bytes, {} if known is None else known)
    lowest = codec.knobs[0]
    least = search.nbytes(lowest)
    if least > max_bytes:
        raise RateError(
            f"{codec.name} cannot reach {max_bytes} bytes for a scan of shape {voxels.shape}: "
            f"the smallest it can do is {least}"
        )
    for attempt in range(_MAX_ATTEMPTS):
        knob = search.next_knob(bisect=attempt % _BISECT_EVERY == 0)
        if knob is None:
            break
        search.nbytes(knob)
    knob, encoded, seconds = search.best()
    return _restored(codec, encoded, knob, seconds)


def encode_exactly(codec: Lossless, voxels: np.ndarray) -> BaselineResult:
    """Encode a scan with a lossless codec, and decode it.

    Raises:
        UnsupportedFormatError: the codec does not support such values.
        MissingExtraError: the codec is not installed.
    """
    start = time.perf_counter()
    encoded = codec.encode(voxels)
    return _restored(codec, encoded, math.nan, time.perf_counter() - start)


def encode_within(codec: Budgeted, voxels: np.ndarray, max_bytes: int) -> BaselineResult:
    """Encode a scan with a codec that meets a number of bytes by itself, and decode it.

    Args:
        codec: the reference codec.
        voxels: scan of 2 to 4 axes.
        max_bytes: allowed bytes.

    Raises:
        RateError: the codec needs more bytes.
        UnsupportedFormatError: the codec does not support such values.
        MissingExtraError: the codec is not installed.
    """
    start = time.perf_counter()
    encoded = codec.encode(voxels, max_bytes)
    seconds = time.perf_counter() - start
    if encoded.nbytes > max_bytes:
        raise RateError(
            f"{codec.name} cannot reach {max_bytes} bytes for a scan of shape {voxels.shape}: "
            f"it needed {encoded.nbytes}"
        )
    return _restored(codec, encoded, math.nan, seconds)


class _Search:
    """Encodings of one scan tried so far: sizes by knob, and the best encoding that fits."""

    def __init__(
        self, codec: Baseline, voxels: np.ndarray, max_bytes: int, sizes: dict[float, int]
    ) -> None:
        self._codec, self._voxels, self._allowed = codec, voxels, max_bytes
        self._sizes = sizes
        self._kept: tuple[float, Encoded, float] | None = None

    def nbytes(self, knob: float) -> int:
        """Return the bytes at a knob; encode where they are unknown."""
        if knob not in self._sizes:
            self._encode(knob)
        return self._sizes[knob]

    def next_knob(self, *, bisect: bool) -> float | None:
        """Return the knob to try next; None where the search is over."""
        codec, allowed = self._codec, self._allowed
        too_large = [knob for knob, size in self._sizes.items() if size > allowed]
        high = min(too_large, default=codec.knobs[1] + codec.step)
        low = max(knob for knob in self._sizes if knob < high)
        if self._sizes[self._finest()] >= codec.near * allowed or high - low < 1.5 * codec.step:
            return None
        middle = (low + high) / 2
        if too_large and not bisect:
            # The knob of every codec is such that bytes grow about exponentially with it.
            low_bytes, high_bytes = self._sizes[low], self._sizes[high]
            target = math.log(_AIM * allowed / low_bytes) / math.log(high_bytes / low_bytes)
            middle = low + target * (high - low)
        knob = round(middle / codec.step) * codec.step
        return min(max(knob, low + codec.step), high - codec.step)

    def best(self) -> tuple[float, Encoded, float]:
        """Return the best encoding that fits: knob, codestreams, seconds."""
        knob = self._finest()
        if self._kept is None or self._kept[0] != knob:
            self._encode(knob)
        if self._kept is None:
            raise RateError(f"{self._codec.name} gave another size when it encoded again")
        return self._kept

    def _finest(self) -> float:
        return max(knob for knob, size in self._sizes.items() if size <= self._allowed)

    def _encode(self, knob: float) -> None:
        start = time.perf_counter()
        encoded = self._codec.encode(self._voxels, knob)
        seconds = time.perf_counter() - start
        self._sizes[knob] = encoded.nbytes
        if encoded.nbytes <= self._allowed and self._finest() == knob:
            self._kept = knob, encoded, seconds


def _restored(codec: Coder, encoded: Encoded, knob: float, encode_s: float) -> BaselineResult:
    start = time.perf_counter()
    restored = codec.decode(encoded)
    seconds = time.perf_counter() - start
    return BaselineResult(encoded.nbytes, restored, knob, encode_s, seconds)


def imagecodecs(name: str) -> ModuleType:
    """Import the package imagecodecs and check that it has a codec.

    Args:
        name: name of the codec in the package, such as "JPEG2K".

    Raises:
        MissingExtraError: the package is not installed, or its build lacks the codec.
    """
    try:
        module = importlib.import_module("imagecodecs")
    except ImportError as error:
        raise MissingExtraError(
            f'comparing with {name} needs the package imagecodecs: pip install "deepstd[baselines]"'
        ) from error
    if not getattr(getattr(module, name, None), "available", False):
        raise MissingExtraError(
            f"the installed imagecodecs {module.__version__} has no {name}. "
            'Try pip install --upgrade "deepstd[baselines]"'
        )
    return module
