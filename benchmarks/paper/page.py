"""docs/paper.md: the items of the paper in its order, what is behind first.

items ─ figures of the kept results ─▶ overview, sections ─▶ docs/paper.md, two plots
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path

from benchmarks.paper import ours, rates, scale_page, scaled
from benchmarks.paper.ct_mri import FIGURE_2, FIGURE_3
from benchmarks.paper.item import STATUSES
from benchmarks.paper.practice import FIGURE_4
from benchmarks.paper.scheme import FIGURE_1
from benchmarks.paper.supplement import SUPPLEMENT
from benchmarks.paper.text import TEXT
from deepstd.datasets.paper import PAPER

PAGE = Path(__file__).resolve().parents[2] / "docs" / "paper.md"
PARTS = {
    "Figure 1: the scheme": FIGURE_1,
    "Figure 2: CT at 256×": FIGURE_2,
    "Figure 3: MRI at 128×": FIGURE_3,
    "Figure 4: in practice": FIGURE_4,
    "Supplement": SUPPLEMENT,
    "Numbers in the text": TEXT,
}
ITEMS = tuple(item for part in PARTS.values() for item in part)
_INTRO = """# The paper, figure by figure

Written by `python -m benchmarks.paper`: every figure, table and number of the paper
([doi:10.1038/s41467-026-68292-9](https://doi.org/10.1038/s41467-026-68292-9)) beside what is
measured here. Figures of this project come from `benchmarks/results/`. "Not measured" means that no
result is there, and the command would make one.

None of the paper's data sets, weights or GPUs was at hand. So almost nothing is a repetition: the
data are others, and two figures in one row do not compare the methods.

- **Reproduced**: the same data and the same outcome.
- **Reproduced on other data**: other scans, for which the paper's finding holds, too.
- **Another outcome on other data**: it does not hold for them, or only in part.
- **Simulated**: computed, from measured costs or from bytes.
- **Not reproduced**: with the reason.

The main text has no table. It names the Supplement's Figs. 5 to 12 and Table 2, and states few of
their figures. The Supplement itself was not at hand: Figs. 1 to 4 and Table 1, if there are such,
are named nowhere.
"""


def page() -> str:
    """Return the page."""
    lines = [_INTRO, *_behind(), *_overview()]
    for title, items in PARTS.items():
        lines += [f"## {title}", ""]
        for item in items:
            lines += item.lines()
    lines += scale_page.section()
    return "\n".join(lines).rstrip() + "\n"


def write() -> None:
    """Write the page and its plots."""
    scale_page.write_pictures()
    PAGE.write_text(page(), encoding="utf-8")


def _behind() -> list[str]:
    """Return what is worse here than in the paper, or than a peer."""
    figures = PAPER["ctspine1k"].figures
    ssim, mae, voxels = (figures[name].value for name in ("ssim", "mae", "voxels_per_second"))
    at_256 = partial(ours.mean_of, "head-neck", "0.0625")
    least = ours.best_peer("head-neck", "0.0625", "mae", "{:.1f} HU", least=True)
    gap = partial(ours.gap, codec="VVC medium")
    found = (
        f"Fidelity at 256× on head-neck CT, cut to the body: SSIM {at_256('ssim', '{:.3f}')}, MAE "
        f"{at_256('mae', '{:.1f} HU')}; the best peer's MAE is {least}. The paper has {ssim:g} and "
        f"{mae:g} HU on other CT.",
        "VVC is ahead on CT: PSNR of DeepSTD over VVC medium is "
        f"{gap('head-neck', bpv='0.5')} of head-neck CT at 32×, and "
        f"{gap('ct-slices', bpv='0.0625')} of single slices at 256×.",
        "Most conventional peers encode faster. On head-neck CT the time is that of VVC medium "
        f"{ours.time_against('head-neck', 'VVC medium', '0.25')}, and that of HEVC slow "
        f"{ours.time_against('head-neck', 'HEVC slow', '0.25')}. The paper's method is faster "
        "than VVC, on a GPU against VVC's reference software.",
        f"Voxels encoded a second: {scaled.speed('compress_s')}, {voxels:,.0f} on the paper's GPU.",
        *_lost(),
        "IDIR registers hippocampus pairs with the higher Dice (Supplementary Fig. 8).",
        "No bundle was trained on a large data set, none for longer than hours of one core.",
    )
    return ["## Where this project is behind", "", *(f"- {one}" for one in found), ""]


def _lost() -> list[str]:
    """Return a sentence where no strategy for few scans helps, for each such case."""
    cases = [few.name for few in rates.few_scans() if not few.regaining]
    return [f"With few scans neither deformations nor a teacher help: {case}." for case in cases]


def _overview() -> list[str]:
    counts = Counter(item.status for item in ITEMS)
    told = ", ".join(f"{counts[status]} {status}" for status in STATUSES)
    lines = ["## Overview", "", f"{len(ITEMS)} items: {told}.", ""]
    lines += ["| item | subject | status |", "| --- | --- | --- |"]
    lines += [f"| {item.name} | {item.title} | {item.status} |" for item in ITEMS]
    return [*lines, ""]
