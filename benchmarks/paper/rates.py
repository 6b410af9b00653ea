"""Bytes at equal PSNR: the shape stage, ablations, networks of few scans.

results/*.json ─ curve of each scan ─ BD-rate ─▶ mean over the scans, as text
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import mean
from typing import Any

from benchmarks.paper.ours import NOT_MEASURED, kept_json, rows_of
from deepstd.errors import InputError
from deepstd.evaluate.metrics import bd_rate
from deepstd.evaluate.rows import OURS

Points = Mapping[str, Sequence[Sequence[float]]]
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


def few_scans(variant: str) -> str:
    """Return bits of a network of few scans against that of all, and its training steps."""
    runs = [run for run in kept_json("fewshot.json") or [] if run["study"] == "hippocampus"]
    plain = [run for run in runs if run["variant"] == "plain"]
    few = [run for run in runs if run["variant"] == variant]
    if not plain or not few:
        return NOT_MEASURED
    everything, own = max(plain, key=_count), min(few, key=_count)
    rates = _rates(everything["points"], own["points"])
    return f"{mean(rates):+.1f} % bits, {own['count']} scans, {own['steps']} steps"


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
