"""What a peer codec is, and the search that brings it to a number of bytes.

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
from typing import Any, Protocol

import numpy as np

from deepstd.errors import MissingExtraError, RateError
from deepstd.quality import finite_range

_CLOSE_ENOUGH = 0.999
_AIM = 0.9997
_MAX_ATTEMPTS = 24
_BISECT_EVERY = 3


@dataclass(frozen=True)
class Encoded:
    """Codestreams of one scan.

    Attributes:
        streams: the codestreams; their lengths are what counts.
        side: what a container would have to hold besides; not counted.
    """

    streams: tuple[bytes, ...]
    side: Any = None

    @property
    def nbytes(self) -> int:
        """Bytes of all codestreams."""
        return sum(map(len, self.streams))


class Baseline(Protocol):
    """A codec with one knob, where a larger knob means a larger and better result.

    Attributes:
        name: for tables.
        knobs: smallest and largest knob.
        step: the smallest change of the knob that is tried.
    """

    name: str
    knobs: tuple[float, float]
    step: float

    def encode(self, voxels: np.ndarray, knob: float) -> Encoded:
        """Codestreams of a scan of 2 or 3 axes."""
        ...

    def decode(self, encoded: Encoded) -> np.ndarray:
        """The restored scan in the shape and type of the original."""
        ...


@dataclass(frozen=True)
class BaselineResult:
    """A peer's answer to a number of bytes.

    Attributes:
        nbytes: bytes of the codestreams.
        restored: the scan that comes back.
        knob: the setting that was found.
        encode_s: seconds of the final encoding.
        decode_s: seconds of its decoding.
    """

    nbytes: int
    restored: np.ndarray
    knob: float
    encode_s: float
    decode_s: float


def fit_to_bytes(codec: Baseline, voxels: np.ndarray, max_bytes: int) -> BaselineResult:
    """Encode a scan as well as a codec can within a number of bytes, and restore it.

    The search ends at 0.999 of the bytes allowed, or where the knob cannot come closer.

    Raises:
        RateError: even the smallest knob needs more bytes.
        MissingExtraError: the codec is not installed.
    """
    low, high = codec.knobs
    best, best_s = _timed_encode(codec, voxels, low)
    if best.nbytes > max_bytes:
        raise RateError(
            f"{codec.name} cannot reach {max_bytes} bytes for a scan of shape {voxels.shape}: "
            f"the smallest it can do is {best.nbytes}"
        )
    knob, low_bytes, high_bytes = low, best.nbytes, None
    for attempt in range(_MAX_ATTEMPTS):
        if best.nbytes >= _CLOSE_ENOUGH * max_bytes or high - low < 1.5 * codec.step:
            break
        middle = (low + high) / 2
        if high_bytes is not None and attempt % _BISECT_EVERY:
            # Bytes grow about exponentially with every codec's knob.
            target = math.log(_AIM * max_bytes / low_bytes) / math.log(high_bytes / low_bytes)
            middle = low + target * (high - low)
        middle = min(
            max(round(middle / codec.step) * codec.step, low + codec.step), high - codec.step
        )
        encoded, seconds = _timed_encode(codec, voxels, middle)
        if encoded.nbytes > max_bytes:
            high, high_bytes = middle, encoded.nbytes
            continue
        low, low_bytes = middle, encoded.nbytes
        if encoded.nbytes >= best.nbytes:
            best, best_s, knob = encoded, seconds, middle
    start = time.perf_counter()
    restored = codec.decode(best)
    return BaselineResult(best.nbytes, restored, knob, best_s, time.perf_counter() - start)


def imagecodecs() -> ModuleType:
    """The module that holds the codecs.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return importlib.import_module("imagecodecs")
    except ImportError as error:
        raise MissingExtraError(
            "comparing with JPEG, JPEG 2000 and SPERR needs the package imagecodecs: "
            'pip install "deepstd[baselines]"'
        ) from error


def filled(voxels: np.ndarray) -> np.ndarray:
    """The scan with its smallest finite value in place of NaN and infinity."""
    if voxels.dtype.kind != "f":
        return voxels
    low, _ = finite_range(voxels)
    return np.where(np.isfinite(voxels), voxels, 0.0 if np.isnan(low) else low)


def to_type(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Restored values in a scan's own type; integers are rounded and clipped."""
    if dtype.kind == "b":
        return values > 0.5
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return np.clip(np.rint(values), limits.min, limits.max).astype(dtype)
    return values.astype(dtype)


def _timed_encode(codec: Baseline, voxels: np.ndarray, knob: float) -> tuple[Encoded, float]:
    start = time.perf_counter()
    encoded = codec.encode(voxels, knob)
    return encoded, time.perf_counter() - start
