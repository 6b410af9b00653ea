"""CheXpert-small: chest radiographs of about 320 × 390 pixels, JPEG, with tables of labels.

    DIR/train.csv · valid.csv · train/patient00001/study1/view1_frontal.jpg · valid/patient64541/…

Paths in the tables begin with ``CheXpert-v1.0-small/``, whatever the name of the folder. The paper
trains on 10,000 frontal views of study 1, chosen at random, and names no test images. The frontal
views of study 1 in ``valid``, of other patients, serve here.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path, PurePosixPath

from deepstd.datasets.selection import (
    TEST,
    TRAIN,
    Item,
    Selection,
    chosen_by_chance,
    files_below,
    told,
)
from deepstd.errors import InputError

SOURCES = ("https://stanfordmlgroup.github.io/competitions/chexpert", "arXiv:1901.07031")
EXPECTED = "train/patient00001/study1/view1_frontal.jpg"
_NAME = re.compile(
    r"(?:.*/)?(?P<part>train|valid)/(?P<patient>patient\d{5})/(?P<study>study\d+)"
    r"/view\d+_(?P<view>frontal|lateral)\.jpg"
)
_COUNT = 10_000
_SEED = "chexpert-small"


def select(folder: Path) -> Selection:
    """Select 10,000 frontal views of study 1 for training; those of ``valid`` are for tests."""
    parts: dict[str, list[Item]] = {"train": [], "valid": []}
    listed: dict[str, set[str]] = {}
    odd = []
    for path, name in files_below(folder):
        match = _NAME.fullmatch(str(name))
        if path.name in ("train.csv", "valid.csv"):
            listed[path.stem] = _listed(path)
        elif match is None:
            odd.append(str(name))
        elif match["study"] == "study1" and match["view"] == "frontal":
            split = TRAIN if match["part"] == "train" else TEST
            parts[match["part"]].append(Item(path, str(name), match["patient"], split))
    remarks = [told(len(odd), "other files are left out", odd)] if odd else []
    for part, items in parts.items():
        there = {_key(item.name) for item in items}
        if part not in listed:
            remarks.append(f"{part}.csv is not there: missing images cannot be told")
            continue
        missing = sorted(listed[part] - there)
        if missing:
            remarks.append(told(len(missing), f"images of {part}.csv are missing", missing))
        unlisted = sorted(there - listed[part])
        if unlisted:
            remarks.append(told(len(unlisted), f"images are not in {part}.csv", unlisted))
    train = chosen_by_chance(parts["train"], _SEED)[:_COUNT]
    if len(train) < _COUNT:
        remarks.append(f"{len(train)} of {_COUNT} training images are there")
    if not parts["valid"]:
        remarks.append("there is no folder valid: no test images")
    return Selection((*train, *parts["valid"]), tuple(remarks))


def _listed(path: Path) -> set[str]:
    """Return the frontal views of study 1 in a table, from the folder train or valid on."""
    try:
        with open(path, newline="", encoding="utf-8") as file:
            names = [row["Path"] for row in csv.DictReader(file)]
    except (OSError, UnicodeDecodeError, csv.Error, KeyError) as error:
        raise InputError(
            f"{path}: not a table of CheXpert, with a column Path ({error})"
        ) from error
    return {_key(name) for name in names if "/study1/" in name and "frontal" in name}


def _key(name: str) -> str:
    """Return a path from the folder train or valid on, whatever stands before."""
    return "/".join(PurePosixPath(name).parts[-4:])
