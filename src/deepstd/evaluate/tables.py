"""Tables of results: means over scans, bytes used, distances between curves.

rows ─ by target and codec ─▶ means with their number of scans ─▶ text cells
     └ by scan and codec ─ (bytes, PSNR) ─▶ bd_rate ─▶ mean and range over scans
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from deepstd.errors import InputError
from deepstd.evaluate.metrics import bd_psnr, bd_rate
from deepstd.evaluate.rows import LOSSLESS, Row

_T = TypeVar("_T")
# Metrics in the order of columns.
NAMES = ("psnr", "psnr_fg", "ssim", "ssim_fg", "mae", "mae_fg", "rmse", "rmse_fg")
NAMES += ("max_error", "max_error_fg")


@dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes:
        head: name and meaning of each column.
        rows: cells of each row.
        strong: indices of the rows to emphasise.
        faint: indices of the rows that cannot be compared with the others.
    """

    head: tuple[tuple[str, str], ...]
    rows: tuple[tuple[str, ...], ...]
    strong: frozenset[int] = frozenset()
    faint: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Distance:
    """Distance of a codec from a reference codec, over scans where their curves overlap.

    Attributes:
        other: name of the reference codec.
        rates: BD-rate of each scan in percent, negative for fewer bytes.
        psnrs: BD-PSNR of each scan in dB.
    """

    other: str
    rates: tuple[float, ...]
    psnrs: tuple[float, ...]


def distances(rows: Sequence[Row], codec: str, figure: str = "psnr") -> list[Distance]:
    """Compute BD-rate and BD-PSNR of a codec against every other codec.

    Args:
        rows: rows of any number of scans.
        codec: name of the tested codec.
        figure: "psnr", or "psnr_fg" for the PSNR of the foreground.
    """
    curves: dict[tuple[str, str], list[tuple[int, float]]] = defaultdict(list)
    for row in rows:
        value = getattr(row, figure)
        if row.nbytes is not None and value is not None and math.isfinite(value):
            curves[row.digest or row.scan, row.codec].append((row.nbytes, value))
    scans = unique(row.digest or row.scan for row in rows)
    found = []
    for other in unique(row.codec for row in rows if row.target != LOSSLESS and row.codec):
        if other == codec:
            continue
        gains = []
        for scan in scans:
            one, two = (sorted(curves[scan, name]) for name in (other, codec))
            points = [list(column) for curve in (one, two) for column in zip(*curve, strict=True)]
            if len(points) != 4:
                continue
            try:
                gains.append((bd_rate(*points), bd_psnr(*points)))
            except InputError:
                continue
        rates, psnrs = zip(*gains, strict=True) if gains else ((), ())
        found.append(Distance(other, tuple(rates), tuple(psnrs)))
    return found


def means(rows: Sequence[Row], target: str, ours: str) -> Table:
    """Make the table of one size: bytes used, metrics and times, means over scans per codec.

    Codecs with results for fewer scans than another codec are faint.

    Args:
        rows: rows of a comparison.
        target: size, as in the rows.
        ours: name of the codec to emphasise, or its beginning.
    """
    asked = [row for row in rows if row.target == target]
    definitions = common_definitions(asked)
    columns = [*NAMES, "encode_s", "decode_s"]
    head = [("codec", ""), ("bytes used", "of those allowed"), ("scans", "answered of asked")]
    head += [_heading(name, definitions) for name in NAMES]
    head += [("encode", "s, last run"), ("decode", "s")]
    if target == LOSSLESS:
        keep = ["encode_s", "decode_s"]
        head = [
            ("codec", ""),
            ("ratio", "stored : file"),
            ("scans", "answered of asked"),
            *head[-2:],
        ]
        columns = keep
    lines, strong, faint = [], set(), set()
    most = max(len(part) for part in _answers(asked).values())
    for codec in unique(row.codec for row in asked):
        mine = [row for row in asked if row.codec == codec]
        answered = _answers(mine)[codec]
        if not answered:
            lines.append((codec, mine[0].status, f"0 of {len(mine)}", *["–"] * len(columns)))
            continue
        if target == LOSSLESS:
            used = f"{np.mean([row.ratio or 0 for row in answered]):.2f}"
        else:
            fills = [row.fill or 0 for row in answered]
            used = percent(min(fills), max(fills))
        cells = [number(_mean(answered, name), name) for name in columns]
        if codec.startswith(ours):
            strong.add(len(lines))
        elif len(answered) < most:
            faint.add(len(lines))
        lines.append((codec, used, f"{len(answered)} of {len(mine)}", *cells))
    return Table(tuple(head), tuple(lines), frozenset(strong), frozenset(faint))


def every_row(rows: Sequence[Row]) -> Table:
    """Make a table with a line for every row."""
    head = [("scan", ""), ("size", ""), ("codec", ""), ("bytes", ""), ("bytes used", "")]
    head += [_heading(name, common_definitions(rows)) for name in NAMES]
    head += [("encode", "s"), ("decode", "s"), ("note", "")]
    lines = []
    for row in rows:
        nbytes = "–" if row.nbytes is None else f"{row.nbytes:,}"
        fill = "–" if row.fill is None else percent(row.fill, row.fill)
        figures = [number(getattr(row, name), name) for name in (*NAMES, "encode_s", "decode_s")]
        note = row.note if row.status in ("ok", "cannot") else f"{row.status}: {row.note}"
        lines.append((row.scan, row.target, row.codec, nbytes, fill, *figures, note))
    return Table(tuple(head), tuple(lines))


def distance_table(rows: Sequence[Row], codec: str) -> Table:
    """Make a table of BD-rate and BD-PSNR of a codec, over all voxels and over the foreground."""
    lines = []
    overall, foreground = distances(rows, codec), distances(rows, codec, "psnr_fg")
    for one, fg in zip(overall, foreground, strict=True):
        cells = [_spread(one.rates, "%"), _spread(one.psnrs, "dB")]
        cells += [_spread(fg.rates, "%"), _spread(fg.psnrs, "dB")]
        lines.append((one.other, str(len(one.rates)), *cells))
    head = (
        ("against", ""),
        ("scans", "with curves that overlap"),
        ("BD-rate", "%, below 0: fewer bytes"),
        ("BD-PSNR", "dB, above 0: better"),
        ("BD-rate fg", "%, on psnr of the foreground"),
        ("BD-PSNR fg", "dB, foreground"),
    )
    return Table(head, tuple(lines))


def common_definitions(rows: Iterable[Row]) -> dict[str, str]:
    """Return definitions of metrics for several scans, with names for values that differ."""
    found: dict[str, str] = {}
    known = unique(tuple(row.definitions.items()) for row in rows if row.definitions)
    for name in NAMES:
        texts = unique(dict(pairs)[name] for pairs in known)
        if len(texts) > 1:
            texts = unique(
                re.sub(r",fg \d+ %", ",fg", re.sub(r"(peak|L)=[^,\]]+", r"\1=max−min", text))
                for text in texts
            )
        found[name] = " or ".join(texts)
    return found


def number(value: float | None, name: str) -> str:
    """Format the value of a metric."""
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "exact" if name.startswith("psnr") and value > 0 else "∞"
    if name.startswith("psnr"):
        return f"{value:.2f}"
    if name.startswith("ssim"):
        return f"{value:.4f}"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def percent(low: float, high: float) -> str:
    """Format a share, or a range of shares, in percent."""
    texts = [f"{100 * value:.1f}" for value in (low, high)]
    return f"{texts[0]} %" if texts[0] == texts[1] else f"{texts[0]}–{texts[1]} %"


def unique(values: Iterable[_T]) -> list[_T]:
    """Return distinct values in the order of their first occurrence."""
    return list(dict.fromkeys(values))


def _answers(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Return the rows with a result, by codec."""
    found: dict[str, list[Row]] = {row.codec: [] for row in rows}
    for row in rows:
        if row.nbytes is not None:
            found[row.codec].append(row)
    return found


def _heading(name: str, definitions: dict[str, str]) -> tuple[str, str]:
    label, _, _ = name.partition("_fg")
    label = {"max_error": "max"}.get(label, label)
    label = label if label == "max" else label.upper()
    # Without the name of the metric, which stands above.
    meaning = re.sub(r"\b\w+(?=\[)", "", definitions.get(name, "")).replace(",", ", ")
    return label + (" fg" if name.endswith("_fg") else ""), meaning


def _mean(rows: Sequence[Row], name: str) -> float | None:
    values = [getattr(row, name) for row in rows]
    finite = [v for v in values if v is not None and math.isfinite(v)]
    if finite:
        return float(np.mean(finite))
    return math.inf if math.inf in values else None


def _spread(values: Sequence[float], unit: str) -> str:
    if not values:
        return "–"
    mean = f"{np.mean(values):+.1f}" if unit == "%" else f"{np.mean(values):+.2f}"
    if len(values) == 1:
        return f"{mean} {unit}"
    low, high = (f"{f(values):+.1f}" for f in (min, max))
    return f"{mean} {unit} ({low} to {high})"
