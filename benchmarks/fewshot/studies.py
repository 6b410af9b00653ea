"""Comparisons: data sets, numbers of scans, variants, and the scans of each.

splits.json ─ seeded order ─▶ the first N training scans; validation and test scans
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from benchmarks.standing.studies import split
from deepstd.texture.kinds import AUTOENCODER
from deepstd.train.config import TrainConfig
from deepstd.train.deformation import STRENGTH

_SEED = 28
PLAIN, AUGMENT, TEACHER, BOTH = "plain", "augment", "teacher", "both"
VARIANTS = (PLAIN, AUGMENT, TEACHER, BOTH)


@dataclass(frozen=True)
class Study:
    """A data set and how its networks are trained.

    Attributes:
        title: heading of its table.
        data_set: key in splits.json.
        counts: numbers of training scans, besides all.
        steps: log2(range / step) of the measured points, about 0.06 to 0.5 bits a voxel.
        config: settings of every run.
    """

    title: str
    data_set: str
    counts: tuple[int, ...]
    steps: tuple[float, ...]
    config: TrainConfig

    def scans(self, part: str, most: int | None = None) -> tuple[str, ...]:
        """Return names of scans of a part in a seeded order, at most ``most``."""
        names = split(self.data_set, part)
        order = np.random.default_rng(_SEED).permutation(len(names))
        return tuple(names[n] for n in order[:most])

    def settings(self, variant: str, transform: str, strength: float) -> TrainConfig:
        """Return the settings of a variant.

        Args:
            variant: one of `VARIANTS`.
            transform: "lifting" or "autoencoder".
            strength: strength of the deformations where the variant has them.
        """
        deformation = strength if variant in (AUGMENT, BOTH) else 0.0
        config = replace(self.config, deformation=deformation)
        if transform == AUTOENCODER:
            return replace(config, transform=AUTOENCODER, widths_3d=(32, 48), learning_rate=2e-3)
        return config


def _config(name: str, rates: tuple[float, float]) -> TrainConfig:
    # The teacher of the paper's experiment has learned from the same body part.
    return TrainConfig(
        name, template=True, widths_3d=(32, 48, 48), filter_3d=(16, 1), rates=rates,
        learning_rate=4e-3, batch=4, teacher_places=True,
    )  # fmt: skip


STUDIES = {
    "hippocampus": Study(
        "Hippocampus, T1 MR crops",
        "hippocampus-t1",
        (15, 30, 60),
        (1.0, 1.75, 2.5, 3.25),
        _config("hippocampus-few", (0.3, 4.6)),
    ),
    "headneck": Study(
        "Head and neck, CT",
        "headneck-ct",
        (15, 30, 60),
        (4.0, 5.0, 6.0, 7.0),
        _config("headneck-few", (3.0, 8.0)),
    ),
}
DEFAULT_STRENGTH = STRENGTH
