"""Sections of a comparison's page on segmentations before and after compression.

rows with overlaps ─ means of Dice and HD95 ─▶ table
pictures/*.labels.npz ─ true and false positives over the original ─▶ panels
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import mean

import numpy as np

from deepstd.evaluate import pictures
from deepstd.evaluate.page import Picture, Section
from deepstd.evaluate.rows import LOSSLESS, OURS, Row
from deepstd.evaluate.tables import Table, number, unique
from deepstd.evaluate.view import labels_path

_KEY = (
    ("#56b4e9", "in both"),
    ("#e69f00", "only after compression (false positive)"),
    ("#d53c78", "lost by compression (false negative)"),
)
_TEXT = (
    "Labels found on the restored scan against those that the same program finds on the original; "
    "means over labels and scans. Labels that are on one of the two only have Dice 0 and no HD95."
)


def segmentation_sections(folder: Path, rows: Sequence[Row]) -> list[Section]:
    """Make a table over all scans, and overlays for scans with pictures.

    Args:
        folder: folder of the pictures.
        rows: rows of a comparison.

    Returns:
        The sections; none where nothing was segmented.
    """
    mine = [row for row in rows if row.segmenter]
    if not mine:
        return []
    sections = [
        Section("Segmentations", (f"By {mine[0].segmenter}. {_TEXT}",), tables=_tables(mine))
    ]
    for digest in unique(row.digest for row in mine):
        shown = [r for r in mine if r.digest == digest and labels_path(folder, r).is_file()]
        if shown:
            sections.append(_overlays(folder, shown))
    return sections


def _tables(rows: Sequence[Row]) -> tuple[Table, ...]:
    sizes = unique(row.target for row in rows if row.target != LOSSLESS)
    head = [("codec", ""), ("scans", "at the first size")]
    for size in sizes:
        head += [(f"Dice, {size}", "2|A∩B| / (|A|+|B|)"), (f"HD95, {size}", "hd95[max,mm]")]
    lines = []
    codecs = unique(row.codec for row in rows)
    for codec in codecs:
        mine = [[r for r in rows if (r.codec, r.target) == (codec, size)] for size in sizes]
        cells = [text for found in mine for text in _means(found)]
        lines.append((codec, str(len(mine[0])), *cells))
    strong = frozenset(n for n, codec in enumerate(codecs) if codec == OURS)
    return (Table(tuple(head), tuple(lines), strong),)


def _means(rows: Sequence[Row]) -> tuple[str, str]:
    found = [figures for row in rows for figures in row.overlaps.values()]
    texts = []
    for name in ("dice", "hd95"):
        values = [figures[name] for figures in found if name in figures]
        texts.append(number(mean(values) if values else None, "ssim" if name == "dice" else name))
    return texts[0], texts[1]


def _overlays(folder: Path, rows: Sequence[Row]) -> Section:
    panels: list[Picture] = []
    for row in rows:
        with np.load(labels_path(folder, row)) as file:
            scan, before, after, affine = (file[n] for n in ("scan", "before", "after", "affine"))
            where = f"slice {int(file['slice'])}"
        hanging = pictures.Hanging.of(affine, affine.shape != (4, 4))
        if not panels:
            panels.append(
                Picture(
                    f"on the original, {where}", pictures.overlay(scan, before, before, hanging)
                )
            )
        dice, hd95 = _means([row])
        caption = f"{row.codec}: Dice {dice}, HD95 {hd95}"
        panels.append(Picture(caption, pictures.overlay(scan, before, after, hanging)))
    return Section(
        f"Segmentation at {rows[0].target}: {rows[0].scan}",
        ("The slice with the largest labelled area. Figures are of the whole scan.",),
        panels=tuple(panels),
        key=_KEY,
    )
