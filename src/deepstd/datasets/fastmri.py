"""NYU fastMRI: raw data of knee and brain MR in HDF5, with their reconstructions.

    DIR/…/multicoil_train · multicoil_val · multicoil_test/file_brain_AXT2_200_2000002.h5   (brain)
    DIR/…/singlecoil_train · multicoil_train · …_val · …_test/file1000001.h5                (knee)

Batches such as ``knee_multicoil_train_batch_0`` may lie between. Files of ``…_test`` and
``…_challenge`` hold no reconstruction. The paper takes 700 T2-weighted brains and 460 knees for
training, chosen at random, and names no test scans. Those of ``…_val`` serve here.
"""

from __future__ import annotations

import re
from pathlib import Path

from deepstd.datasets.selection import (
    TEST,
    TRAIN,
    Item,
    Selection,
    chosen_by_chance,
    files_below,
    told,
    without_twins,
)

SOURCES = (
    "https://fastmri.med.nyu.edu",
    "https://github.com/facebookresearch/fastMRI/tree/main/fastmri/data",
    "arXiv:1811.08839",
)
EXPECTED_BRAIN = "multicoil_train/file_brain_AXT2_200_2000002.h5"
EXPECTED_KNEE = "singlecoil_train or multicoil_train with file1000001.h5"
_FOLDER = re.compile(r"(?P<coil>multicoil|singlecoil)_(?P<part>train|val|test|challenge).*")
# T2-FLAIR is another weighting, and its names begin with AXFLAIR or AXT2FLAIR.
_BRAIN = re.compile(r"file_brain_AXT2_\d+_\d+\.h5")
_OTHER_BRAIN = re.compile(r"file_brain_.*\.h5")
_KNEE = re.compile(r"file\d{7}(_v\d)?\.h5")
_BRAINS, _KNEES = 700, 460


def select_brain(folder: Path) -> Selection:
    """Select 700 T2-weighted brains for training; those of ``multicoil_val`` are for tests."""
    return _select(folder, _BRAIN, _OTHER_BRAIN, "brains of other weightings", _BRAINS, "brain")


def select_knee(folder: Path) -> Selection:
    """Select 460 knees for training; those of ``…_val`` are for tests."""
    return _select(folder, _KNEE, _OTHER_BRAIN, "brains", _KNEES, "knee")


def _select(
    folder: Path,
    wanted: re.Pattern[str],
    others: re.Pattern[str],
    told_others: str,
    count: int,
    seed: str,
) -> Selection:
    parts: dict[str, list[Item]] = {}
    odd, left_out = [], 0
    for path, name in files_below(folder):
        part = _part_of(name.parts[:-1])
        if part is not None and wanted.fullmatch(path.name):
            split = TRAIN if part == "train" else TEST
            parts.setdefault(part, []).append(Item(path, str(name), path.stem, split))
        elif others.fullmatch(path.name):
            left_out += 1
        elif path.suffix == ".h5":
            odd.append(str(name))
    remarks = []
    if left_out:
        remarks.append(f"{left_out} {told_others} are left out")
    if odd:
        remarks.append(told(len(odd), "HDF5 files of other names or folders are left out", odd))
    without = sum(len(parts.get(part, [])) for part in ("test", "challenge"))
    if without:
        remarks.append(f"{without} files of test and challenge have no reconstruction: left out")
    kept: dict[str, list[Item]] = {}
    for part in ("train", "val"):
        # Both coil folders hold the same knees.
        kept[part], twins = without_twins(sorted(parts.get(part, []), key=_multicoil_first))
        if twins:
            remarks.append(told(len(twins), "scans are there twice: taken once", twins))
    train = chosen_by_chance(kept["train"], f"fastmri-{seed}")[:count]
    if len(train) < count:
        remarks.append(f"{len(train)} of {count} training scans are there")
    if not kept["val"]:
        remarks.append("there is no folder multicoil_val or singlecoil_val: no test scans")
    return Selection((*train, *kept["val"]), tuple(remarks))


def _part_of(folders: tuple[str, ...]) -> str | None:
    """Return the part that a path lies in: train, val, test or challenge."""
    for folder in reversed(folders):
        match = _FOLDER.fullmatch(folder)
        if match is not None:
            return match["part"]
    return None


def _multicoil_first(item: Item) -> tuple[bool, str]:
    return "singlecoil" in item.name, item.name
