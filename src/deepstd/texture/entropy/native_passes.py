"""The passes of a tile on the native engine: what `levels.code_passes` does, scan by scan.

hidden ─ head output at a pass ─ Expected: means, scale indices ─ PassCoder ─▶ units
means + units ─▶ coefficients ─ features ─▶ the next pass
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np

from deepstd.engine.convolution import empty_grid
from deepstd.engine.library import address
from deepstd.texture.entropy.features import log_thresholds
from deepstd.texture.entropy.native_context import NativeContext, Shape, pass_positions


@dataclass(frozen=True)
class Expected:
    """Expectation of the coefficients that one pass of one scan codes, band after band.

    Attributes:
        library: the engine.
        means: (n,) float64, whole units.
        scales: (n,) uint8 scale indices.
        places: (n,) int64, place of each in the flattened (bands, *tile).
        counts: (bands,) int64, coefficients of each band.
    """

    library: Any
    means: np.ndarray
    scales: np.ndarray
    places: np.ndarray
    counts: np.ndarray


class PassCoder(Protocol):
    """A stream that a scan's passes are written to or read from."""

    def code_pass(self, expected: Expected) -> np.ndarray:
        """Return what the symbols of a pass add to the means, (n,) float64 units."""
        ...


def code_tile(
    model: NativeContext,
    hidden: Sequence[np.ndarray],
    hints: Sequence[np.ndarray] | None,
    mask: np.ndarray,
    coders: Sequence[PassCoder],
) -> np.ndarray:
    """Code a tile's coefficients pass by pass; return (B, bands, *tile) float64 units.

    Args:
        model: predicts the coefficients.
        hidden: of each scan, (*tile, width) int16.
        hints: of each scan, what the gate lets through, (bands, *tile) float64, or None.
        mask: (bands, *tile) bool, which coefficients there are.
        coders: of each scan.
    """
    tile = hidden[0].shape[:-1]
    values = np.zeros((len(coders), *mask.shape))
    room = [empty_grid([n + 2 for n in tile], model.known_channels) for _ in coders]
    exists = np.ascontiguousarray(mask, np.uint8)
    for index in range(model.passes):
        for scan, coder in enumerate(coders):
            output = model.output(index, hidden[scan], room[scan])
            hint = None if hints is None else hints[scan]
            expected = _expected(model.library, output, tile, index, exists, hint)
            units = coder.code_pass(expected)
            known = room[scan] if index + 1 < model.passes else None
            _apply(expected, units, tile, values[scan], known)
    return values


def _expected(
    library: Any,
    output: np.ndarray,
    tile: Shape,
    index: int,
    mask: np.ndarray,
    hint: np.ndarray | None,
) -> Expected:
    flat = pass_positions(tile, index).flat
    bands, most = len(mask), len(mask) * flat.size
    means, scales = np.empty(most), np.empty(most, np.uint8)
    places, counts = np.empty(most, np.int64), np.empty(bands, np.int64)
    count = library.pass_expect(
        *(address(output), address(flat), flat.size, bands, mask[0].size, address(mask)),
        None if hint is None else address(hint),
        *map(address, (means, scales, places, counts)),
    )
    return Expected(library, means[:count], scales[:count], places[:count], counts)


def _apply(
    expected: Expected,
    units: np.ndarray,
    tile: Shape,
    values: np.ndarray,
    known: np.ndarray | None,
) -> None:
    """Write coefficients, and their features where passes follow."""
    known_at = None if known is None else _places_in_margin(tile, known.shape[-1])
    expected.library.pass_apply(
        *(address(expected.means), address(units), address(expected.places)),
        *(units.size, values[0].size, address(log_thresholds())),
        None if known_at is None else address(known_at),
        address(values),
        None if known is None else address(known),
    )


@lru_cache(maxsize=32)
def _places_in_margin(tile: Shape, channels: int) -> np.ndarray:
    """Return where the channels of each position lie in a grid with a margin of one, (n,) int64."""
    places = np.meshgrid(*(np.arange(1, n + 1) for n in tile), indexing="ij")
    flat = np.ravel_multi_index(places, [n + 2 for n in tile]).reshape(-1)
    return flat.astype(np.int64) * channels
