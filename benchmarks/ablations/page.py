"""docs/ablations.md from the kept rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.ablations import left_out, trained
from benchmarks.standing.studies import STUDIES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "ablations.md"
_INTRO = """# What the parts of the texture stage are worth

Written by `python -m benchmarks.ablations`; every row is in `benchmarks/results/ablations.json` and
`ablations-trained.json`.
"""
_LEFT_OUT = """Parts left out of the finished codec, without training it anew: whole files at equal
bytes.
"""
_TRAINED = """Parts left out of, or added to, the bundle's network, which is then trained further on
64 scans, all variants for the same CPU time; 12 test scans, bits at equal PSNR against the one that
nothing was changed of (below 0: fewer). What was added starts by changing nothing. A network
trained for one step alone is compared at that step.
"""


def page(rows: Sequence[left_out.Row], curves: Sequence[trained.Curve]) -> str:
    """The page: two tables for each study."""
    parts = [_INTRO]
    for study in dict.fromkeys([row.study for row in rows] + [curve.study for curve in curves]):
        parts.append(f"## {STUDIES[study].title}\n")
        models = dict.fromkeys(row.model for row in rows if row.study == study)
        parts += [_LEFT_OUT] if models else []
        for model in models:
            parts += [*left_out.table(rows, study, model), ""]
        models = dict.fromkeys(curve.model for curve in curves if curve.study == study)
        parts += [_TRAINED] if models else []
        for model in models:
            parts += [*trained.table(curves, study, model), ""]
    return "\n".join(parts)


def write() -> None:
    """Write the page."""
    PAGE.write_text(page(left_out.load(), trained.load()), encoding="utf-8")
