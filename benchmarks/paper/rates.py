"""Bytes at equal PSNR: the shape stage, ablations, networks of few scans.

results/*.json ─ curve of each scan ─ BD-rate ─▶ mean over the scans, as text
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

from benchmarks.paper.ours import NOT_MEASURED, kept_json, rows_of
from deepstd.errors import InputError
from deepstd.evaluate.metrics import bd_rate
from deepstd.evaluate.rows import OURS

Points = Mapping[str, Sequence[Sequence[float]]]
# As in benchmarks.fewshot, which imports torch: the page does without.
PLAIN = "plain"
_STRATEGIES = (PLAIN, "augment", "teacher", "both")
_OFF = f"{OURS}, shape off"


def rate_without_shape(study: str) -> str:
    """Return the BD-rate of DeepSTD against the same without its shape stage."""
    rates = _rates(_points(study, _OFF), _points(study, OURS))
    return f"{mean(rates):+.1f} % bytes, {len(rates)} scans" if rates else NOT_MEASURED


def ablation(study: str, variant: str, model: str) -> str:
    """Return the BD-rate of a variant of the finished codec against the whole."""
    rows = [
        row
        for row in kept_json("ablations.json") or []
        if (row["study"], row["model"]) == (study, model)
    ]
    curves = [
        _curves((row["scan"], row["bpv"], row["psnr"]) for row in rows if row["variant"] == name)
        for name in ("reference: effort fast", variant)
    ]
    rates = _rates(*curves)
    return f"{mean(rates):+.1f} % bytes, {len(rates)} scans" if rates else NOT_MEASURED


def trained_without(variant: str, model: str) -> str:
    """Return bits at equal PSNR of a network trained without a part, against the unchanged."""
    curves = {
        name: {
            row["scan"]: row["points"]
            for row in kept_json("ablations-trained.json") or []
            if (row["study"], row["variant"], row["model"]) == ("hippocampus", name, model)
        }
        for name in ("unchanged", variant)
    }
    rates = _rates(curves["unchanged"], curves[variant])
    return f"{mean(rates):+.1f} % bits, {len(rates)} scans" if rates else NOT_MEASURED


@dataclass(frozen=True)
class FewScans:
    """Networks of few scans against the one of all scans of the same study and transform.

    Attributes:
        name: study, transform and number of scans.
        bits: by strategy, mean bits at equal PSNR against all scans, in %.
        steps: by strategy, steps of training.
    """

    name: str
    bits: Mapping[str, float]
    steps: Mapping[str, int]

    @property
    def regaining(self) -> list[str]:
        """Strategies that need fewer bits than the plain training on the same scans."""
        return [name for name, bits in self.bits.items() if bits < self.bits.get(PLAIN, -math.inf)]


def few_scans() -> list[FewScans]:
    """Return what few scans cost, for every study, transform and number of scans kept."""
    runs = kept_json("fewshot.json") or []
    groups = {}
    for run in runs:
        groups.setdefault((run["study"], run["transform"]), []).append(run)
    found = []
    for (study, transform), own in groups.items():
        everything = max((run for run in own if run["variant"] == PLAIN), key=_count)
        for count in sorted({run["count"] for run in own} - {everything["count"]}):
            few = [run for run in own if run["count"] == count]
            few.sort(key=lambda run: _STRATEGIES.index(run["variant"]))
            bits = {r["variant"]: _rates(everything["points"], r["points"]) for r in few}
            found.append(
                FewScans(
                    f"{study}, {transform}, {count} scans",
                    {name: mean(rates) for name, rates in bits.items() if rates},
                    {run["variant"]: run["steps"] for run in few},
                )
            )
    return found


def _count(run: Mapping[str, Any]) -> int:
    return run["count"]


def _points(study: str, codec: str) -> dict[str, list[tuple[float, float]]]:
    own = [row for row in rows_of(study) if row.codec == codec]
    return _curves((row.scan, row.bpv, row.psnr) for row in own if row.bpv and row.psnr)


def _curves(
    rows: Iterable[tuple[str, float, float]],
) -> dict[str, list[tuple[float, float]]]:
    curves: dict[str, list[tuple[float, float]]] = {}
    for scan, bits, level in rows:
        if math.isfinite(level):
            curves.setdefault(scan, []).append((bits, level))
    return curves


def _rates(reference: Points, other: Points) -> list[float]:
    """Return the BD-rates of the scans that both have and that share a quality."""
    rates = []
    for scan in reference:
        if scan not in other:
            continue
        known, found = (list(zip(*curve[scan], strict=True)) for curve in (reference, other))
        try:
            rates.append(bd_rate(*known, *found))
        except InputError:
            continue
    return rates
