"""From folders of scans to a training cache.

folders ─ find, read ─ split by patient ─ frames, special values filled ─▶ cache
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deepstd import io, specials
from deepstd.errors import DeepSTDError, InputError
from deepstd.train.cache import CachedScan, write_cache
from deepstd.volume import Volume

_VALIDATION_SHARE = 0.1
_FRAMES_PER_SCAN = 8


@dataclass(frozen=True)
class Prepared:
    """What `prepare` did: scans per split, and files it left out with the reason."""

    train: int
    validation: int
    left_out: dict[str, str]


def prepare(
    sources: Sequence[Path],
    cache: Path,
    *,
    splits: Path | None = None,
    patient: str | None = None,
    report: Callable[[str, float], None] | None = None,
) -> Prepared:
    """Read every scan below some folders into a cache.

    Args:
        sources: folders, or single files.
        cache: folder to write.
        splits: JSON file of data sets, each with lists "train", "validation" and "test" of file
            names; files named in none of them, or in "test", are left out. Without it a tenth of
            the patients, chosen by a hash, is kept for validation. A series of several DICOM files
            goes by the name of its folder.
        patient: regular expression whose first group (or whole match) in a file's name says whose
            scan it is; the name up to its first dot when None.
        report: called with a file's name and the share done.

    Raises:
        InputError: nothing to train on, or an unusable expression or split file.
    """
    listed = None if splits is None else _read_splits(splits)
    expression = _compiled(patient)
    files = _find(sources)
    scans: list[CachedScan] = []
    left_out: dict[str, str] = {}
    for number, (source, scan) in enumerate(files):
        path = scan.files[0] if len(scan.files) == 1 else scan.files[0].parent
        if report is not None:
            report(path.name, number / len(files))
        who = _patient_of(path, expression)
        split = _hashed_split(who) if listed is None else listed.get(_stem(path), "unlisted")
        if split not in ("train", "validation"):
            left_out[str(path)] = f"split: {split}"
            continue
        try:
            volume = io.read_scan(scan)
        except DeepSTDError as error:
            left_out[str(path)] = str(error)
            continue
        for index, frame in enumerate(_frames(volume)):
            if frame.size > 1:
                scans.append(CachedScan(path.name, who, split, frame, volume.affine, source, index))
    counts = {s: sum(scan.split == s for scan in scans) for s in ("train", "validation")}
    if not counts["train"]:
        raise InputError(f"no scan to train on in {', '.join(map(str, sources))}")
    write_cache(cache, scans)
    return Prepared(counts["train"], counts["validation"], left_out)


def _read_splits(path: Path) -> dict[str, str]:
    """File stem to split, for all data sets of a split file."""
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
        return {
            _stem(Path(name)): split
            for data_set in described.values()
            for split, names in data_set.items()
            for name in names
        }
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise InputError(f"{path}: not a split file: {error}") from error


def _compiled(expression: str | None) -> re.Pattern[str] | None:
    try:
        return None if expression is None else re.compile(expression)
    except re.error as error:
        raise InputError(f"patient expression {expression!r} is not valid: {error}") from error


def _find(sources: Sequence[Path]) -> list[tuple[int, io.ScanSource]]:
    return [(n, scan) for n, source in enumerate(sources) for scan in io.discover(source).scans]


def _stem(path: Path) -> str:
    return path.name.split(".")[0]


def _patient_of(path: Path, expression: re.Pattern[str] | None) -> str:
    match = None if expression is None else expression.search(path.name)
    if match is None:
        return _stem(path)
    return match.group(1) if match.re.groups else match.group(0)


def _hashed_split(patient: str) -> str:
    digest = hashlib.sha256(patient.encode()).digest()
    return "validation" if digest[0] < 256 * _VALIDATION_SHARE else "train"


def _frames(volume: Volume) -> list[np.ndarray]:
    """Up to eight frames of a scan, one-slice ones as 2-D, special values filled."""
    voxels = volume.voxels
    frames = [voxels]
    if voxels.ndim == 4:
        chosen = np.linspace(0, voxels.shape[3] - 1, min(voxels.shape[3], _FRAMES_PER_SCAN))
        frames = [voxels[..., int(n)] for n in np.unique(chosen.astype(int))]
    filled = []
    for frame in frames:
        values, _ = specials.split(frame)
        if frame.ndim == 3 and frame.shape[2] == 1:
            values = values[..., 0]
        if frame.dtype.kind in "iu" and frame.dtype.itemsize <= 2:
            values = np.rint(values).astype(frame.dtype)
        else:
            values = values.astype(np.float32)
        filled.append(values)
    return filled
