"""Studies: fixed lists of scans, the sizes asked for, the bundle and the peak.

splits.json, lists below ─▶ scan names ─ io.read ─▶ Scan (name, Volume)
"""

from __future__ import annotations

import argparse
import functools
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deepstd import io
from deepstd.evaluate import percentile_peak, range_peak
from deepstd.rate.target import Target
from deepstd.volume import Volume

_BENCHMARKS = Path(__file__).resolve().parents[1]
RATES = tuple(Target(bpv=value) for value in (0.5, 0.25, 0.125, 0.0625))


@dataclass(frozen=True)
class Study:
    """One comparison on scans that the bundle has not seen.

    Attributes:
        title: of its table.
        bundle: the bundle under test.
        scans: names of the scans, relative to the data folder.
        slow_scans: those that codecs of minutes a scan are measured on.
        peak: peak of the PSNR, and range of the SSIM, from the original.
        peak_name: for the head of the table.
        shape_off: whether the bundle is measured without its shape model besides.
        remark: what must be known to read the table.
    """

    title: str
    bundle: str
    scans: tuple[str, ...]
    slow_scans: tuple[str, ...]
    peak: Callable[[np.ndarray], float] = range_peak
    peak_name: str = "max − min of the scan"
    shape_off: bool = False
    remark: str = ""


@dataclass(frozen=True)
class Scan:
    """A scan and its name in the lists."""

    name: str
    volume: Volume

    @staticmethod
    def read(data: Path, name: str) -> Scan:
        """A scan below the data folder."""
        return Scan(name, io.read(data / name))


@functools.cache
def split(data_set: str, part: str, folder: str = "") -> tuple[str, ...]:
    """Scans of one part of a data set in splits.json, those below a folder alone."""
    splits = json.loads((_BENCHMARKS / "splits.json").read_text(encoding="utf-8"))
    return tuple(name for name in splits[data_set][part] if name.startswith(folder))


def add_data_option(parser: argparse.ArgumentParser) -> None:
    """--data: the folder of the scans."""
    default = Path(os.environ.get("DEEPSTD_DATA", _BENCHMARKS.parents[1] / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=default, help="folder of the scans")


_HIPPOCAMPUS = split("hippocampus-t1", "test")
_XRAYS = split("chest-xray", "test", "chest-xray/images/")
# Every other one, as they take their time.
_FULL_XRAYS = split("chest-xray", "test", "chest-xray/full-size/")[::2]
# Every third patient: the list is in the order of their diagnoses.
CARDIAC = split("cardiac-cine", "test")[::3]
_BRAINS = (*split("brain-ms", "test"), "samples/brain1_image.nrrd", "samples/brain2_image.nrrd")
_CT_SLICES = split("chest-ct-slices", "test")
_CT_VOLUMES = (
    "samples/ct-torso-3mm.nii.gz",
    "samples/ct-abdomen-3mm.nii.gz",
    "dicom/ct-abdomen-j2k-20slices",
)
_HEAD_NECK = split("headneck-ct", "test")
_OTHER_MR = (
    "samples/breast1_image.nrrd",
    "samples/spinal-cord-t1w.nii.gz",
    "samples/spinal-cord-t2.nii.gz",
    "samples/mr-abdomen-3mm.nii.gz",
)

STUDIES = {
    "hippocampus": Study(
        "Hippocampus, T1 MR crops",
        "hippocampus-t1",
        _HIPPOCAMPUS,
        _HIPPOCAMPUS,
        percentile_peak,
        "distance of the 0.5 and 99.5 percentiles",
        shape_off=True,
    ),
    "xray": Study("Chest X-ray, 512 × 512", "chest-xray", _XRAYS, _XRAYS[::3]),
    "xray-1024": Study(
        "Chest X-ray, 1024 × 1024",
        "chest-xray",
        _FULL_XRAYS,
        _FULL_XRAYS[:1],
        remark="Four of eight; the bundle learned from images of 512 × 512, some magnified.",
    ),
    "brain-mr": Study(
        "Brain MR",
        "generic",
        _BRAINS,
        _BRAINS[-2:],
        remark="FLAIR, T1 and T2 of one patient, and two T1 brains of another source.",
    ),
    "cardiac": Study(
        "Cardiac cine MR, end-diastolic",
        "generic",
        CARDIAC,
        CARDIAC[::3],
        remark="Twelve of 36 patients; no bundle was trained on this data set.",
    ),
    "ct-slices": Study("Chest CT, single slices", "generic", _CT_SLICES, _CT_SLICES),
    "ct-volumes": Study(
        "CT, volumes",
        "generic",
        _CT_VOLUMES,
        _CT_VOLUMES[1:2],
        remark="Torso and abdomen at 3 mm, and 20 slices of 512 × 512 of an abdomen. The one chest "
        "CT of full size at hand is among `generic`'s training data, and so not here.",
    ),
    "head-neck": Study(
        "Head-neck CT, cut to the body",
        "generic",
        _HEAD_NECK,
        _HEAD_NECK,
        remark="`generic` was not trained on this data set. Outside of the body all is air of "
        "-1024 HU, most of each scan.",
    ),
    "other-mr": Study(
        "Other MR",
        "generic",
        _OTHER_MR,
        _OTHER_MR,
        remark="Body parts that `generic` was not trained on: breast, spinal cord (T1, T2), "
        "abdomen at 3 mm.",
    ),
}
