"""AMOS: abdominal CT and MR, NIfTI. The paper's scans are the 1,200 unlabelled MR ones.

    DIR/amos22_unlabeled_mri_7000_8199/…/amos_7000.nii.gz … amos_8199.nii.gz
    DIR/amos22/imagesTr · imagesVa · imagesTs/amos_0001.nii.gz … amos_0600.nii.gz · labelsTr …

Numbers below 500 and from 5000 to 6899 are CT, those of 500 to 600 labelled MR. Where none of the
1,200 is there, the labelled ones are taken instead. Scans of voxels larger than 4 mm in plane or
20 mm across are left out, the others resampled to 2 × 2 × 10 mm, and divided into 915 and 229.
"""

from __future__ import annotations

import re
from pathlib import Path

from deepstd import io
from deepstd.datasets.selection import (
    Item,
    Selection,
    divided,
    files_below,
    told,
    without_twins,
)
from deepstd.errors import DeepSTDError

SOURCES = ("https://zenodo.org/records/7262581", "https://amos22.grand-challenge.org")
EXPECTED = "MR scans such as amos_7000.nii.gz, or amos_0507.nii.gz in imagesTr"
SPACING = (2.0, 2.0, 10.0)
"""Voxel size in mm after resampling: in plane, and across the slices."""
_NAME = re.compile(r"amos_(\d{4})\.nii\.gz")
_LABELLED, _UNLABELLED = range(500, 1000), range(7000, 8200)
_MOST_IN_PLANE, _MOST_ACROSS = 4.0, 20.0  # mm
_ROUNDING = 1e-3  # mm, of headers in float32
_TRAIN, _TEST = 915, 229
_SEED = "amos"


def select(folder: Path) -> Selection:
    """Select MR scans of fit resolution, 915 for training and 229 for tests."""
    found: dict[str, list[Item]] = {"unlabelled MR": [], "labelled MR": [], "CT": []}
    odd = []
    for path, name in files_below(folder):
        match = _NAME.fullmatch(path.name)
        if any(part.startswith("labels") for part in name.parts[:-1]):
            continue
        if match is not None:
            number = int(match[1])
            kind = "unlabelled MR" if number in _UNLABELLED else "CT"
            kind = "labelled MR" if number in _LABELLED else kind
            found[kind].append(Item(path, str(name), match[1]))
        elif ".nii" in path.suffixes:
            odd.append(str(name))
    remarks = [told(len(odd), "NIfTI files of other names are left out", odd)] if odd else []
    if found["CT"]:
        remarks.append(f"{len(found['CT'])} CT scans are left out: the protocol is for MR")
    items = found["unlabelled MR"]
    if not items and found["labelled MR"]:
        items = found["labelled MR"]
        remarks.append(
            "the 1,200 unlabelled MR scans of the paper (amos_7000 to amos_8199) are not there: "
            f"{len(items)} labelled ones are taken instead"
        )
    items, twins = without_twins(items)
    if twins:
        remarks.append(
            told(len(twins), "scans of a number that is there twice are left out", twins)
        )
    if found["unlabelled MR"] and len(items) != len(_UNLABELLED):
        remarks.append(f"{len(items)} of the {len(_UNLABELLED)} unlabelled MR scans are there")
    fit, coarse, damaged = [], [], []
    for item in items:
        try:
            spacing = io.glance(item.path).spacing
        except DeepSTDError as error:
            damaged.append(f"{item.name} ({error})")
            continue
        (fit if spacing is not None and _is_fine(spacing) else coarse).append(item)
    if coarse:
        names = [item.name for item in coarse]
        limits = f"{_MOST_IN_PLANE:g} mm in plane or {_MOST_ACROSS:g} mm across"
        remarks.append(told(len(coarse), f"scans with voxels above {limits} are left out", names))
    if damaged:
        remarks.append(told(len(damaged), "scans cannot be read and are left out", damaged))
    if found["unlabelled MR"] and len(fit) != _TRAIN + _TEST:
        remarks.append(f"{len(fit)} scans are fit, {_TRAIN + _TEST} in the paper; divided alike")
    return Selection(tuple(divided(fit, _TRAIN, _TEST, _SEED)), tuple(remarks))


def _is_fine(spacing: tuple[float, ...]) -> bool:
    """Return True for voxels of fit size; slices lie across the longest side of a voxel."""
    *in_plane, across = sorted(spacing)
    return max(in_plane) <= _MOST_IN_PLANE + _ROUNDING and across <= _MOST_ACROSS + _ROUNDING
