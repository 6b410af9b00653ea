"""Sentence on a file of a requested size that misses the quality asked for beside the size.

quality of the file, goal ─▶ "" where it is kept, else what was reached and what would keep it
"""

from __future__ import annotations

import math

from deepstd import io
from deepstd.codec.compressed import Compressed
from deepstd.rate.goal import QualityGoal
from deepstd.rate.target import in_words
from deepstd.rate.tradeoff import bytes_of_octaves
from deepstd.volume import Volume


def missed(found: Compressed, volume: Volume, goal: QualityGoal, bounded: Compressed | None) -> str:
    """Return what a file misses of a goal, in words; empty where it keeps the goal.

    Args:
        found: file of the requested size.
        volume: the scan.
        goal: quality that was asked for.
        bounded: smallest file that keeps a bound of the error of every voxel, if it is known.
    """
    slope = abs(io.scale_of(volume.source)[0])
    excess = goal.tightened().excess(found.quality, slope)
    if excess >= 0:
        return ""
    nbytes, stored = len(found.data), volume.nbytes
    reached = goal.reached(found.quality, slope)
    text = (
        f"at {nbytes} bytes ({stored / nbytes:.2f}:1) the scan has {_figure(goal)} {reached:.6g}, "
        f"and {goal} was asked for. "
    )
    if bounded is not None:
        needed = in_words(len(bounded.data), volume.voxels.size, stored)
        return f"{text}Ask for {needed}, or leave out the size"
    estimate = bytes_of_octaves(-excess, squared=goal.measure == "ssim")
    ratio = stored / nbytes / estimate if math.isfinite(excess) else 0.0
    about = f"About --ratio {float(f'{ratio:.2g}'):g} keeps it; " if ratio > 1 else ""
    return f"{text}{about}{'w' if about else 'W'}ithout a size the file is as small as it can be"


def _figure(goal: QualityGoal) -> str:
    names = {"psnr": "a PSNR in dB of", "ssim": "an SSIM of", "mae": "a mean absolute error of"}
    return names.get(goal.measure, "a largest error of")
