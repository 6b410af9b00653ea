"""Figures 2 and 3 of the paper: CT at 256×, MRI at 128×, item by item the same."""

from __future__ import annotations

from functools import partial

from benchmarks.paper import neural, ours
from benchmarks.paper.item import DIFFERENT, NOT, OTHER, SIMULATED, Compared, Item
from benchmarks.paper.scaled import COMMAND, one_scan, transfer
from benchmarks.paper.shared import (
    CT,
    HEAD_NECK,
    MR,
    NO_CT,
    NO_MR,
    OTHER_MR,
    PEERS,
    PICTURES,
    SEGMENTATION,
    STANDING,
    gap_rows,
    mean_row,
)


def _quality(letter: str, study: str, bpv: str, ratio: int, why: str) -> Item:
    """Return the item of fidelity and segmentation, b of Figs. 2 and 3."""
    figures = CT if letter == "2" else MR
    rows = [
        mean_row(f"SSIM, {ratio}×", f"{figures['ssim'].value:g}", study, bpv, "ssim", "{:.3f}"),
        Compared(
            "Dice / HD95 against the original's segmentation",
            f"{figures['dice'].value:g} % / {figures['hd95'].value:g}",
            partial(ours.overlap, bpv),
        ),
        Compared(
            "the same against labels that people drew", "–", partial(ours.overlap, bpv, truth=True)
        ),
    ]
    if "mae" in figures:
        mae = f"{figures['mae'].value:g} HU"
        rows.insert(0, mean_row(f"MAE, {ratio}×", mae, study, bpv, "mae", "{:.1f} HU"))
    return Item(
        f"Fig. {letter}b",
        f"fidelity and segmentation at {ratio}×",
        "Box plots over the test scans; organs are segmented before and after by UNETR++.",
        DIFFERENT,
        f"{why} **SSIM is far lower here.** Dice and HD95 are those of hippocampus crops, "
        "segmented by a small SegResNet.",
        tuple(rows),
        (f"{STANDING} {study}", SEGMENTATION),
    )


def _figure(letter: str, study: str, ratio: int, bpv: str, seconds: str) -> tuple[Item, ...]:
    ct = letter == "2"
    why = HEAD_NECK if ct else OTHER_MR
    data = NO_CT if ct else NO_MR
    archive = "CTSpine1K" if ct else "AMOS MRI"
    peer = "VVC medium" if ct else "HEVC slow"
    leads = ours.leads(study, peer)
    if not ct:
        leads += " VVC is not measured on these scans."
    before, after = ("5 days", "26 minutes") if ct else ("8 hours", "4 minutes")
    return (
        Item(
            f"Fig. {letter}a",
            "bytes and transfer of the whole data set",
            f"Transfer at 500 kB/s before and after compression by {ratio}×.",
            SIMULATED,
            "A calculation in the paper, too: it follows from the bytes. Files here fill 0.997 to "
            "1.000 of what the ratio allows. Nothing was transferred.",
            (
                Compared("transfer of the scans", before, partial(transfer, archive, packed=False)),
                Compared("transfer of the files", after, partial(transfer, archive, packed=True)),
            ),
            ("python -m benchmarks.paper",),
        ),
        _quality(letter, study, bpv, ratio, why),
        Item(
            f"Fig. {letter}c",
            "a slice beside the original",
            "A slice, magnified regions and intensity profiles.",
            NOT,
            f"{data} {PICTURES}",
        ),
        Item(
            f"Fig. {letter}d",
            "another slice beside the original",
            "The same at another depth.",
            NOT,
            f"{data} {PICTURES}",
        ),
        Item(
            f"Fig. {letter}e",
            "segmentation before and after",
            "Organs found on the original and on the restored scan, and their differences.",
            NOT,
            f"{data} `deepstd compare --segmenter` draws such overlays of any scan.",
        ),
        Item(
            f"Fig. {letter}f",
            "time by shape and texture",
            "Encoding and decoding of a scan on one RTX 3090, each split in shape and texture.",
            SIMULATED,
            "One CPU thread, effort fast, no template, so that all is texture. From the line "
            "through [measured costs](#large-scans), at the mean size of the paper's scans.",
            (
                Compared("seconds to encode", seconds, partial(one_scan, archive, "compress_s")),
                Compared("seconds to decode", "–", partial(one_scan, archive, "restore_s")),
            ),
            (COMMAND,),
        ),
        Item(
            f"Fig. {letter}g",
            "fidelity from 32× to 256× beside others",
            "The paper's method leads all others at every ratio.",
            DIFFERENT if ct else OTHER,
            f"{leads} {why} {PEERS}",
            gap_rows(study, peer),
            (f"{STANDING} {study}",),
        ),
        Item(
            f"Fig. {letter}h",
            "segmentation from 32× to 256×",
            "Dice and HD95 beside others.",
            OTHER,
            "Hippocampus crops; other codecs are in [the benchmark](benchmark.md).",
            tuple(
                Compared(f"Dice / HD95, {r}×", "–", partial(ours.overlap, b))
                for r, b in ours.RATIOS.items()
            ),
            (SEGMENTATION,),
        ),
        _speeds(letter, study, peer),
    )


def _speeds(letter: str, study: str, peer: str) -> Item:
    """Return the item of speeds beside others, i of Figs. 2 and 3."""
    ct = letter == "2"
    studies = neural.CT_STUDIES if ct else neural.MR_STUDIES
    brief = "37 to 139 times as long" if ct else "44 to 165 times as long"
    rows = [
        Compared(
            f"encoding time against {peer}",
            "1/18 to 1/46 (VTM)" if ct else "–",
            partial(ours.time_against, study, peer, "0.25"),
        )
    ]
    rows += [
        Compared(name, brief if "BRIEF" in name else "–", partial(neural.against, name, studies))
        for name in neural.codecs(studies)
    ]
    return Item(
        f"Fig. {letter}i",
        "encoding speed beside others",
        "Encoding speed at four ratios: the method on a GPU, VVC as its reference software.",
        DIFFERENT,
        "All on the CPU, beside other work. **Most conventional peers encode faster here.** VVC is "
        "the fast encoder VVenC, not VTM. Of neural peers: their time against that of DeepSTD.",
        tuple(rows),
        (STANDING, neural.COMMAND),
    )


FIGURE_2 = _figure(
    "2",
    "head-neck",
    256,
    "0.0625",
    f"{CT['encode_s'].value:g}",
)
FIGURE_3 = _figure(
    "3",
    "other-mr",
    128,
    "0.125",
    f"{MR['encode_s'].value:g}",
)
