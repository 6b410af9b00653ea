"""docs/registration.md out of the results.

rows ─ per study ─▶ table, who is ahead ─▶ Markdown
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.registration import remarks
from benchmarks.registration.measure import Row
from benchmarks.registration.results import Results
from deepstd.evaluate.metrics import bd_rate
from deepstd.evaluate.tables import unique

RESULTS = Path(__file__).resolve().parents[1] / "results"
PAGE = Path(__file__).resolve().parents[2] / "docs" / "registration.md"
_OURS, _REFERENCE = "DeepSTD", "SyN (ANTs)"
_HEAD = (
    "method",
    "Dice",
    "HD95",
    "NCC",
    "folding, %",
    "CPU s",
    "time : SyN",
    "bytes",
)


def write(results: Results, path: Path = PAGE) -> None:
    """Write the page."""
    about = results.about
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    parts = [
        remarks.INTRO,
        f"Measured {about['date']} on {about['machine']}; Python {about['python']}, {versions}.",
    ]
    for study in unique(row.study for row in results.rows):
        rows = [row for row in results.rows if row.study == study]
        parts += [remarks.STUDIES[study], study_table(rows)]
        if any(row.method == _OURS for row in rows):
            parts.append(standing(rows))
        parts += remarks.READINGS.get(study, ())
    parts += [full_size(), selection(), since_the_first(), remarks.METHODS]
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def study_table(rows: Sequence[Row]) -> str:
    """One line a method, means over pairs; Dice and HD95 are first averaged over labels."""
    lines = [_line(_HEAD), _line(["---"] * len(_HEAD))]
    reference = _seconds(rows, _REFERENCE)
    for method in unique(row.method for row in rows):
        mine = [row for row in rows if row.method == method]
        overlaps = [row.mean_dice for row in mine]
        distances = [row.mean_hd95 for row in mine]
        finite = [d for d in distances if np.isfinite(d)]
        gone = "" if len(finite) == len(mine) else f" ({len(finite)} of {len(mine)})"
        stored = [row.nbytes for row in mine if row.nbytes is not None]
        seconds = float(np.mean([row.cpu_seconds for row in mine]))
        lines.append(
            _line(
                [
                    method,
                    f"{np.mean(overlaps):.4f} ± {np.std(overlaps):.3f}",
                    f"{np.mean(finite):.2f}{gone}" if finite else "–",
                    f"{np.mean([row.ncc for row in mine]):.3f}",
                    f"{np.mean([row.folding_percent for row in mine]):.3f}",
                    f"{seconds:.2f}",
                    f"{seconds / reference:.2f}" if reference else "–",
                    f"{np.mean(stored):.0f}" if stored else "–",
                ]
            )
        )
    return "\n".join(lines)


def standing(rows: Sequence[Row]) -> str:
    """Who is ahead of DeepSTD in Dice, pair by pair."""
    ours = {row.fixed: row.mean_dice for row in rows if row.method == _OURS}
    ahead = []
    for method in unique(row.method for row in rows):
        theirs = {row.fixed: row.mean_dice for row in rows if row.method == method}
        gains = [theirs[fixed] - ours[fixed] for fixed in theirs if fixed in ours]
        if gains and np.mean(gains) > 0 and not method.startswith(_OURS):
            better = sum(gain > 0 for gain in gains)
            ahead.append(f"{method} by {np.mean(gains):.4f} (better on {better} of {len(gains)})")
    if not ahead:
        return "No peer is ahead of DeepSTD in mean Dice."
    return f"Ahead of DeepSTD in mean Dice: {'; '.join(ahead)}."


def full_size() -> str:
    """The full-size CT of which the truth is known."""
    known = json.loads((RESULTS / "registration-known.json").read_text(encoding="utf-8"))
    scan, copy = (" × ".join(map(str, known[name])) for name in ("shape", "copy_shape"))
    text = (
        f"## A full-size CT against a deformed copy\n\n{remarks.KNOWN}\n\n"
        f"{scan} voxels against {copy}: mean error {known['error_before_mm']:.1f} mm by the "
        f"headers, {known['error_mm']:.2f} mm after registration "
        f"({known['error_half_voxels']:.2f} voxels at half resolution), "
        f"95th percentile {known['error_95_mm']:.1f} mm, "
        f"folding {known['folding_percent']:.3f} %, "
        f"{known['cpu_seconds']:.1f} s of CPU time on one "
        f"thread, {known['peak_gib']:.2f} GiB."
    )
    if "syn_cpu_seconds" in known:
        times = known["syn_cpu_seconds"] / known["cpu_seconds"]
        text += (
            f" SyN takes {known['syn_cpu_seconds']:.0f} s of CPU time, {times:.1f} times as long."
        )
    return text


def selection() -> str:
    """Which template serves best."""
    found = json.loads((RESULTS / "template-selection.json").read_text(encoding="utf-8"))
    lines = [_line(("template", "NCC before", "NCC after", "Dice")), _line(["---"] * 4)]
    for name, row in found["templates"].items():
        figures = (f"{row['ncc_before']:.3f}", f"{row['ncc_after']:.3f}", f"{row['dice']:.4f}")
        lines.append(_line((name, *figures)))
    return f"## Which template\n\n{remarks.SELECTION.format(**found)}\n\n" + "\n".join(lines)


def _seconds(rows: Sequence[Row], method: str) -> float | None:
    found = [row.cpu_seconds for row in rows if row.method == method]
    return float(np.mean(found)) if found else None


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def since_the_first() -> str:
    """Return the table of bytes with this shape stage, against bytes with the first."""
    kept = json.loads((RESULTS / "registration-first.json").read_text(encoding="utf-8"))
    head = ("scans", "field, bytes", "NCC", "whole file at equal error", "texture alone")
    lines = [_line(head), _line(["---"] * len(head))]
    for study in unique(row["study"] for row in kept):
        first, now = (
            {row["scan"]: row for row in kept if (row["study"], row["shape"]) == (study, shape)}
            for shape in ("first", "now")
        )
        pairs = [(row, now[scan]) for scan, row in first.items()]
        sizes, fits = (
            " → ".join(style.format(np.mean([pair[n][name] for pair in pairs])) for n in (0, 1))
            for name, style in (("field_bytes", "{:.0f}"), ("ncc", "{:.3f}"))
        )
        told = []
        for field in (True, False):
            changes = [bd_rate(*_curve(a, field), *_curve(b, field)) for a, b in pairs]
            lower = sum(change < 0 for change in changes)
            told.append(f"{np.mean(changes):+.1f} % (lower on {lower} of {len(changes)})")
        lines.append(_line((f"{study}, {len(pairs)}", sizes, fits, *told)))
    return "\n\n".join((remarks.FIRST, "\n".join(lines)))


def _curve(row: dict, field: bool) -> tuple[list[float], list[float]]:
    """Bytes, with or without those of the field, and levels in dB."""
    sizes, errors = zip(*row["points"], strict=True)
    less = 0 if field else row["field_bytes"]
    return [float(n - less) for n in sizes], [-10 * math.log10(error) for error in errors]
