"""Split the scans into train, validation and test, by patient.

    file names ─▶ patient of each ─▶ patients ordered by a seeded hash ─▶ test, validation, train

Usage: python benchmarks/make_splits.py DATA > splits.json
Every training run and benchmark uses the committed splits.json. This script documents its making,
and is run again only when a data set is added. Paths are relative to DATA.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pydicom

SEED = "deepstd-1"


@dataclass(frozen=True)
class Rule:
    """Split of one data set.

    Attributes:
        patterns: globs below DATA; only scans of the first glob are counted.
        patient: function that returns the patient of a file.
        test: most scans of the test split; None for all.
        validation: most scans of the validation split.
        most_files_first: hold out patients with the most files first, so that the test split has
            every sequence of a patient.
        first: glob whose patients are held out before all others, and never trained on.
    """

    patterns: tuple[str, ...]
    patient: Callable[[Path], str]
    test: int | None = None
    validation: int = 0
    most_files_first: bool = False
    first: str | None = None


def _stem(path: Path) -> str:
    return path.name.split(".")[0]


def _hippocampus_person(path: Path) -> str:
    """Return the person of a crop: crops 2n - 1 and 2n are the two sides of one head.

    The source does not state it; the grey values show it. In all 50 such pairs both crops lie on
    the same intensity lattice to 0.1 %, against 0.3 % of random pairs.
    """
    return f"person{(int(_stem(path).split('_')[1]) + 1) // 2:03d}"


def _before_underscore(path: Path) -> str:
    return path.name.split("_")[0]


def _dicom_patient(path: Path) -> str:
    return str(
        pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["PatientID"]).PatientID
    )


RULES = {
    "hippocampus-t1": Rule(("hippocampus-t1/images/*.nii.gz",), _hippocampus_person, 30, 20),
    "chest-xray": Rule(
        ("chest-xray/images/*.png", "chest-xray/full-size/*.png"),
        _before_underscore,
        30,
        20,
        first="chest-xray/full-size/*.png",
    ),
    "brain-ms": Rule(("brain-ms/*.nii.gz",), _before_underscore, 3, 3, most_files_first=True),
    "chest-ct-slices": Rule(("chest-ct-slices/*.dcm",), _dicom_patient, 6, 5),
    "chest-ct-full": Rule(("chest-ct-full",), _stem, 0),
    "sarcoma-ct": Rule(("sarcoma-ct/STS_*",), _stem, 5, 3),
    "headneck-ct": Rule(("headneck-ct/images/*.nii.gz",), _stem, 25, 12),
    "samples": Rule(("samples/*.n*",), _stem),
    "cardiac-cine": Rule(("cardiac-cine/images/*.nii.gz",), _before_underscore),
}


def split(data: Path, rule: Rule) -> dict[str, list[str]]:
    """Split the files of one data set; all files of a patient are in one list.

    Returns:
        Paths relative to ``data`` in the lists "train", "validation" and "test".
    """
    files: dict[str, list[Path]] = defaultdict(list)
    for pattern in rule.patterns:
        for path in sorted(data.glob(pattern)):
            files[rule.patient(path)].append(path)
    first = {rule.patient(p) for p in data.glob(rule.first)} if rule.first else set()

    def order(patient: str) -> tuple[bool, int, str]:
        digest = hashlib.sha256(f"{SEED}/{patient}".encode()).hexdigest()
        return patient not in first, -len(files[patient]) * rule.most_files_first, digest

    counted = set(data.glob(rule.patterns[0]))
    lists: dict[str, list[str]] = {"train": [], "validation": [], "test": []}
    room = {
        "test": len(counted) if rule.test is None else rule.test,
        "validation": rule.validation,
        "train": len(counted),
    }
    for patient in sorted(files, key=order):
        scans = len(counted.intersection(files[patient]))
        name = next(name for name in room if room[name] >= scans)
        room[name] -= scans
        lists[name] += [path.relative_to(data).as_posix() for path in files[patient]]
    return {name: sorted(paths) for name, paths in lists.items()}


def main() -> None:
    """Write the split of every data set as JSON to standard output."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path, help="folder with the downloaded scans")
    data: Path = parser.parse_args().data
    splits = {name: split(data, rule) for name, rule in RULES.items()}
    json.dump(splits, sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
