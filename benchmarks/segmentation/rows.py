"""Rows of the segmentation benchmark, and its part of docs/benchmark.md.

results/segmentation.json ─ means over labels and scans ─▶ tables of Dice and HD95
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import mean
from typing import Any

from benchmarks.standing.results import FOLDER, Results
from benchmarks.standing.studies import RATES, STUDIES
from deepstd.evaluate.rows import INFINITY, OURS
from deepstd.evaluate.tables import unique

PATH = FOLDER / "segmentation.json"
ORIGINAL = "the original"
_SIZES = [f"{target.bpv:g} bpv" for target in RATES]
_INTRO = """## Segmentation of restored scans

A small network ([MONAI](https://monai.io)'s SegResNet, 0.16 M parameters, trained on one core in
minutes on scans of other patients) segments each original and each restored scan. Dice, and HD95
(the larger of the two directed 95th percentiles of surface distances), means over labels and scans.
"""
_UNITS = {"hippocampus": "mm", "cardiac": "voxels, as these files have lost their spacing"}


@dataclass(frozen=True)
class Overlap:
    """How alike two segmentations are, for one label.

    Attributes:
        dice, hd95: of the labels found on the restored scan against those on the original.
        dice_truth, hd95_truth: the same against the labels that a person drew.
    """

    dice: float
    hd95: float
    dice_truth: float
    hd95_truth: float


@dataclass(frozen=True)
class SegmentationRow:
    """Labels that the network finds on one scan as one codec restores it, measured.

    Attributes:
        study, scan, codec, target: what was measured.
        nbytes: of the file or codestreams; of the original, of its voxels; None where the codec has
            no file that small.
        model: the bundle, "" for peers.
        network: digest of the network.
        overlaps: by the name of the label.
    """

    study: str
    scan: str
    codec: str
    target: str
    nbytes: int | None
    model: str
    network: str
    overlaps: Mapping[str, Overlap]


def open_results() -> Results[SegmentationRow]:
    """The rows that are kept."""
    return Results.open(PATH, _from_json, _to_json)


def segmentation_section() -> str:
    """Tables of both studies."""
    rows = [row for row, _ in open_results().rows.values()]
    parts = [_INTRO] if rows else []
    for study in unique(row.study for row in rows):
        parts += list(_tables(study, [row for row in rows if row.study == study]))
    return "\n".join(parts)


def _tables(study: str, rows: Sequence[SegmentationRow]) -> list[str]:
    scans = unique(row.scan for row in rows)
    labels = ", ".join(next(row.overlaps for row in rows if row.overlaps))
    models = ", ".join(
        f"`{model.partition(' (')[0]}`" for model in unique(r.model for r in rows if r.model)
    )
    return [
        f"### {STUDIES[study].title}: {labels}\n",
        f"{len(scans)} scans, DeepSTD with {models}, HD95 in {_UNITS[study]}. Against what "
        "the network finds on the original, Dice / HD95:\n",
        _table(rows, "dice", "hd95"),
        "Against the truth that people drew:\n",
        _table(rows, "dice_truth", "hd95_truth"),
    ]


def _table(rows: Sequence[SegmentationRow], dice: str, hd95: str) -> str:
    lines = ["| codec | " + " | ".join(_SIZES) + " |", "| --- |" + " --- |" * len(_SIZES)]
    if dice == "dice_truth":
        original = [row for row in rows if row.codec == ORIGINAL]
        lines.append(f"| {ORIGINAL} | " + " | ".join([_cell(original, dice, hd95)] * 4) + " |")
    asked = len(unique(row.scan for row in rows))
    codecs = [codec for codec in unique(row.codec for row in rows) if codec != ORIGINAL]
    best = {}
    for size in _SIZES:
        whole = {c: _of(rows, c, size) for c in codecs if len(_of(rows, c, size)) == asked}
        best[size] = max(whole, key=lambda c: _mean(whole[c], dice), default="")
    for codec in sorted(codecs, key=lambda codec: codec != OURS):
        cells = []
        for size in _SIZES:
            mine = _of(rows, codec, size)
            refused = any((r.codec, r.target, r.nbytes) == (codec, size, None) for r in rows)
            text = "none so small" if refused else "–"
            if mine:
                text = _cell(mine, dice, hd95)
            if 0 < len(mine) < asked:
                text += f" ({len(mine)} of {asked})"
            cells.append(f"**{text}**" if codec == best[size] else text)
        lines.append(f"| {codec} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _of(rows: Sequence[SegmentationRow], codec: str, size: str) -> list[SegmentationRow]:
    """Those that have a file."""
    return [r for r in rows if (r.codec, r.target) == (codec, size) and r.nbytes is not None]


def _cell(rows: Sequence[SegmentationRow], dice: str, hd95: str) -> str:
    lost = sum(math.isinf(getattr(o, hd95)) for row in rows for o in row.overlaps.values())
    text = f"{_mean(rows, dice):.3f} / {_mean(rows, hd95):.2f}"
    return f"{text}, {lost} not found" if lost else text


def _mean(rows: Sequence[SegmentationRow], figure: str) -> float:
    values = [getattr(overlap, figure) for row in rows for overlap in row.overlaps.values()]
    finite = [value for value in values if math.isfinite(value)]
    return mean(finite) if finite else math.nan


def _to_json(row: SegmentationRow) -> dict[str, Any]:
    overlaps = {
        label: {name: INFINITY if math.isinf(v) else v for name, v in asdict(overlap).items()}
        for label, overlap in row.overlaps.items()
    }
    return {**vars(row), "overlaps": overlaps}


def _from_json(values: Mapping[str, Any]) -> SegmentationRow:
    overlaps = {
        label: Overlap(**{name: float(v) for name, v in figures.items()})
        for label, figures in values["overlaps"].items()
    }
    return SegmentationRow(**{**values, "overlaps": overlaps})
