"""Trellis-coded quantisation: two coarse quantisers whose symbols say which of them comes next.

    residual ─ search over all ways through the trellis ─▶ symbols ─┐
                                          state ─▶ EVEN or ODD ◀────┴ parity ─▶ next state

EVEN has the even multiples of a spacing, ODD the odd ones and zero. Which of them a symbol belongs
to follows from the parities before it, so a file does not say; but an encoder that looks ahead
reaches points as dense as both together with the symbols of one (Marcellin and Fischer 1990; as
"dependent quantisation" in VVC, Schwarz et al. 2021). The states are those of Ungerboeck's code.

Symbols that are zero nearly always gain nothing: `arranged` leaves them to the plain quantiser, and
lays the others out in lanes that are walked side by side, each from state 0.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from deepstd.coding.tables import (
    EVEN,
    ODD,
    SCALE_COUNT,
    SPACING,
    ScaleTables,
    magnitude_bits,
)

FIRST_INDEX = 8
"""Symbols of smaller scale are left to the plain quantiser."""
FEWEST_SYMBOLS = 128
"""So are all of a pass where fewer than these remain."""
_LONGEST_LANE = 128
# Ungerboeck (1982), 32 states: parity checks of the choice of quantiser and of the parity.
_MEMORY, _CHECK_OF_CHOICE, _CHECK_OF_PARITY = 5, 0o45, 0o10
_STATES = 1 << _MEMORY
_LARGEST = 24
_NEVER = np.float32(1e30)


class Arrangement(NamedTuple):
    """Order of the symbols of a pass: scalar-quantised and TCQ symbols.

    Attributes:
        scalar: positions of scalar-quantised symbols, ascending.
        tcq: positions of TCQ symbols by ascending scale; symbol n is in lane n mod ``lanes``.
        lanes: number of lanes, each a trellis path that begins in state 0.
    """

    scalar: np.ndarray
    tcq: np.ndarray
    lanes: int

    @property
    def steps(self) -> int:
        """Symbols of the longest lane."""
        return -(-len(self.tcq) // self.lanes)


def arranged(scale_index: np.ndarray) -> Arrangement:
    """The arrangement of a pass whose symbols have these scale indices, (n,) uint8."""
    large = scale_index >= FIRST_INDEX
    if np.count_nonzero(large) < FEWEST_SYMBOLS:
        large[:] = False
    tcq = np.flatnonzero(large)
    tcq = tcq[np.argsort(scale_index[tcq], kind="stable")]
    lanes = max(1, -(-len(tcq) // _LONGEST_LANE))
    return Arrangement(np.flatnonzero(~large), tcq, lanes)


def values_of(symbols: np.ndarray, quantizer: np.ndarray) -> np.ndarray:
    """What symbols of quantisers EVEN and ODD stand for, in spacings."""
    return 2 * symbols - np.where(quantizer == ODD, np.sign(symbols), 0)


def quantizer_of(state: np.ndarray) -> np.ndarray:
    """EVEN or ODD, which the next symbol of a lane belongs to."""
    return (EVEN + (state & 1)).astype(np.uint8)


def following(state: np.ndarray, symbols: np.ndarray) -> np.ndarray:
    """States after symbols."""
    return NEXT_STATES[state, symbols & 1]


def _next_states() -> np.ndarray:
    """(states, parities): the shift register of a systematic code with feedback."""
    table = np.zeros((_STATES, 2), dtype=np.int64)
    for state in range(_STATES):
        for parity in range(2):
            shifted = state >> 1
            for tap in range(1, _MEMORY + 1):
                choice = (_CHECK_OF_CHOICE >> tap & 1) & state
                bit = choice ^ ((_CHECK_OF_PARITY >> tap & 1) & parity)
                shifted ^= (bit & 1) << (tap - 1)
            table[state, parity] = shifted
    return table


def _ways_to(following: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two states before each state, and which of a symbol's four costs lead from there."""
    before, cost = np.zeros((2, 2, _STATES), dtype=np.int64)
    for state in range(_STATES):
        ways = np.argwhere(following == state)
        before[:, state] = ways[:, 0]
        cost[:, state] = 2 * (ways[:, 0] & 1) + ways[:, 1]
    return before, cost


NEXT_STATES = _next_states()
"""(states, parities): state of a lane after a symbol of a parity."""
STATE_BEFORE, COST_TO = _ways_to(NEXT_STATES)
"""(2, states): the two states before each state, and the candidate that leads from there."""


def search(
    residual: np.ndarray,
    scale_index: np.ndarray,
    lanes: int,
    tables: ScaleTables,
    rate_weight: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Symbols with the least distortion + weight · bits, by the Viterbi algorithm.

    Args:
        residual: in steps, (n,), in the order of `Arrangement.tcq`.
        scale_index: of each.
        lanes: of the arrangement.
        tables: that they are coded with.
        rate_weight: squared steps that a bit is worth.

    Returns:
        symbols (int64) and their quantisers (uint8), (n,).
    """
    count = residual.size
    steps = -(-count // lanes)
    symbols, costs = _candidates(residual / SPACING, scale_index, tables, rate_weight / SPACING**2)
    # What the last step lacks is zero, for free.
    missing = ((0, 0), (0, steps * lanes - count))
    costs = np.pad(costs, missing)
    costs[1::2, count:] = _NEVER
    costs = costs.reshape(4, steps, lanes)
    total = np.full((_STATES, lanes), _NEVER, dtype=np.float32)
    total[0] = 0
    second = np.empty((steps, _STATES, lanes), dtype=bool)
    for step in range(steps):
        here = costs[:, step]
        one = total[STATE_BEFORE[0]] + here[COST_TO[0]]
        other = total[STATE_BEFORE[1]] + here[COST_TO[1]]
        np.less(other, one, out=second[step])
        total = np.minimum(one, other)
    state = total.argmin(0)
    every = np.arange(lanes)
    taken = np.empty((steps, lanes), dtype=np.int64)
    for step in reversed(range(steps)):
        way = second[step].reshape(-1)[state * lanes + every] * _STATES + state
        taken[step] = COST_TO.reshape(-1)[way]
        state = STATE_BEFORE.reshape(-1)[way]
    row = taken.reshape(-1)[:count]
    return symbols[row, np.arange(count)], (EVEN + row // 2).astype(np.uint8)


def _candidates(
    points: np.ndarray, scale_index: np.ndarray, tables: ScaleTables, rate_weight: float
) -> tuple[np.ndarray, np.ndarray]:
    """The best symbol of each quantiser and parity, and its cost: (4, n) int64 and float32."""
    magnitude = np.abs(points).astype(np.float32)
    bits = trellis_bits(tables).reshape(-1)
    best = np.empty((4, points.size), dtype=np.float32)
    costs = np.empty((4, points.size), dtype=np.float32)
    for row in range(4):
        odd, parity = divmod(row, 2)
        entry = (odd * SCALE_COUNT + scale_index.astype(np.int64)) * (_LARGEST + 1)
        at = (magnitude + odd - 2 * parity) / 4
        near = np.maximum(np.floor(at + np.float32(0.5)) * 2, 0) + parity
        found = []
        for symbol in (near, np.maximum(near - 2, parity)):
            point = np.maximum(2 * symbol - odd, 0)
            price = bits[entry + np.minimum(symbol, _LARGEST).astype(np.int64)]
            found.append((magnitude - point) ** 2 + np.float32(rate_weight) * price)
        np.minimum(*found, out=costs[row])
        best[row] = np.where(found[0] <= found[1], near, np.maximum(near - 2, parity))
    return np.where(points < 0, -best, best).astype(np.int64), costs


@lru_cache(maxsize=16)
def trellis_bits(tables: ScaleTables) -> np.ndarray:
    """Return the bits of magnitudes 0 … 24 with quantisers EVEN and ODD, (2, 64, 25) float32."""
    both = [magnitude_bits(tables, quantizer, _LARGEST) for quantizer in (EVEN, ODD)]
    return np.stack(both).astype(np.float32)
