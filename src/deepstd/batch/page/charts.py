"""Histograms as inline SVG.

values ─ bins, of equal width or of equal ratio ─▶ bars, with a title for each
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

_BINS = 24
_WIDTH, _HEIGHT = 320, 120  # units of the drawing
_FOOT = 18  # below the bars, for the numbers


def histogram(
    title: str, values: Sequence[float], words: Callable[[float], str], *, by_ratio: bool = False
) -> str:
    """Return a figure with the distribution of values; "" where fewer than two differ.

    Args:
        title: what is counted.
        values: finite numbers, above zero if ``by_ratio``.
        words: formats a value.
        by_ratio: bins have equal ratios of their ends, not equal widths.
    """
    low, high = min(values, default=0.0), max(values, default=0.0)
    if low == high:
        return ""
    scale, back = (math.log, math.exp) if by_ratio else (float, float)
    first, width = scale(low), (scale(high) - scale(low)) / _BINS
    counts = [0] * _BINS
    for value in values:
        counts[min(_BINS - 1, int((scale(value) - first) / width))] += 1
    most, step = max(counts), _WIDTH / _BINS
    bars = []
    for number, count in enumerate(counts):
        if not count:
            continue
        tall = max(2.0, (_HEIGHT - _FOOT - 12) * count / most)
        ends = (back(first + width * (number + end)) for end in (0, 1))
        told = f"{' to '.join(map(words, ends))}: {count} scans"
        bars.append(
            f'<rect x="{number * step + 1:.1f}" y="{_HEIGHT - _FOOT - tall:.1f}" '
            f'width="{step - 2:.1f}" height="{tall:.1f}" rx="1.5"><title>{escape(told)}</title>'
            "</rect>"
        )
    ordered = sorted(values)
    middle = ordered[len(ordered) // 2]
    across = _WIDTH * (scale(middle) - first) / (scale(high) - first)
    foot = _HEIGHT - 4
    return (
        f'<figure class="chart"><figcaption>{escape(title)} <span>median '
        f"{escape(words(middle))}</span></figcaption>"
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}: '
        f'{escape(words(low))} to {escape(words(high))}, median {escape(words(middle))}">'
        + "".join(bars)
        + f'<line x1="{across:.1f}" x2="{across:.1f}" y1="4" y2="{_HEIGHT - _FOOT}"/>'
        f'<text x="0" y="{foot}">{escape(words(low))}</text>'
        f'<text x="{_WIDTH}" y="{foot}" text-anchor="end">{escape(words(high))}</text>'
        "</svg></figure>"
    )
