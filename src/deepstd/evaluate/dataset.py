"""Report page of DeepSTD over a data set.

rows ─▶ quality · reached and requested ratios · seconds of shape and texture · sizes ─▶ page
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from deepstd.evaluate import plots
from deepstd.evaluate.compare import REPORT
from deepstd.evaluate.page import Picture, Section, write_page
from deepstd.evaluate.report import INTRO, reasons_section, slices_sections
from deepstd.evaluate.rows import OURS, Row
from deepstd.evaluate.tables import Table, common_definitions, every_row, means, unique

_FIGURES = ("ssim", "ssim_fg", "psnr", "psnr_fg", "mae", "mae_fg")
_PARTS = {
    "Compress": {"shape": "encode shape", "texture": "encode texture", "check": "encode check"},
    "Restore": {"shape": "decode shape", "texture": "decode texture", "rest": "decode rest"},
}


def write_dataset_report(folder: Path, rows: Sequence[Row], bandwidth: float) -> Path:
    """Write the page of `deepstd evaluate`.

    Args:
        folder: folder of the results of `deepstd.evaluate.compare.compare`.
        rows: results of DeepSTD.
        bandwidth: bytes per second, for the times of transmission.

    Returns:
        The path of the page.

    Raises:
        MissingExtraError: matplotlib or Jinja is not installed.
    """
    done = [row for row in rows if row.nbytes is not None]
    read = [row for row in rows if row.codec]
    targets = unique(row.target for row in read)
    scans = unique(row.digest for row in read)
    sections = [
        Section(f"Means at {target}", tables=(means(read, target, OURS),)) for target in targets
    ]
    if done:
        sections += [
            _quality_section(done, targets),
            _ratio_section(done, targets),
            _time_section(done, targets),
            _transmission_section(done, targets, bandwidth),
        ]
    for digest in scans:
        sections += slices_sections(folder, [row for row in read if row.digest == digest])
    sections.append(Section("Every row", tables=(every_row(read),), folded=f"{len(read)} rows"))
    sections += reasons_section(rows)
    path = folder / REPORT
    write_page(path, f"DeepSTD on {len(scans)} scans", INTRO, sections)
    return path


def _quality_section(rows: Sequence[Row], targets: Sequence[str]) -> Section:
    definitions = common_definitions(rows)
    charts = []
    for name in _FIGURES:
        boxes = _per_target(rows, targets, name)
        if boxes:
            charts.append(
                Picture(definitions[name], plots.boxes(boxes, definitions[name].partition("[")[0]))
            )
    text = "A point for every scan; boxes from quartile to quartile, the median across them."
    return Section("Quality", (text,), plots=tuple(charts))


def _ratio_section(rows: Sequence[Row], targets: Sequence[str]) -> Section:
    boxes = {}
    for target in targets:
        asked = float(target[:-1])
        found = [(row.ratio or 0) / asked for row in rows if row.target == target]
        if found:
            boxes[target] = [100 * (ratio - 1) for ratio in found]
    chart = plots.boxes(boxes, "reached above asked, %", line=0.0)
    text = (
        "The ratio that was reached against the one asked for. A file never exceeds the bytes "
        "allowed, so no point lies below the line."
    )
    lines = []
    for target in boxes:
        ratios = [row.ratio or 0 for row in rows if row.target == target]
        spread = f"{np.mean(ratios):.2f} ± {np.std(ratios):.2f}"
        lines.append((target, spread, f"{min(ratios):.2f}", f"{max(ratios):.2f}"))
    head = (("asked", ""), ("reached", "mean ± standard deviation"), ("least", ""), ("most", ""))
    return Section(
        "Accuracy of the ratio",
        (text,),
        plots=(Picture("stored : file", chart),),
        tables=(Table(head, tuple(lines)),),
    )


def _time_section(rows: Sequence[Row], targets: Sequence[str]) -> Section:
    charts = []
    for title, parts in _PARTS.items():
        bars = {}
        for target in targets:
            mine = [row for row in rows if row.target == target]
            if mine:
                bars[target] = {
                    label: float(np.mean([row.parts.get(name, 0.0) for row in mine]))
                    for label, name in parts.items()
                }
        charts.append(Picture(f"{title}, mean seconds per scan", plots.stacks(bars, "seconds")))
    text = (
        "Shape is registration to the template and its field, texture the rest of the coding with "
        "the search for the size. Check is the decoding and measuring that ends every compression."
    )
    return Section("Where the time goes", (text,), plots=tuple(charts))


def _transmission_section(rows: Sequence[Row], targets: Sequence[str], bandwidth: float) -> Section:
    first = [row for row in rows if row.target == targets[0]]
    sizes = [("stored voxels", len(first), sum(row.stored_bytes or 0 for row in first))]
    for target in targets:
        mine = [row for row in rows if row.target == target]
        sizes.append((f"DeepSTD {target}", len(mine), sum(row.nbytes or 0 for row in mine)))
    lines = [
        (name, str(count), _size(nbytes), _duration(nbytes / bandwidth))
        for name, count, nbytes in sizes
    ]
    head = (
        ("what", ""),
        ("scans", ""),
        ("size", ""),
        ("transmission", f"at {_size(bandwidth)}/s"),
    )
    return Section("Size and transmission", tables=(Table(head, tuple(lines), frozenset({1})),))


def _per_target(rows: Sequence[Row], targets: Sequence[str], name: str) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for target in targets:
        values = [getattr(row, name) for row in rows if row.target == target]
        finite = [float(v) for v in values if v is not None and np.isfinite(v)]
        if finite:
            found[target] = finite
    return found


def _size(nbytes: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if nbytes < 1000:
            return f"{nbytes:.3g} {unit}"
        nbytes /= 1000
    return f"{nbytes:.3g} TB"


def _duration(seconds: float) -> str:
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.3g} s"
