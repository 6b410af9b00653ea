"""Figures of this project, read from the kept results when the page is written.

results/*.json, a bundle's card ─ means, shares, BD-rates ─▶ text; "not measured" without rows
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from statistics import mean, median
from typing import Any

from benchmarks import window
from benchmarks.segmentation.rows import open_results
from benchmarks.standing.page import open_study
from benchmarks.standing.results import FOLDER
from deepstd.evaluate.rows import OURS, Row

NOT_MEASURED = "not measured"
RATIOS = {32: "0.5", 64: "0.25", 128: "0.125", 256: "0.0625"}  # of 16 bits, in bits per voxel
_BUNDLES = Path(__file__).resolve().parents[2] / "bundles"


def mean_of(study: str, bpv: str, figure: str, form: str, codec: str = OURS) -> str:
    """Return the mean of a figure over the scans of a standing study, and their number.

    Args:
        study: name of the study.
        bpv: bits per voxel, such as "0.0625".
        figure: attribute of a row: "mae", "ssim", "psnr", "encode_s".
        form: format of the mean, such as "{:.4f}".
        codec: name of the codec.
    """
    values = _values(study, bpv, figure, codec)
    return f"{form.format(mean(values))}, {len(values)} scans" if values else NOT_MEASURED


def best_peer(study: str, bpv: str, figure: str, form: str, *, least: bool = False) -> str:
    """Return the best mean of a peer that has a file for every scan, and its name."""
    rows = rows_of(study)
    scans = {row.scan for row in rows}
    means = {
        codec: mean(values)
        for codec in {row.codec for row in rows if not row.codec.startswith(OURS)}
        if len(values := _values(study, bpv, figure, codec)) == len(scans)
    }
    if not means:
        return NOT_MEASURED
    best = (min if least else max)(means, key=lambda codec: means[codec])
    return f"{form.format(means[best])} ({best})"


def gap(study: str, codec: str, bpv: str) -> str:
    """Return the PSNR of DeepSTD minus that of a codec over the scans that both have."""
    gaps = _gaps(study, codec, bpv)
    return f"{mean(gaps):+.2f} dB, {len(gaps)} scans" if gaps else NOT_MEASURED


def leads(study: str, codec: str) -> str:
    """Return in words at which ratios DeepSTD and a codec have the higher mean PSNR."""
    ahead: dict[str, list[str]] = {OURS: [], codec: []}
    for ratio, bpv in RATIOS.items():
        gaps = _gaps(study, codec, bpv)
        if gaps:
            ahead[OURS if mean(gaps) >= 0 else codec].append(f"{ratio}×")
    told = [f"{name} is ahead at {', '.join(found)}" for name, found in ahead.items() if found]
    return f"**{'; '.join(told)}.**" if told else f"{codec}: {NOT_MEASURED}."


def time_against(study: str, codec: str, bpv: str) -> str:
    """Return the median ratio of the encoding time of DeepSTD to that of a codec."""
    mine = _by_scan(study, bpv, "encode_s", OURS)
    theirs = _by_scan(study, bpv, "encode_s", codec)
    ratios = [mine[scan] / theirs[scan] for scan in mine if theirs.get(scan)]
    return f"× {median(ratios):.2g}, {len(ratios)} scans" if ratios else NOT_MEASURED


def overlap(bpv: str, *, truth: bool = False) -> str:
    """Return mean Dice in % and HD95 in mm of restored hippocampus scans.

    Args:
        bpv: bits per voxel.
        truth: against labels that people drew, not against those of the original.
    """
    names = ("dice_truth", "hd95_truth") if truth else ("dice", "hd95")
    found = [row for row, _ in open_results().rows.values() if row.study == "hippocampus"]
    labels = [
        one
        for row in found
        if (row.codec, row.target) == (OURS, f"{bpv} bpv")
        for one in row.overlaps.values()
    ]
    if not labels:
        return NOT_MEASURED
    dice, hd95 = (mean(getattr(one, name) for one in labels) for name in names)
    return f"{100 * dice:.1f} % / {hd95:.2f} mm"


def registration(method: str, study: str = "hippocampus") -> str:
    """Return Dice, folding and CPU seconds of a registration method, means over pairs."""
    kept = kept_json("registration.json") or {"rows": []}
    rows = [row for row in kept["rows"] if (row["study"], row["method"]) == (study, method)]
    if not rows:
        return NOT_MEASURED
    dice = mean(mean(row["dice"].values()) for row in rows)
    folding, seconds = (mean(r[name] for r in rows) for name in ("folding_percent", "cpu_seconds"))
    return f"{dice:.3f} / {folding:.3f} % / {seconds:.1f} s"


def template(name: str) -> str:
    """Return correlation after registration and Dice with a kind of template."""
    row = (kept_json("template-selection.json") or {"templates": {}})["templates"].get(name)
    return f"{row['ncc_after']:.3f} / {row['dice']:.3f}" if row else NOT_MEASURED


def field_bytes() -> str:
    """Return the mean bytes of the deformation field in hippocampus files."""
    rows = [
        row["field_bytes"]
        for row in kept_json("registration-first.json") or []
        if (row["study"], row["shape"]) == ("hippocampus", "now")
    ]
    return f"{mean(rows):.0f} bytes" if rows else NOT_MEASURED


def flagged(bundle: str) -> str:
    """Return how many scans a bundle flags: its own, and others or changed ones."""
    rows = (kept_json("guard.json") or {}).get(f"flagged:{bundle}", {}).get("rows", [])
    own = [row for row in rows if row["scans of"].endswith("as it is")]
    others = [row for row in rows if row not in own]
    told = (
        f"{sum(r['flagged'] for r in part)} of {sum(r['scans'] for r in part)} {name}"
        for part, name in ((own, "of its own"), (others, "of other or damaged ones"))
    )
    return "; ".join(told) if rows else NOT_MEASURED


def exact_sizes() -> str:
    """Return the share of files within the window of the size, and the least fill."""
    rows = window.load()
    used = [row["nbytes"] / row["allowed"] for row in rows if row["nbytes"] is not None]
    if not used:
        return NOT_MEASURED
    inside = sum(window.LOWEST_FILL <= share <= 1.0 for share in used)
    return f"{inside} of {len(rows)} files within 0.3 %, the smallest at {min(used):.4f}"


def training_shares() -> str:
    """Return the times of the training of head and neck, as its card states them."""
    card = (_BUNDLES / "headneck-ct" / "README.md").read_text(encoding="utf-8")
    network = re.search(r"scans, (\d+) s\.", card)
    fields = re.search(r"fields of scans (\d+) s\.", card)
    if not network or not fields:
        return NOT_MEASURED
    seconds, shape = int(network[1]), int(fields[1])
    share = 100 * seconds / (seconds + shape)
    return f"networks {seconds} s ({share:.0f} %), template and fields {shape} s"


def rows_of(study: str) -> list[Row]:
    """Return the rows of a standing study."""
    return [row for row, _ in open_study(study).rows.values()]


def _by_scan(study: str, bpv: str, figure: str, codec: str) -> dict[str, float]:
    return {
        row.scan: value
        for row in rows_of(study)
        if (row.codec, row.target) == (codec, f"{bpv} bpv")
        and (value := getattr(row, figure)) is not None
        and math.isfinite(value)
    }


def _gaps(study: str, codec: str, bpv: str) -> list[float]:
    mine, theirs = _by_scan(study, bpv, "psnr", OURS), _by_scan(study, bpv, "psnr", codec)
    return [mine[scan] - theirs[scan] for scan in mine if scan in theirs]


def _values(study: str, bpv: str, figure: str, codec: str) -> list[float]:
    return list(_by_scan(study, bpv, figure, codec).values())


def kept_json(name: str) -> Any:
    """Return the content of a results file; None without it."""
    path = FOLDER / name
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
