"""Training cache from folders of scans.

folders ─ find, read ─ split by patient ─ frames, special values filled ─▶ cache
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path, PurePath, PurePosixPath

import numpy as np

from deepstd import io, preflight
from deepstd.errors import DeepSTDError, InputError
from deepstd.train.cache import CachedScan, write_cache
from deepstd.volume import Volume

_VALIDATION_SHARE = 0.1  # of the patients
_FRAMES_PER_SCAN = 8
_MOST_NAMED = 5  # scans left out that a message names
# Backgrounds are filled as in a file of this size, the middle of common target sizes.
_USUAL_BPV = 0.25


@dataclass(frozen=True)
class Prepared:
    """Report of `prepare`.

    Attributes:
        train: number of training scans, frames counted one by one.
        validation: number of validation scans.
        left_out: reason for each omitted file, by path.
    """

    train: int
    validation: int
    left_out: dict[str, str]


def prepare(
    sources: Sequence[Path],
    cache: Path,
    *,
    splits: Path | None = None,
    patient: str | None = None,
    only: Mapping[Path, Collection[str]] | None = None,
    report: Callable[[str, float], None] | None = None,
) -> Prepared:
    """Read all scans below folders into a cache.

    Args:
        sources: folders, or single files.
        cache: folder to write.
        splits: JSON file of data sets, each with lists "train", "validation" and "test" of file
            names. Files in "test" or in no list are left out. A series of several DICOM files has
            the name of its folder. Folders in the names tell files of one name apart. None keeps a
            tenth of the patients, chosen by a hash, for validation.
        patient: regular expression for the path of a scan below its folder; its first group, or
            the whole match, is the patient. Scans without a match are left out. None makes every
            file another patient, and all DICOM series of a folder one patient.
        only: names of the scans to take from each source; None for all. Missing ones are left out.
        report: called with a scan's name and the share done.

    Raises:
        InputError: no scan to train on, an unusable expression or split file, or a cache that
            cannot be written.
    """
    preflight.check_sources(sources)
    io.check_folder(cache)
    listed = None if splits is None else _read_splits(splits)
    expression = _compiled(patient)
    files = _find(sources)
    scans: list[CachedScan] = []
    left_out: dict[str, str] = {}
    if only is not None:
        wanted = {(n, name) for n, source in enumerate(sources) for name in only[source]}
        files = [(n, scan) for n, scan in files if (n, scan.name) in wanted]
        missing = wanted - {(n, scan.name) for n, scan in files}
        left_out = {str(sources[n] / name): "no longer there" for n, name in sorted(missing)}
    for number, (source, scan) in enumerate(files):
        path = scan.places[0] if len(scan.files) == 1 else scan.places[0].parent
        if report is not None:
            report(scan.name, number / len(files))
        try:
            who = _patient_of(scan, expression)
            split = _hashed_split(who) if listed is None else _listed_split(path, listed)
            if split not in ("train", "validation"):
                left_out[str(path)] = f"split: {split}"
                continue
            volume = io.read_scan(scan)
        except DeepSTDError as error:
            left_out[str(path)] = str(error)
            continue
        for index, frame in enumerate(frames_of(volume)):
            if frame.size > 1:
                scans.append(CachedScan(scan.name, who, split, frame, volume.affine, source, index))
    counts = {s: sum(scan.split == s for scan in scans) for s in ("train", "validation")}
    if not counts["train"]:
        reasons = "".join(f"; {name}: {why}" for name, why in [*left_out.items()][:_MOST_NAMED])
        raise InputError(f"no scan to train on in {', '.join(map(str, sources))}{reasons}")
    write_cache(cache, scans)
    return Prepared(counts["train"], counts["validation"], left_out)


def _read_splits(path: Path) -> list[tuple[PurePath, str]]:
    """Read the names of a split file, each with its split."""
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
        return [
            (PurePath(name), split)
            for data_set in described.values()
            for split, names in data_set.items()
            for name in names
        ]
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise InputError(f"{path}: not a split file: {error}") from error


def _listed_split(path: Path, listed: list[tuple[PurePath, str]]) -> str:
    """Return the split of the listed name that shares the most trailing folders with a path."""
    found: dict[int, set[str]] = {}
    for name, split in listed:
        if _stem(name) == _stem(path):
            theirs, ours = name.parts[-2::-1], path.absolute().parts[-2::-1]
            folders = zip(theirs, ours, strict=False)
            alike = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], folders))
            found.setdefault(alike, set()).add(split)
    splits = found[max(found)] if found else {"unlisted"}
    if len(splits) > 1:
        raise InputError(f"{path}: the split file has this name in {' and '.join(sorted(splits))}")
    return splits.pop()


def _compiled(expression: str | None) -> re.Pattern[str] | None:
    try:
        return None if expression is None else re.compile(expression)
    except re.error as error:
        raise InputError(f"patient expression {expression!r} is not valid: {error}") from error


def _find(sources: Sequence[Path]) -> list[tuple[int, io.ScanSource]]:
    return [(n, scan) for n, source in enumerate(sources) for scan in io.discover(source).scans]


def _stem(path: PurePath) -> str:
    return path.name.split(".")[0]


def _patient_of(scan: io.ScanSource, expression: re.Pattern[str] | None) -> str:
    place = PurePosixPath(scan.name)
    if scan.members and scan.files[0].suffix.lower() == ".npz":
        place = place.parent  # the arrays of a file are of one patient
    if expression is not None:
        match = expression.search(scan.name)
        who = match and match.group(min(match.re.groups, 1))
        if not who:
            raise InputError(f"{scan.name}: the patient expression finds nothing in this name")
        return who
    if len(scan.files) > 1:
        # Where the source is the folder of a series, the patient has the folder's name.
        return scan.places[0].parent.name if place.parent == PurePosixPath() else str(place.parent)
    return str(place.with_name(_stem(place) or place.name))


def _hashed_split(patient: str) -> str:
    digest = hashlib.sha256(os.fsencode(patient)).digest()
    return "validation" if digest[0] < 256 * _VALIDATION_SHARE else "train"


def frames_of(volume: Volume) -> list[np.ndarray]:
    """Return up to eight frames of a scan with special values filled; single slices become 2-D."""
    from deepstd.codec.backgrounds import (
        take_out,  # with torch, once the sources are known to be there
    )

    voxels = volume.voxels
    frames = [voxels]
    if voxels.ndim == 4:
        chosen = np.linspace(0, voxels.shape[3] - 1, min(voxels.shape[3], _FRAMES_PER_SCAN))
        frames = [voxels[..., int(n)] for n in np.unique(chosen.astype(int))]
    filled = []
    for frame in frames:
        (values, _), *_ = take_out([frame], round(frame.size * _USUAL_BPV / 8)).frames
        if frame.ndim == 3 and frame.shape[2] == 1:
            values = values[..., 0]
        if frame.dtype.kind in "iu" and frame.dtype.itemsize <= 2:
            values = np.rint(values).astype(frame.dtype)
        else:
            values = values.astype(np.float32)
        filled.append(values)
    return filled
