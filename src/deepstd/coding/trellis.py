"""Trellis-coded quantisation (TCQ): two coarse quantisers, selected by the parities of symbols.

    residual ─ search over all paths of the trellis ─▶ symbols ─┐
                                      state ─▶ EVEN or ODD ◀────┴ parity ─▶ next state

EVEN has the even multiples of a spacing, ODD the odd multiples and zero. The quantiser of a symbol
follows from the parities before it, so a file does not hold it. An encoder that looks ahead reaches
points as dense as the union of both with the symbols of one (Marcellin and Fischer 1990;
"dependent quantisation" in VVC, Schwarz et al. 2021). The states are the states of Ungerboeck's
code.

TCQ gains nothing for symbols that are nearly always zero. `arranged` leaves these symbols to the
scalar quantiser. It lays the others out in lanes; each lane is a path that begins in state 0.
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
"""Smallest scale index of TCQ symbols; symbols of smaller scales are scalar-quantised."""
FEWEST_SYMBOLS = 128
"""Fewest TCQ symbols of a pass; all symbols are scalar-quantised where fewer remain."""
# Symbols.
_LONGEST_LANE = 128
# Ungerboeck (1982), 32 states: parity checks of the choice of quantiser and of the parity.
_MEMORY, _CHECK_OF_CHOICE, _CHECK_OF_PARITY = 5, 0o45, 0o10
_STATES = 1 << _MEMORY
# Largest magnitude whose bits are tabulated; larger magnitudes are rare.
_LARGEST = 24
# Cost of a forbidden path.
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
        """Number of symbols of the longest lane."""
        return -(-len(self.tcq) // self.lanes)


def arranged(scale_index: np.ndarray) -> Arrangement:
    """Arrange the symbols of a pass by their scale indices, (n,) uint8."""
    large = scale_index >= FIRST_INDEX
    if np.count_nonzero(large) < FEWEST_SYMBOLS:
        large[:] = False
    tcq = np.flatnonzero(large)
    tcq = tcq[np.argsort(scale_index[tcq], kind="stable")]
    lanes = max(1, -(-len(tcq) // _LONGEST_LANE))
    return Arrangement(np.flatnonzero(~large), tcq, lanes)


def values_of(symbols: np.ndarray, quantizer: np.ndarray) -> np.ndarray:
    """Return the points of TCQ symbols in spacings, given their quantisers EVEN or ODD."""
    return 2 * symbols - np.where(quantizer == ODD, np.sign(symbols), 0)


def quantizer_of(state: np.ndarray) -> np.ndarray:
    """Return the quantiser, EVEN or ODD, of the next symbol of each lane."""
    return (EVEN + (state & 1)).astype(np.uint8)


def following(state: np.ndarray, symbols: np.ndarray) -> np.ndarray:
    """Return the states of lanes after symbols."""
    return NEXT_STATES[state, symbols & 1]


def _next_states() -> np.ndarray:
    """Return the shift register of a systematic code with feedback, (states, parities)."""
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
    """Return the two states before each state and the number of the cost on each branch.

    Returns:
        Two int64 arrays, (2, states); costs are numbered 2 · quantiser + parity.
    """
    before, cost = np.zeros((2, 2, _STATES), dtype=np.int64)
    for state in range(_STATES):
        ways = np.argwhere(following == state)
        before[:, state] = ways[:, 0]
        cost[:, state] = 2 * (ways[:, 0] & 1) + ways[:, 1]
    return before, cost


NEXT_STATES = _next_states()
"""State of a lane after a symbol of a parity, (states, parities)."""
STATE_BEFORE, COST_TO = _ways_to(NEXT_STATES)
"""The two states before each state and the cost on each branch, (2, states)."""


def search(
    residual: np.ndarray,
    scale_index: np.ndarray,
    lanes: int,
    tables: ScaleTables,
    rate_weight: float,
    prices: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Find the symbols of least distortion + λ · bits by the Viterbi algorithm.

    Args:
        residual: coefficient less prediction in steps, (n,), in the order of `Arrangement.tcq`.
        scale_index: scale index of each residual, (n,) uint8.
        lanes: number of lanes.
        tables: frequencies.
        rate_weight: λ, squared steps that a bit is worth.
        prices: factor of λ of each residual, float32 (n,); None for 1.

    Returns:
        Symbols (int64) and quantisers (uint8, EVEN or ODD), (n,).
    """
    count = residual.size
    steps = -(-count // lanes)
    weights = spacing_weights(rate_weight, prices, count)
    symbols, costs = _candidates(residual / SPACING, scale_index, tables, weights)
    # The missing symbols of the last step are zero and cost nothing.
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
    points: np.ndarray, scale_index: np.ndarray, tables: ScaleTables, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the best symbol of each quantiser and parity, and its cost: (4, n) int64, float32."""
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
            found.append((magnitude - point) ** 2 + weights * price)
        np.minimum(*found, out=costs[row])
        best[row] = np.where(found[0] <= found[1], near, np.maximum(near - 2, parity))
    return np.where(points < 0, -best, best).astype(np.int64), costs


def spacing_weights(rate_weight: float, prices: np.ndarray | None, count: int) -> np.ndarray:
    """Return λ of each residual in squared spacings a bit, float32 (count,).

    Args:
        rate_weight: λ, squared steps that a bit is worth.
        prices: factor of λ of each residual, float32 (count,); None for 1.
        count: number of residuals.
    """
    weight = np.float32(rate_weight / SPACING**2)
    return np.full(count, weight) if prices is None else weight * prices.astype(np.float32)


@lru_cache(maxsize=16)
def trellis_bits(tables: ScaleTables) -> np.ndarray:
    """Return the bits of magnitudes 0 … 24 with quantisers EVEN and ODD, (2, 64, 25) float32."""
    both = [magnitude_bits(tables, quantizer, _LARGEST) for quantizer in (EVEN, ODD)]
    return np.stack(both).astype(np.float32)
