"""A report as one HTML file that needs no network, no script and no other file.

sections (text, tables, plots, pictures as data URLs) ─ page.html ─▶ report.html
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

import numpy as np

from deepstd.errors import InputError, MissingExtraError
from deepstd.evaluate.pictures import Hanging, overlay
from deepstd.evaluate.segmentation import dice, hd95, labels_of
from deepstd.evaluate.tables import Table, number
from deepstd.io import atomic_path

_OVERLAY_KEY = (
    ("#56b4e9", "in both"),
    ("#e69f00", "only after compression (false positive)"),
    ("#d53c78", "lost by compression (false negative)"),
)


@dataclass(frozen=True)
class Picture:
    """An image of a page.

    Attributes:
        caption: what it shows.
        source: a data URL.
        frame: left, top, width and height in percent of a rectangle to frame.
    """

    caption: str
    source: str
    frame: tuple[float, float, float, float] | None = None


@dataclass(frozen=True)
class Section:
    """A part of a page.

    Attributes:
        title: its heading.
        texts: paragraphs.
        plots: beside each other where there is room.
        panels: pictures in three columns, or as many as ``columns``.
        columns: 2 or 3.
        key: colours and what they mean.
        tables: below the pictures.
        folded: heading of tables that are shown only when asked for.
        list: items at the end.
    """

    title: str
    texts: tuple[str, ...] = ()
    plots: tuple[Picture, ...] = ()
    panels: tuple[Picture, ...] = ()
    columns: int = 3
    key: tuple[tuple[str, str], ...] = ()
    tables: tuple[Table, ...] = ()
    folded: str = ""
    list: tuple[str, ...] = ()


def write_page(
    path: str | os.PathLike[str], title: str, intro: Sequence[str], sections: Sequence[Section]
) -> None:
    """Write a page, replacing an earlier one.

    Raises:
        MissingExtraError: Jinja is not installed.
        InputError: the file cannot be written.
    """
    try:
        from jinja2 import Environment
    except ImportError as error:
        raise MissingExtraError(
            'a report page needs Jinja: pip install "deepstd[evaluate]"'
        ) from error
    source = resources.files("deepstd.evaluate").joinpath("page.html").read_text(encoding="utf-8")
    template = Environment(autoescape=True, trim_blocks=True).from_string(source)
    text = template.render(title=title, intro=intro, sections=sections)
    with atomic_path(path, overwrite=True) as temporary:
        temporary.write_text(text, encoding="utf-8")


def segmentation_section(
    title: str,
    original: np.ndarray,
    before: np.ndarray,
    after: np.ndarray,
    *,
    affine: np.ndarray | None = None,
    names: dict[int, str] | None = None,
) -> Section:
    """What compression does to a segmentation: overlays of the slice that differs most, Dice, HD95.

    Args:
        title: heading.
        original: scan of 2 or 3 axes.
        before: labels found on the original, 0 for none, same shape.
        after: labels found on the restored scan.
        affine: 4x4, for the voxel size and the hanging; voxels of 1 mm without it.
        names: of the labels.

    Raises:
        InputError: the shapes differ.
    """
    if not original.shape == before.shape == after.shape or original.ndim not in (2, 3):
        raise InputError(
            f"a scan of shape {original.shape} cannot be shown with labels of shapes "
            f"{before.shape} and {after.shape}: expected 2 or 3 axes, all equal"
        )
    known = np.zeros((0, 0)) if affine is None else affine
    spacing = [1.0] * original.ndim
    if affine is not None:
        spacing = [float(s) for s in np.linalg.norm(affine[:3, : original.ndim], axis=0)]
    part: tuple[int, ...] = ()
    if original.ndim == 3:
        differing = (before != after).sum(axis=(0, 1))
        part = (int(differing.argmax() if differing.any() else (before > 0).sum((0, 1)).argmax()),)
    hanging = Hanging.of(known, original.ndim == 2 and affine is None)
    shown = [voxels[(..., *part)] for voxels in (original, before, after)]
    place = f", slice {part[0]}" if part else ""
    panels = (
        Picture(f"on the original{place}", overlay(shown[0], shown[1], shown[1], hanging)),
        Picture(
            f"what differs after compression{place}", overlay(shown[0], shown[1], shown[2], hanging)
        ),
    )
    sizes = " × ".join(f"{s:.3g}" for s in spacing)
    head = (
        ("label", ""),
        ("Dice", "2|A∩B| / (|A|+|B|)"),
        ("HD95", f"hd95[max,mm], voxels {sizes} mm"),
        ("voxels before", ""),
        ("voxels after", ""),
    )
    rows = []
    for label in labels_of(before, after):
        masks = before == label, after == label
        figures = dice(*masks), hd95(*masks, spacing)
        name = (names or {}).get(label, str(label))
        counts = [f"{int(mask.sum()):,}" for mask in masks]
        rows.append((name, number(figures[0], "ssim"), number(figures[1], "mm"), *counts))
    return Section(
        title,
        ("Labels found on the restored scan against those found on the original.",),
        panels=panels,
        columns=2,
        key=_OVERLAY_KEY,
        tables=(Table(head, tuple(rows)),),
    )
