"""Words and rows that the items of Figs. 1 to 3 share."""

from __future__ import annotations

from functools import partial

from benchmarks.paper import ours
from benchmarks.paper.item import Compared
from deepstd.datasets.paper import PAPER

CT, MR = PAPER["ctspine1k"].figures, PAPER["amos"].figures
STANDING = "python -m benchmarks.standing"
SEGMENTATION = "python -m benchmarks.segmentation hippocampus"
NO_CT = (
    "The paper's scans are not at hand; `deepstd evaluate CTSpine1K --protocol ctspine1k` measures "
    "them."
)
NO_MR = "The paper's scans are not at hand; `deepstd evaluate AMOS --protocol amos` measures them."
HEAD_NECK = "Head-neck CT, cut to the body, with a bundle that has no template of it."
OTHER_MR = "MR of breast, spinal cord and abdomen, with a bundle that has no template of them."
PICTURES = (
    "`deepstd compare` makes pictures, differences and profiles of any scan; no picture of the "
    "paper's scans can be made without them."
)
PEERS = (
    "The peers here are other implementations: x265, SVT-AV1, VVenC, OpenJPEG, SPERR and more, at "
    "the scan's own bit depth where the codec allows it. The paper gives 8 bits to JPEG, JPEG "
    "2000 and VVC."
)


def mean_row(what: str, paper: str, study: str, bpv: str, figure: str, form: str) -> Compared:
    """Return the row of a mean of DeepSTD beside the paper's figure."""
    return Compared(what, paper, partial(ours.mean_of, study, bpv, figure, form))


def best_row(what: str, study: str, bpv: str, figure: str, form: str, *, least: bool) -> Compared:
    """Return the row of the best peer's mean."""
    return Compared(what, "–", partial(ours.best_peer, study, bpv, figure, form, least=least))


def gap_rows(study: str, codec: str) -> tuple[Compared, ...]:
    """Return the rows of the PSNR over a codec at every ratio."""
    return tuple(
        Compared(
            f"PSNR over {codec}, {ratio}×",
            "ahead of all (SSIM)",
            partial(ours.gap, study, codec, bpv),
        )
        for ratio, bpv in ours.RATIOS.items()
    )
