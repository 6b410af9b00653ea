"""One method on one pair: what it did to the labels, and what it cost.

    moving, fixed ─ register (CPU clock) ─▶ Warp ─ warped labels ─▶ Dice, HD95 of each label
                                              ├──────────────────▶ folding
                                              └──────────────────▶ bytes

Time is the CPU time of the process, which a busy machine changes little; with one thread it is the
time a free core takes.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np

from benchmarks.registration.method import Method
from benchmarks.registration.pairs import Scan
from benchmarks.registration.warp import folding_percent, warp_image, warp_labels
from deepstd.evaluate import dice, hd95, labels_of


@dataclass(frozen=True)
class Row:
    """One method on one pair.

    Attributes:
        study: name of the study.
        moving: name of the moving scan.
        fixed: name of the fixed scan.
        method: name of the method.
        dice: of each label of the fixed scan.
        hd95: of each label, in the study's unit; None where the label is gone.
        ncc: correlation of the warped scan with the fixed one.
        folding_percent: share of voxels with det J ≤ 0.
        nbytes: to store the transformation; None where nothing is stored.
        cpu_seconds: CPU time of all threads.
    """

    study: str
    moving: str
    fixed: str
    method: str
    dice: dict[str, float]
    hd95: dict[str, float | None]
    ncc: float
    folding_percent: float
    nbytes: int | None
    cpu_seconds: float

    @property
    def key(self) -> tuple[str, str, str, str]:
        """Study, moving, fixed and method."""
        return self.study, self.moving, self.fixed, self.method

    @property
    def mean_dice(self) -> float:
        """Over labels."""
        return float(np.mean(list(self.dice.values())))

    @property
    def mean_hd95(self) -> float:
        """Over labels; infinite where one is gone."""
        return float(np.mean([math.inf if v is None else v for v in self.hd95.values()]))


def measure(study: str, method: Method, moving: Scan, fixed: Scan) -> Row:
    """Register a pair and judge it."""
    began = time.process_time()
    warp = method.register(moving, fixed)
    seconds = time.process_time() - began
    labels = warp_labels(moving.labels, warp.coordinates)
    overlaps, distances = {}, {}
    for label in labels_of(fixed.labels):
        one, other = labels == label, fixed.labels == label
        overlaps[str(label)] = round(dice(one, other), 5)
        distance = hd95(one, other, fixed.spacing)
        distances[str(label)] = round(distance, 4) if math.isfinite(distance) else None
    seen = warp_image(moving.voxels, warp.coordinates)
    return Row(
        study,
        moving.name,
        fixed.name,
        method.name,
        overlaps,
        distances,
        round(float(np.corrcoef(seen.ravel(), fixed.voxels.ravel())[0, 1]), 5),
        round(folding_percent(warp.coordinates, moving, fixed), 4),
        warp.nbytes,
        round(seconds, 3),
    )
