"""docs/few-scans.md from the kept runs.

runs ─ bits at equal PSNR against all scans ─▶ table, bars
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.fewshot.runs import Run, load
from benchmarks.fewshot.studies import PLAIN, STUDIES
from deepstd.errors import InputError
from deepstd.evaluate import plots
from deepstd.evaluate.metrics import bd_rate

_DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE, PICTURE = _DOCS / "few-scans.md", "pictures/few-scans-{}.svg"
Points = Mapping[str, Sequence[tuple[float, float]]]
_INTRO = """# Training on few scans

Written by `python -m benchmarks.fewshot`; every run is in `benchmarks/results/fewshot.json`.

The paper trains on all scans of a data set, on few of them, and on few with each of two strategies
and with both (its Fig. 4e): random deformations, and a teacher whose features supervise the
network. As there, the teacher is the network of all scans. All networks had the same CPU time on
one core, beside other work; deformations and teacher take a part of it, so that there are fewer
steps. Template and shape model come from the same few scans. Bits are those at equal PSNR over
twelve test scans against the network of all scans (below 0: fewer).

"Regained" is the part of the loss, from all scans to few, that a strategy makes good; it means
little where the loss is near zero. The spread is the standard error over the test scans.
"""
# What the runs of a table show, and how far that goes.
_HIPPOCAMPUS = """Neither strategy regains anything in this short time, and both cost steps: 20
to 35 % fewer in the same CPU time. Most of the loss probably lies in template and shape model, and
both strategies train the networks alone: over the twelve test scans the correlation with the warped
template is 0.78 with 15 scans, 0.86 with all. After so few steps a network has hardly overfitted 15
scans. The strength is the default; there was no time to choose one on validation scans. Each
template had 90 s of a busy machine.

**The table does not show what a number of scans costs.** The 90 s are wall-clock time, and other
work took a part of them. Later runs on an almost idle machine had 30 and 60 scans, 1.5 CPU minutes
each: -30.5 ± 3.0 % and -16.2 ± 1.6 % bits against the row of all scans. Probably the template of
all scans was far from finished. The rows must be measured again, in one run, with templates that
have converged. Longer runs, and head and neck, are not measured yet.
"""
_REMARKS = {("hippocampus", "lifting"): _HIPPOCAMPUS}


def page(runs: Sequence[Run]) -> str:
    """Return the page: a table and a plot for each study and transform."""
    parts = [_INTRO]
    for study, transform in dict.fromkeys((run.study, run.transform) for run in runs):
        own = [run for run in runs if (run.study, run.transform) == (study, transform)]
        parts.append(f"## {STUDIES[study].title}: {transform}\n")
        parts += [*table(own), ""]
        if (study, transform) in _REMARKS:
            parts.append(_REMARKS[study, transform])
        if len(own) > 1:
            parts += [f"![Bits of networks]({_picture(own)})", ""]
    if not runs:
        parts.append("No run has been kept yet.\n")
    return "\n".join(parts)


def table(runs: Sequence[Run]) -> list[str]:
    """Return the lines of the table of one study and transform."""
    everything = _everything(runs)
    lines = [
        "| scans | strategy | CPU minutes | steps | strength | bits against all scans | regained |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    losses = {
        run.count: change(everything.points, run.points) for run in runs if run.variant == PLAIN
    }
    for run in sorted(runs, key=lambda one: -one.count):
        more, spread = _mean(everything.points, run.points)
        loss = losses.get(run.count, 0.0)
        regained = f"{100 * (1 - more / loss):.0f} %" if run.variant != PLAIN and loss > 0 else ""
        cells = [
            "all " + str(run.count) if run is everything else str(run.count),
            run.variant,
            f"{run.minutes:g}",
            str(run.steps),
            f"{run.strength:g}" if run.strength else "",
            "" if run is everything else f"{more:+.1f} ± {spread:.1f} %",
            regained,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def change(reference: Points, other: Points) -> float:
    """Return the mean BD-rate over the scans, in per cent."""
    return _mean(reference, other)[0]


def _mean(reference: Points, other: Points) -> tuple[float, float]:
    """Return mean and standard error of the BD-rates of the scans that have one."""
    rates = []
    for name, points in other.items():
        bits, levels = zip(*points, strict=True)
        known_bits, known_levels = zip(*reference[name], strict=True)
        try:
            rates.append(bd_rate(known_bits, known_levels, bits, levels))
        except InputError:
            continue  # the curves of this scan share no quality
    if not rates:
        return float("nan"), float("nan")
    return float(np.mean(rates)), float(np.std(rates) / np.sqrt(len(rates)))


def _everything(runs: Sequence[Run]) -> Run:
    return max((run for run in runs if run.variant == PLAIN), key=lambda run: run.count)


def _picture(runs: Sequence[Run]) -> str:
    return PICTURE.format(f"{runs[0].study}-{runs[0].transform}")


def write() -> None:
    """Write the page and its plots."""
    runs = load()
    for study, transform in dict.fromkeys((run.study, run.transform) for run in runs):
        own = [run for run in runs if (run.study, run.transform) == (study, transform)]
        everything = _everything(own)
        bars = {
            f"{run.count} {run.variant}": {"bits": change(everything.points, run.points)}
            for run in own
            if run is not everything
        }
        if bars:
            url = plots.stacks(bars, "more bits than with all scans, %")
            svg = base64.b64decode(url.partition(",")[2])
            (_DOCS / _picture(own)).write_bytes(svg)
    PAGE.write_text(page(runs), encoding="utf-8")
