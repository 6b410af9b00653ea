"""Report page of a comparison.

rows, pictures/ ─▶ means at equal bytes · curves · speed · slices · every row ─▶ report.html
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from deepstd.evaluate import pictures, plots
from deepstd.evaluate.compare import PICTURES, REPORT
from deepstd.evaluate.overlays import segmentation_sections
from deepstd.evaluate.page import Picture, Section, write_page
from deepstd.evaluate.rows import CANNOT, LOSSLESS, OURS, Row
from deepstd.evaluate.tables import distance_table, every_row, means, unique
from deepstd.evaluate.view import View, original_path, restored_path

_MOST_IN_PROFILE = 5
INTRO = (
    "For research. Not a medical device: do not diagnose from restored scans.",
    "Every codec was brought to the same number of bytes by its own setting. Of DeepSTD the whole "
    "file counts, of the others the bare codestreams. Figures are of the values that come back, in "
    "the scan's own type. Encoding time of a peer is that of its last encoding, without the search "
    "for its setting; of DeepSTD all of it, the search included. MAE, RMSE and the largest error "
    "are in the scan's real units, where its file states a slope or a unit.",
    "Columns with fg count the foreground only: where the original lies above Otsu's threshold, "
    "with the holes of its slices filled. PSNR and SSIM take max − min of the scan as range; SSIM "
    "has a Gaussian window of σ = 1.5 voxels over all axes of space. Rows in italics have no file "
    "that small for some scans: their means are over fewer scans and cannot be compared.",
)


def write_report(folder: Path, rows: Sequence[Row]) -> Path:
    """Write the page of a comparison.

    Args:
        folder: folder of the results.
        rows: all rows.

    Returns:
        The path of the page.

    Raises:
        MissingExtraError: matplotlib or Jinja is not installed.
    """
    read = [row for row in rows if row.codec]
    targets = [target for target in unique(row.target for row in read) if target != LOSSLESS]
    scans = unique(row.digest for row in read)
    sections = [
        Section(f"At equal bytes: {target}", tables=(means(read, target, OURS),))
        for target in targets
    ]
    if len(targets) > 1:
        sections.append(_curves_section(read))
    if targets:
        sections.append(_speed_section(read, targets[len(targets) // 2]))
    if any(row.target == LOSSLESS for row in read):
        sections.append(Section("Lossless references", tables=(means(read, LOSSLESS, OURS),)))
    for digest in scans:
        sections += slices_sections(folder, [row for row in read if row.digest == digest])
    sections += segmentation_sections(folder / PICTURES, read)
    sections.append(Section("Every row", tables=(every_row(read),), folded=f"{len(read)} rows"))
    sections += reasons_section(rows)
    names = f"{len(scans)} scans" if len(scans) != 1 else read[0].scan
    path = folder / REPORT
    write_page(path, f"DeepSTD beside other codecs: {names}", INTRO, sections)
    return path


def slices_sections(folder: Path, rows: Sequence[Row]) -> list[Section]:
    """Make the section with original, restored and error slices of one scan.

    Args:
        folder: folder of the results.
        rows: rows of the scan.

    Returns:
        The section; none where the scan has no pictures.
    """
    kept = [
        row
        for row in rows
        if row.view
        and restored_path(folder / PICTURES, row).is_file()
        and original_path(folder / PICTURES, row).is_file()
    ]
    if not kept:
        return []
    first, view = kept[0], View(**kept[0].view)
    with np.load(original_path(folder / PICTURES, first)) as file:
        original, affine = file["slice"], file["affine"]
        # Earlier releases kept the slice without a scale.
        slope, intercept = file["scale"].tolist() if "scale" in file else (1.0, 0.0)
        unit = str(file["unit"]) if "unit" in file else ""
    original = slope * original.astype(np.float64) + intercept
    restored: dict[str, np.ndarray] = {}
    for row in kept:
        if row.target == first.target and row.view == first.view:
            with np.load(restored_path(folder / PICTURES, row)) as file:
                restored[row.codec] = slope * file["slice"].astype(np.float64) + intercept
    hanging = pictures.Hanging.of(affine, affine.shape != (4, 4))
    window = pictures.Window.of(original)
    ending = f" {unit}" if unit else ""
    largest = pictures.error_scale(original, list(restored.values()))
    frame = hanging.place(view, original.shape)
    panels = [
        Picture("original", pictures.grey(original, window, hanging), frame),
        Picture("original, the framed square", pictures.zoom(original, window, hanging, view)),
        Picture(
            f"key: error from −{largest:.3g} (blue) to +{largest:.3g}{ending} (red)",
            pictures.error_key(),
        ),
    ]
    for codec, part in restored.items():
        panels += [
            Picture(codec, pictures.grey(part, window, hanging), frame),
            Picture(f"{codec}, square", pictures.zoom(part, window, hanging, view)),
            Picture(f"{codec}, error", pictures.error(original, part, largest, hanging), frame),
        ]
    worst = "DeepSTD" if OURS in restored else next(iter(restored))
    text = (
        f"Slice {view.slice}, {window.low:.4g} to {window.high:.4g}{ending} from black to white. "
        f"The frame is the square of {view.size} × {view.size} voxels where the mean error of "
        f"{worst} is largest in the whole scan."
    )
    middle, first_i = view.j + view.size // 2, max(0, view.i - view.size)
    along = slice(first_i, view.i + 2 * view.size)
    lines = {"original": original[along, middle].tolist()}
    best = sorted(restored, key=lambda codec: (codec != OURS, _error(kept, codec)))
    lines |= {codec: restored[codec][along, middle].tolist() for codec in best[:_MOST_IN_PROFILE]}
    chart = plots.profile(lines, first_i, "voxel along i", unit or "grey value")
    caption = f"Line through the square (j = {middle}); the {len(lines) - 1} codecs nearest"
    return [
        Section(
            f"Slices at {first.target}: {first.scan}",
            (text,),
            plots=(Picture(caption, chart),),
            panels=tuple(panels),
        )
    ]


def _curves_section(rows: Sequence[Row]) -> Section:
    charts = []
    for figure, label in (
        ("psnr", "PSNR of all voxels, dB"),
        ("psnr_fg", "PSNR of the foreground, dB"),
        ("ssim", "SSIM of all voxels"),
        ("ssim_fg", "SSIM of the foreground"),
    ):
        series, ticks = _mean_curves(rows, figure)
        if series:
            charts.append(Picture(label, plots.curves(series, "stored : file", label, ticks)))
    text = (
        "Points are means over the scans; a codec has one only at sizes where it has a file for "
        "every scan. The distance between curves is that of Bjøntegaard over log rate, with "
        "monotone cubics, scan by scan."
    )
    tables = (distance_table(rows, OURS),) if any(row.codec == OURS for row in rows) else ()
    return Section("Rate and distortion", (text,), plots=tuple(charts), tables=tables)


def _mean_curves(
    rows: Sequence[Row], figure: str
) -> tuple[dict[str, list[tuple[float, float]]], dict[float, str]]:
    series: dict[str, list[tuple[float, float]]] = {}
    ticks: dict[float, str] = {}
    for target in unique(row.target for row in rows if row.target != LOSSLESS):
        for codec in unique(row.codec for row in rows):
            mine = [row for row in rows if (row.codec, row.target) == (codec, target)]
            values = [getattr(row, figure) for row in mine]
            if not values or any(v is None or not math.isfinite(v) for v in values):
                continue
            ratio = float(target[:-1])
            ticks[ratio] = target
            series.setdefault(codec, []).append((ratio, float(np.mean(values))))
    return series, ticks


def _speed_section(rows: Sequence[Row], target: str) -> Section:
    speeds: dict[str, list[float]] = {}
    for codec in unique(row.codec for row in rows if row.target == target):
        mine = [row for row in rows if (row.codec, row.target) == (codec, target) and row.nbytes]
        stored = sum(row.stored_bytes or 0 for row in mine)
        seconds = [sum(getattr(row, n) or 0 for row in mine) for n in ("encode_s", "decode_s")]
        if mine and all(s > 0 for s in seconds):
            speeds[codec] = [stored / 1e6 / s for s in seconds]
    if not speeds:
        return Section("Speed")
    chart = plots.bars(speeds, ("encode", "decode"), "MB of stored voxels per second")
    text = (
        "On the machine that made this page, all scans together. Still-image and array codecs run "
        "on one processor, codecs of video and DeepSTD on several."
    )
    return Section(f"Speed at {target}", (text,), plots=(Picture("more is faster", chart),))


def reasons_section(rows: Sequence[Row]) -> list[Section]:
    """Make the section of rows without results and their reasons; none without such rows."""
    reasons: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        if row.nbytes is not None:
            continue
        # Messages on sizes differ in their bytes from scan to scan: they count as one reason.
        what = "no file that small" if row.status == CANNOT else row.note
        targets = reasons.setdefault((row.codec or row.scan, row.status, what), [])
        targets.append(row.target or "all sizes")
    if not reasons:
        return []
    items = []
    for (codec, status, reason), targets in reasons.items():
        sizes = ", ".join(unique(targets))
        items.append(f"{codec}, {sizes}: {status}, {reason} ({len(targets)} of the rows)")
    return [Section("Where there is no answer", list=tuple(items))]


def _error(rows: Sequence[Row], codec: str) -> float:
    return min((row.mae or 0.0 for row in rows if row.codec == codec), default=math.inf)
