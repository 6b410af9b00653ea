"""What is measured: scans of the test splits, the sizes asked for, the peers and the peak.

splits.json ─ data set, split ─▶ paths ─ io.read ─▶ Volume ─ Target ─▶ bytes allowed
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from deepstd import io
from deepstd.baselines import LOSSY, Baseline
from deepstd.evaluate import percentile_peak, range_peak
from deepstd.volume import Volume

_HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Target:
    """A size asked for: bits per voxel, or a ratio to the stored bytes."""

    kind: Literal["bpv", "ratio"]
    value: float

    def max_bytes(self, volume: Volume) -> int:
        """Largest file that answers the request."""
        if self.kind == "bpv":
            return math.floor(volume.voxels.size * self.value / 8)
        return math.floor(volume.nbytes / self.value)

    def __str__(self) -> str:
        return f"{self.value:g} bpv" if self.kind == "bpv" else f"{self.value:g}×"


@dataclass(frozen=True)
class Study:
    """One comparison on held-out scans.

    Attributes:
        bundle: the bundle under test.
        data_sets: data sets of splits.json whose test scans are used.
        folders: only scans below these folders, where the data set has others besides.
        targets: sizes asked for.
        peers: codecs brought to the same bytes.
        peak: peak of the PSNR, and range of the SSIM, from the original.
        peak_name: for the head of the table.
    """

    bundle: str
    data_sets: tuple[str, ...]
    folders: tuple[str, ...]
    targets: tuple[Target, ...]
    peers: tuple[Baseline, ...]
    peak: Callable[[np.ndarray], float]
    peak_name: str

    def scans(self) -> Iterator[str]:
        """Names of the scans, relative to the data folder."""
        splits = json.loads((_HERE / "splits.json").read_text(encoding="utf-8"))
        for data_set in self.data_sets:
            for name in splits[data_set]["test"]:
                if name.startswith(self.folders):
                    yield name


def _named(*names: str) -> tuple[Baseline, ...]:
    return tuple(LOSSY[name] for name in names)


_LOW_RATES = tuple(Target("bpv", value) for value in (0.5, 0.25, 0.125, 0.0625))

STUDIES = {
    "hippocampus": Study(
        bundle="hippocampus-t1",
        data_sets=("hippocampus-t1",),
        folders=("hippocampus-t1/images/",),
        targets=_LOW_RATES,
        peers=_named("sperr", "jpeg2000-3d", "hevc-slow", "av1", "vvc"),
        peak=percentile_peak,
        peak_name="p0.5-99.5",
    ),
    "xray": Study(
        bundle="chest-xray",
        data_sets=("chest-xray",),
        folders=("chest-xray/images/",),
        targets=_LOW_RATES,
        peers=_named("jpeg", "jpeg2000", "hevc-slow", "av1"),
        peak=range_peak,
        peak_name="range",
    ),
    "generic": Study(
        bundle="generic",
        data_sets=("brain-ms", "samples"),
        folders=("",),
        targets=(Target("ratio", 64),),
        peers=_named("jpeg2000", "sperr", "hevc-slow", "av1"),
        peak=range_peak,
        peak_name="range",
    ),
}


@dataclass(frozen=True)
class Folders:
    """Where the scans are: ``data`` is the folder of the downloaded ones."""

    data: Path

    def path(self, scan: str) -> Path:
        """File or folder to read for a scan of splits.json."""
        return self.data / scan

    def read(self, scan: str) -> Volume:
        """A scan of splits.json."""
        return io.read(self.path(scan))
