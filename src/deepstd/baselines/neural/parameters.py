"""Fitted parameters as bytes: one quantiser step for all, one scale for each group.

    groups of values ─ / step, rounded ─▶ symbols ─ range coder ─▶ bytes
                          ▲                                          │ number
                          └──────── bisection: the finest that fits ─┘

Steps are sixteenths of an octave. A group holds parameters of the same kind, such as the weights of
a layer in all blocks. Its scale index is coded before its symbols.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from deepstd.coding.backend import Decoder, Encoder, new_encoder
from deepstd.coding.tables import SCALE_COUNT, ScaleTables, parametric_tables
from deepstd.errors import RateError

STEP_BITS = 8
"""Bits of the index of a step."""
_COARSEST, _AN_OCTAVE = 2.0, 16
_SCALE_BITS = 6
_MEAN_MAGNITUDE = 2 * math.log(2)  # of a logistic distribution of scale 1
ROUNDS = 3
"""Fits through the quantiser, each with a step of its own."""
_AIM, _LEAST_SHARE = 0.99, 0.97  # shares of the allowed bytes
Writer = Callable[[Encoder, int], None]


def step_of(index: int) -> float:
    """Return the quantiser step of an index, 0 … 255; the larger the index, the finer."""
    return _COARSEST * 2.0 ** (-index / _AN_OCTAVE)


def symbols_of(values: np.ndarray, step: float) -> np.ndarray:
    """Quantise values to integer symbols, (n,) int64."""
    return np.rint(np.asarray(values, np.float64).reshape(-1) / step).astype(np.int64)


def write(encoder: Encoder, groups: Sequence[np.ndarray]) -> None:
    """Encode groups of symbols, each with the scale that suits it best."""
    for symbols in groups:
        magnitude = float(np.abs(symbols).mean()) if symbols.size else 0.0
        index = 20 + 4 * math.log2(max(magnitude / _MEAN_MAGNITUDE, 2.0**-5))
        scale = np.full(symbols.size, min(round(index), SCALE_COUNT - 1), np.uint8)
        encoder.encode_bits(min(round(index), SCALE_COUNT - 1), _SCALE_BITS)
        encoder.encode(symbols, scale, _tables())


def read(decoder: Decoder, sizes: Sequence[int]) -> list[np.ndarray]:
    """Decode groups of symbols of known sizes.

    Raises:
        DamagedError: the stream decodes to no symbols.
    """
    groups = []
    for size in sizes:
        scale = np.full(size, decoder.decode_bits(_SCALE_BITS), np.uint8)
        groups.append(decoder.decode(scale, _tables()))
    return groups


def finest(writer: Writer, max_bytes: int, name: str) -> tuple[int, bytes]:
    """Return the index of the finest step whose stream fits, and the stream.

    Args:
        writer: writes the parameters, given the index of the step.
        max_bytes: allowed bytes.
        name: name of the codec, for the message.

    Raises:
        RateError: even the coarsest step needs more bytes.
    """
    low, best = 0, _stream(writer, 0)
    if len(best) > max_bytes:
        raise RateError(
            f"{name} cannot reach {max_bytes} bytes: the smallest it can do is {len(best)}"
        )
    high = 1 << STEP_BITS
    while high - low > 1:
        middle = (low + high) // 2
        tried = _stream(writer, middle)
        if len(tried) <= max_bytes:
            low, best = middle, tried
        else:
            high = middle
    return low, best


def tuned(writer: Writer, refit: Callable[[float], None], max_bytes: int, name: str) -> bytes:
    """Return the stream of parameters that were fitted again through their quantiser.

    The step of the last fit is kept where its stream has the right size.

    Args:
        writer: writes the parameters, given the index of the step.
        refit: continues the fit with parameters rounded to a step.
        max_bytes: allowed bytes.
        name: name of the codec, for the message.

    Raises:
        RateError: even the coarsest step needs more bytes.
    """
    index, aim = 0, max(1, int(_AIM * max_bytes))
    for _ in range(ROUNDS):
        index, _ = finest(writer, aim, name)
        refit(step_of(index))
    kept = _stream(writer, index)
    if _LEAST_SHARE * max_bytes <= len(kept) <= max_bytes:
        return kept
    return finest(writer, max_bytes, name)[1]


def _stream(writer: Writer, index: int) -> bytes:
    encoder = new_encoder()
    writer(encoder, index)
    return encoder.finish()


@lru_cache(maxsize=1)
def _tables() -> ScaleTables:
    return parametric_tables()
