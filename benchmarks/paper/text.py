"""Numbers and findings of the paper's text that no figure holds."""

from __future__ import annotations

from functools import partial
from statistics import mean

from benchmarks.paper import ours
from benchmarks.paper.item import DIFFERENT, NOT, OTHER, SIMULATED, Compared, Item
from benchmarks.paper.scaled import COMMAND, hours, speed
from deepstd.datasets.paper import PAPER

_CT = PAPER["ctspine1k"].figures


def _loss() -> str:
    """Return the gain of `generic` over the bundle on scans of each new protocol, mean PSNR."""
    levels: dict[str, dict[str, list[float]]] = {}
    for row in ours.kept_json("other-protocol.json") or []:
        if row["protocol"] == "new":
            levels.setdefault(row["case"], {}).setdefault(row["variant"], []).append(row["psnr"])
    gains = {case: mean(of["generic"]) - mean(of["the bundle"]) for case, of in levels.items()}
    told = ", ".join(f"{case} {gain:+.2f} dB" for case, gain in gains.items())
    return f"`generic` against the bundle: {told}" if told else ours.NOT_MEASURED


TEXT = (
    Item(
        "Speed",
        "voxels a second",
        "CT and MRI on one RTX 3090 and an AMD Threadripper 3970X.",
        DIFFERENT,
        "**Slower here**, on one CPU thread without a GPU: chest CT of full size, effort fast.",
        (
            Compared(
                "encoding, CT",
                f"{_CT['voxels_per_second'].value:,.0f}",
                partial(speed, "compress_s"),
            ),
        ),
        (COMMAND,),
    ),
    Item(
        "Whole data sets",
        "18 hours for CTSpine1K, 13 hours for AMOS",
        "Encoding of 787 CT volumes (194 GB) and 1,144 MRI scans (13 GB) on one GPU.",
        SIMULATED,
        "From measured costs of one scan; see [scale](#scale-by-simulation).",
        (
            Compared("CTSpine1K", "18 hours", partial(hours, "CTSpine1K", 1)),
            Compared("AMOS", "13 hours", partial(hours, "AMOS MRI", 1)),
        ),
        (COMMAND,),
    ),
    Item(
        "Other protocols",
        "training and test of different acquisition protocols",
        "AMOS MRI across protocols: “mild but noticeable” loss; not done on CT.",
        DIFFERENT,
        "Large where contrast or scanner differ: `generic`, which has no template, is ahead of the "
        "bundle there ([other protocols](other-protocols.md)). A bundle says which scans it does "
        "not fit ([guard](guard.md)).",
        (
            Compared("loss", "mild but noticeable", _loss),
            Compared("scans flagged", "–", partial(ours.flagged, "hippocampus-t1")),
        ),
        ("python -m benchmarks.guard", "python -m benchmarks.protocols"),
    ),
    Item(
        "Rare cases",
        "residues for scans that fit badly",
        "The paper suggests to keep residues, and does not do so.",
        OTHER,
        "Done here: `--max-error` bounds every voxel, `--with-residual` adds what is missing to "
        "exact, `--protect` gives regions that fit badly more of the bytes.",
        (),
        ("python -m benchmarks.bounded", "python -m benchmarks.guard"),
    ),
    Item(
        "Diagnostic quality",
        "“without compromising diagnostic quality”",
        "Concluded from segmentations; no reader looked at scans.",
        NOT,
        "No reader has looked at scans here either. At 256× this project makes no such claim.",
    ),
    Item(
        "Functional imaging",
        "fMRI and PET are unsuitable",
        "A limitation that the paper states.",
        NOT,
        "Not measured here. `generic` has no template and codes any grey values.",
    ),
    Item(
        "World of scans",
        "1,005 CT scans of nearly 200 GB, 30,000 TB a year in the USA",
        "Motivation, from other sources.",
        NOT,
        "Nothing to reproduce.",
    ),
)
