"""Neural peers, from the results of the day they are measured.

results/neural.json, standing studies ─ same scan, nearly the same size ─▶ time and PSNR beside ours
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import mean, median
from typing import Any

from benchmarks.paper.ours import NOT_MEASURED, kept_json, rows_of
from deepstd.evaluate.rows import OURS

COMMAND = "python -m benchmarks.neural"
CT_STUDIES = ("ct-volumes", "ct-slices", "head-neck")
MR_STUDIES = ("hippocampus", "brain-mr", "cardiac", "other-mr")
_PAPERS_PEERS = ("BRIEF", "3DGS", "DVC", "TCM")
_NEAR = 0.15  # logarithm of the ratio of two sizes that are compared


def codecs(studies: Sequence[str]) -> list[str]:
    """Return the names of neural peers with results in some studies, then the paper's others."""
    found = list(dict.fromkeys(row["codec"] for row in _neural() if row["study"] in studies))
    peers = [name for name in found if not name.startswith(OURS)]
    return peers + [name for name in _PAPERS_PEERS if not any(name in peer for peer in peers)]


def against(codec: str, studies: Sequence[str]) -> str:
    """Return the encoding time of a neural peer against ours, and the gap in PSNR.

    Ours is the row of the same scan and size in the same file, else in the standing study.

    Args:
        codec: name of the peer.
        studies: names of the studies whose scans count.
    """
    rows = [row for row in _neural() if row["codec"] == codec and row["study"] in studies]
    pairs = [(row, mine) for row in rows if row["encode_s"] and (mine := _beside(row))]
    if not pairs:
        return NOT_MEASURED
    times = [row["encode_s"] / seconds for row, (seconds, _) in pairs]
    gap = mean(level - row["psnr"] for row, (_, level) in pairs)
    scans = len({row["scan"] for row, _ in pairs})
    span = f"{min(times):.2g} to {max(times):.2g} times, median {median(times):.2g}"
    return f"{span}; PSNR of {OURS} {gap:+.2f} dB; {scans} scans"


def _beside(row: Mapping[str, Any]) -> tuple[float, float] | None:
    """Return seconds and PSNR of DeepSTD on the same scan at nearly the same size."""
    same = [
        (abs(math.log(one["bpv"] / row["bpv"])), one["encode_s"], one["psnr"])
        for one in _neural()
        if one["codec"] == OURS and (one["study"], one["scan"]) == (row["study"], row["scan"])
    ]
    if not same:
        same = [
            (abs(math.log(one.bpv / row["bpv"])), one.encode_s, one.psnr)
            for one in rows_of(row["study"])
            if (one.codec, one.scan) == (OURS, row["scan"])
            and one.bpv
            and one.encode_s
            and one.psnr
        ]
    nearest = min(same, default=None)
    if nearest is None or nearest[0] > _NEAR or not nearest[1]:
        return None
    return nearest[1], nearest[2]


def _neural() -> list[dict[str, Any]]:
    return kept_json("neural.json") or []
