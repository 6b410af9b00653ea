"""Raw results, one row per scan, codec and size, and the tables made of them.

rows ─ save ─▶ results/*.json (a JSON list, one row a line) ─ load ─▶ rows ─ table ─▶ Markdown
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np
from studies import Study

from deepstd.evaluate.rows import Row, from_json, to_json
from deepstd.evaluate.tables import distances, unique
from deepstd.quality import mae, max_error, psnr, ssim

WINDOW = (0.997, 1.0)


class Figures(TypedDict):
    """The measured fields of a row."""

    mae: float
    max_error: float
    psnr: float
    ssim: float


def figures(study: Study, original: np.ndarray, restored: np.ndarray) -> Figures:
    """Error of a restored scan with the study's peak."""
    peak = study.peak(original)
    return {
        "mae": round(mae(original, restored), 6),
        "max_error": round(max_error(original, restored), 6),
        "psnr": round(psnr(original, restored, peak=peak), 4),
        "ssim": round(ssim(original, restored, data_range=peak), 6),
    }


def save(rows: Iterable[Row], path: Path) -> None:
    """Write rows as a JSON list with one row a line."""
    lines = (json.dumps(to_json(row), ensure_ascii=False) for row in rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


def load(path: Path) -> list[Row]:
    """Rows of a file that `save` wrote; none where there is no file."""
    if not path.is_file():
        return []
    return [from_json(row) for row in json.loads(path.read_text(encoding="utf-8"))]


def table(rows: Sequence[Row]) -> str:
    """Mean PSNR and SSIM of every codec at every size, over the scans it could answer for."""
    targets, codecs = unique(r.target for r in rows), unique(r.codec for r in rows)
    lines = [_line(["codec", *targets]), _line(["---"] * (len(targets) + 1))]
    for codec in codecs:
        cells = []
        for target in targets:
            asked = [r for r in rows if (r.codec, r.target) == (codec, target)]
            cells.append(_summary(asked))
        lines.append(_line([codec, *cells]))
    return "\n".join(lines)


def rates(rows: Sequence[Row], codec: str) -> str:
    """How much of the allowed bytes a codec used, and how many of its files miss the window."""
    lines = [_line(["bytes used", "least", "mean", "most", "outside window", "no file"])]
    lines.append(_line(["---"] * 6))
    mine = [r for r in rows if r.codec == codec]
    for target in unique(r.target for r in mine):
        asked = [r for r in mine if r.target == target]
        used = [r.nbytes / r.allowed for r in asked if r.nbytes is not None]
        if not used:
            lines.append(_line([f"{codec}, {target}", *["–"] * 4, str(len(asked))]))
            continue
        outside = sum(not WINDOW[0] <= part <= WINDOW[1] for part in used)
        figures_ = [f"{f(used):.4f}" for f in (min, _mean, max)]
        missing = len(asked) - len(used)
        lines.append(_line([f"{codec}, {target}", *figures_, str(outside), str(missing)]))
    return "\n".join(lines)


def bd_rates(rows: Sequence[Row], codec: str) -> str:
    """Mean BD-rate of a codec against every other one, over the scans where both have curves."""
    lines = []
    for found in distances(rows, codec):
        if found.rates:
            lines.append(
                f"BD-rate of {codec} against {found.other}: {_mean(found.rates):+.1f} % (mean of "
                f"{len(found.rates)} scans, {min(found.rates):+.1f} to {max(found.rates):+.1f})"
            )
    return "\n".join(lines)


def per_scan(rows: Sequence[Row]) -> str:
    """PSNR of every codec for every scan, with the time and memory of ours."""
    codecs = unique(r.codec for r in rows)
    head = ["scan", "size", *[f"{c}, dB" for c in codecs], "compress", "decompress", "peak memory"]
    lines = [_line(head), _line(["---"] * len(head))]
    found = {(r.scan, r.target, r.codec): r for r in rows}
    for scan, target in unique((r.scan, r.target) for r in rows):
        cells = []
        for codec in codecs:
            row = found.get((scan, target, codec))
            cells.append("–" if row is None or row.psnr is None else f"{row.psnr:.2f}")
        mine = found.get((scan, target, "DeepSTD"))
        cost = ["–"] * 3
        if mine is not None and mine.nbytes is not None:
            cost = [_seconds(mine.encode_s), _seconds(mine.decode_s), _memory(mine)]
        lines.append(_line([scan, target, *cells, *cost]))
    return "\n".join(lines)


def _summary(rows: Sequence[Row]) -> str:
    answered = [(r.psnr, r.ssim) for r in rows if r.psnr is not None and r.ssim is not None]
    if not answered:
        return "cannot" if rows else "–"
    finite = [figures for figures in answered if math.isfinite(figures[0])]
    if not finite:
        return "exact"
    mean_psnr, mean_ssim = np.mean(finite, axis=0)
    text = f"{mean_psnr:.2f} dB / {mean_ssim:.4f}"
    return text if len(finite) == len(rows) else f"{text} ({len(finite)} of {len(rows)})"


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f} s"


def _memory(row: Row) -> str:
    peaks = [p for p in (row.encode_peak_gib, row.decode_peak_gib) if p is not None]
    return f"{max(peaks):.2f} GiB" if peaks else "–"


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
