"""Segmentation of originals and restored scans by a program of the user.

Volume ─ scan.nii.gz ─▶ COMMAND … {scan} … {labels} ─▶ labels.nii.gz ─▶ label map
label maps of original and restored ─ per label ─▶ Dice, HD95
"""

from __future__ import annotations

import math
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from deepstd import io
from deepstd.errors import InputError
from deepstd.evaluate.segmentation import hd95
from deepstd.overlap import dice, labels_of
from deepstd.volume import Volume

_SCAN, _LABELS = "{scan}", "{labels}"


def check_command(command: str) -> None:
    """Check that a command has placeholders for both files, and that its program exists.

    Raises:
        InputError: a placeholder or the program is missing.
    """
    if any(placeholder not in command for placeholder in (_SCAN, _LABELS)):
        raise InputError(
            f"--segmenter {command!r}: expected a command with {_SCAN} for the file to segment and "
            f"{_LABELS} for the label map to write, both NIfTI"
        )
    try:
        program = shlex.split(command)[0]
    except ValueError as error:
        raise InputError(f"--segmenter {command!r}: {error}") from error
    if shutil.which(program) is None:
        raise InputError(f"--segmenter: there is no program {program}. Give its path")


def segment(command: str, volume: Volume, voxels: np.ndarray) -> np.ndarray:
    """Segment a scan with a program.

    Args:
        command: command with {scan} and {labels} for the files; run without a shell.
        volume: the original, for its geometry and header.
        voxels: voxels to segment, in the shape of the original.

    Returns:
        The label map, in the shape of the scan.

    Raises:
        InputError: the program cannot be run, fails, or writes no label map of the scan's shape.
    """
    with tempfile.TemporaryDirectory(prefix="deepstd-segment-") as folder:
        scan, labels = Path(folder) / "scan.nii.gz", Path(folder) / "labels.nii.gz"
        io.write(replace(volume, voxels=voxels), scan)
        files = {_SCAN: str(scan), _LABELS: str(labels)}
        arguments = []
        for argument in shlex.split(command):
            for placeholder, path in files.items():
                argument = argument.replace(placeholder, path)
            arguments.append(argument)
        try:
            done = subprocess.run(
                arguments, capture_output=True, text=True, errors="replace", check=False
            )
        except OSError as error:
            raise InputError(f"--segmenter: {arguments[0]}: {error.strerror}") from error
        if done.returncode != 0 or not labels.is_file():
            said = (done.stderr or done.stdout).strip().splitlines()
            reason = said[-1] if said else "it wrote no label map and no message"
            raise InputError(f"--segmenter: {arguments[0]} failed ({done.returncode}): {reason}")
        found = io.read(labels).voxels
    if found.shape != voxels.shape:
        raise InputError(
            f"--segmenter: {arguments[0]} wrote labels of shape {found.shape}, expected that of "
            f"the scan, {voxels.shape}"
        )
    return found


def overlaps(
    before: np.ndarray, after: np.ndarray, affine: np.ndarray | None
) -> dict[str, Mapping[str, float]]:
    """Measure Dice and HD95 of each label in either of two label maps.

    HD95 is in mm, or in voxels without an affine. It is omitted for a label in one map only.

    Args:
        before: label map of the original.
        after: label map of the restored scan, same shape.
        affine: 4x4 voxel-to-world matrix, or None.
    """
    spacing = [1.0] * before.ndim
    if affine is not None:
        known = np.linalg.norm(affine[:3, :3], axis=0)[: before.ndim]
        spacing[: len(known)] = known.tolist()
    found: dict[str, Mapping[str, float]] = {}
    for label in labels_of(before, after):
        masks = before == label, after == label
        distance = hd95(*masks, spacing)
        figures = {"dice": round(dice(*masks), 6)}
        if math.isfinite(distance):
            figures["hd95"] = round(distance, 6)
        found[str(label)] = figures
    return found


def fullest_slice(labels: np.ndarray) -> int:
    """Return the index of the slice with the largest labelled area, over axes after the second."""
    return int(np.argmax((labels > 0).sum(axis=(0, 1))))
