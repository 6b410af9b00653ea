"""Figures of the paper for each data set, with the place where it states them.

Nature Communications, doi:10.1038/s41467-026-68292-9.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """A figure of the paper.

    Attributes:
        value: the number.
        where: figure or section.
    """

    value: float
    where: str


@dataclass(frozen=True)
class PaperFigures:
    """Report of the paper on a data set.

    Attributes:
        ratio: compression ratio; None where it compresses nothing.
        figures: by "mae" (HU), "ssim", "dice" (%), "hd95" (mm), "voxels_per_second" and
            "bytes_per_second" of the encoding, "encode_s".
        remark: conditions of the figures.
    """

    ratio: int | None
    figures: Mapping[str, Figure]
    remark: str


_SEGMENTER = "Dice and HD95 are those of UNETR++ on original and restored scans"
_SPEED = "seconds on one RTX 3090"
PAPER = {
    "ctspine1k": PaperFigures(
        256,
        {
            "mae": Figure(6.8, "Fig. 2b"),
            "ssim": Figure(0.993, "Fig. 2b"),
            "dice": Figure(90.55, "Fig. 2b"),
            "hd95": Figure(4.52, "Fig. 2b"),
            "voxels_per_second": Figure(1_604_963, "Results, CTSpine1K"),
            "bytes_per_second": Figure(3.1e6, "Results, CTSpine1K"),
            "encode_s": Figure(82, "Fig. 2f"),
        },
        f"157 test scans; {_SEGMENTER}: liver, stomach, spleen and spine; {_SPEED}",
    ),
    "amos": PaperFigures(
        128,
        {
            "ssim": Figure(0.993, "Fig. 3b"),
            "dice": Figure(87.8, "Fig. 3b"),
            "hd95": Figure(9.1, "Fig. 3b"),
            "voxels_per_second": Figure(152_445, "Results, Amos"),
            "bytes_per_second": Figure(0.3e6, "Results, Amos"),
            "encode_s": Figure(40, "Fig. 3f"),
        },
        f"229 test scans; {_SEGMENTER}: liver, stomach and spleen; {_SPEED}",
    ),
    "chexpert-small": PaperFigures(
        128, {}, "the figures are in Supplementary Fig. 5, which the main text does not repeat"
    ),
    "fastmri-brain": PaperFigures(
        128, {}, "the figures are in Supplementary Fig. 6, which the main text does not repeat"
    ),
    "fastmri-knee": PaperFigures(
        128, {}, "the figures are in Supplementary Fig. 7, which the main text does not repeat"
    ),
    "synapse": PaperFigures(
        None, {}, "the paper registers these scans (Supplementary Fig. 8) and compresses none"
    ),
}
