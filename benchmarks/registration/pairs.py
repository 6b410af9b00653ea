"""Which scans are registered to which, and the scans themselves.

splits.json ─ rule ─▶ (moving, fixed) names ─ nibabel ─▶ Scan: grey values 0 to 1, labels, affine

Pairs follow from the order of the files, so nobody has chosen them. Hippocampus: test scan n to
test scan n + 15, every one once. Cardiac: of the last 15 patients each to the next, the last to the
first of them. The 21 patients before them, which no table sees, are what learned peers are trained
on; nothing trained on them is kept.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from nibabel import nifti1

_SPLITS = Path(__file__).resolve().parents[1] / "splits.json"
_PAIRS = 15


@dataclass(frozen=True, eq=False)
class Scan:
    """One scan with its segmentation.

    Attributes:
        name: relative to the data folder.
        voxels: float32 (I, J, K), percentiles 0.5 and 99.5 at 0 and 1, not clipped.
        labels: uint8 (I, J, K).
        affine: (4, 4) voxel-to-world matrix, RAS+ mm.
    """

    name: str
    voxels: np.ndarray
    labels: np.ndarray
    affine: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the grid."""
        return self.voxels.shape

    @property
    def lps(self) -> np.ndarray:
        """(4, 4) voxel-to-world matrix as ITK has it."""
        return np.diag([-1.0, -1.0, 1.0, 1.0]) @ self.affine

    @property
    def spacing(self) -> tuple[float, ...]:
        """Voxel size in mm, as the header has it."""
        return tuple(float(s) for s in np.linalg.norm(self.affine[:3, :3], axis=0))


@dataclass(frozen=True)
class Study:
    """Pairs of one data set.

    Attributes:
        name: in tables and on the command line.
        pairs: names of moving and fixed scans.
        training: names of the scans that a learned method may see.
    """

    name: str
    pairs: tuple[tuple[str, str], ...]
    training: tuple[str, ...]


def hippocampus(split: str) -> list[str]:
    """Names of the hippocampus scans of a split."""
    return _splits()["hippocampus-t1"][split]


def studies() -> dict[str, Study]:
    """All studies of pairs by name."""
    test, train = hippocampus("test"), tuple(hippocampus("train"))
    heart = _splits()["cardiac-cine"]["test"]
    last = heart[-_PAIRS:]
    found = (
        Study("hippocampus", tuple(zip(test[:_PAIRS], test[_PAIRS:], strict=True)), train),
        Study(
            "cardiac",
            tuple(zip(last, [*last[1:], last[0]], strict=True)),
            tuple(heart[:-_PAIRS]),
        ),
    )
    return {study.name: study for study in found}


def read_scan(data: Path, name: str) -> Scan:
    """A scan of splits.json with its labels."""
    image = nifti1.load(data / name)
    labels = nifti1.load(data / name.replace("/images/", "/labels/"))
    voxels = np.asarray(image.dataobj, dtype=np.float32)
    low, high = np.percentile(voxels, [0.5, 99.5])
    return Scan(
        name,
        np.ascontiguousarray((voxels - low) / (high - low), dtype=np.float32),
        np.asarray(labels.dataobj).astype(np.uint8),
        np.asarray(image.affine, dtype=np.float64),
    )


def _splits() -> dict[str, dict[str, list[str]]]:
    return json.loads(_SPLITS.read_text(encoding="utf-8"))
