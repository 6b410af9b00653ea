"""Side-cars: files beside scans that a data set keeps, and those it leaves out.

files that are no scans ─┬ of a known kind, or anywhere in a BIDS data set ─▶ SideCar …
                         ├ may name patients, a link to elsewhere, or named like our own files
                         │    ─▶ left out, and said
                         └ all others ─▶ passed over as before
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from deepstd.batch.dataset.names import DESCRIPTION, IGNORED, is_ours, is_plain
from deepstd.errors import DeepSTDError
from deepstd.io import Deidentification, KeptMetadata, Metadata, PassedOver, ScanSource, passed
from deepstd.io.dicom import Item

_SUFFIXES = (".json", ".tsv", ".tsv.gz", ".bval", ".bvec")
_NAMES = re.compile(r"(README|CHANGES|LICENSE)(\.(md|rst|txt))?|CITATION\.cff|\.bidsignore")
# Kinds that are no ordinary files, may name patients, or could be taken for outputs.
_NEVER = (
    passed.AGAIN, passed.SPECIAL, passed.NOT_GREY, passed.LINKS, passed.DOUBLES, passed.COMPRESSED,
)  # fmt: skip
# Folders of a BIDS data set whose files are no scans, even where they are images.
_AS_THEY_ARE = ("code/", "stimuli/")
# Keys of converters such as dcm2niix that hold what DICOM's basic profile removes, with a value.
_IDENTITY = re.compile(
    rb'"(Patient(?:s?Name|ID|BirthDate|BirthName|Address|TelephoneNumbers|MotherBirthName)'
    rb'|OtherPatientIDs|OtherPatientNames|AccessionNumber|ReferringPhysicianName)"'
    rb'\s*:\s*(?!\s*(?:""|null|\[\s*\]|"n/a"|"anonymous"|"anon"))',
    re.IGNORECASE,
)
# Dates beside moved ones would tell the span. BIDS puts moved dates before 1926.
_DATE = re.compile(
    rb"(?<![\d.])(?:19(?:2[6-9]|[3-9]\d)|20\d\d)([-/.]?)(?:0[1-9]|1[0-2])\1"
    rb"(?:0[1-9]|[12]\d|3[01])(?:\d{6}(?!\d)|(?!\d|\.\d))"
)
_MOST_BYTES = 1 << 25  # searched for names and dates; side-cars of scans have kilobytes
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
IDENTITY = "side-cars that name patients (--keep-metadata copies them)"
DATES = "side-cars with dates, which --shift-dates does not move (--keep-metadata copies them)"
TOO_LARGE = "side-cars too large to search for names and dates (--keep-metadata copies them)"
LINKS = "links to files outside of the source folder (put copies in their place)"
OUR_NAMES = "files with the name of one that this command writes"
DROPPED = "side-cars, as --drop-metadata keeps geometry alone"
ANONYMOUS = "side-cars, as --anonymous-names hides their names and words"


@dataclass(frozen=True)
class SideCar:
    """A file to copy.

    Attributes:
        name: path below the folder, with "/".
        item: the file, or the member of an archive.
    """

    name: str
    item: Item


@dataclass(frozen=True)
class Chosen:
    """Side-cars of a folder.

    Attributes:
        sidecars: files to copy, sorted by name.
        scans: scans to compress; the images in the code and stimuli of a BIDS data set are none.
        passed: files that are neither.
        left_out: names of files that are not copied, by the reason.
        sets: folders of BIDS data sets, each "" or with "/" at its end.
    """

    sidecars: list[SideCar]
    scans: list[ScanSource]
    passed: list[PassedOver]
    left_out: dict[str, list[str]] = field(default_factory=dict)
    sets: list[str] = field(default_factory=list)


def choose(
    scans: Iterable[ScanSource],
    others: Iterable[PassedOver],
    metadata: KeptMetadata,
    source: Path,
    output: Path,
    *,
    is_anonymous: bool,
) -> Chosen:
    """Choose the files to copy.

    Args:
        scans: scans of a folder.
        others: its files that are no scans.
        metadata: which information the outputs keep. Without any, nothing is copied.
        source: the folder, or the archive; links that lead out of it are not followed.
        output: folder of the outputs; what lies in it is not copied again.
        is_anonymous: outputs have pseudonyms, so nothing is copied.
    """
    others, top, there = list(others), os.path.realpath(source), os.path.realpath(output)
    sets = sorted(
        {one.name.removesuffix(DESCRIPTION) for one in others if _last(one.name) == DESCRIPTION}
    )
    chosen = Chosen([], [], [], {}, sets)
    for scan in scans:
        files = [PassedOver(scan.label, "", "", i.path, i.member) for i in scan.items]
        if scan.series is None and _is_within(scan.name, sets, _AS_THEY_ARE):
            folder = scan.name.rpartition("/")[0]
            name = f"{folder}/{scan.places[0].name}"
            others.append(
                PassedOver(name, "images of code and stimuli", "", files[0].path, files[0].member)
            )
        else:
            chosen.scans.append(scan)
    for one in others:
        if one.path is None or not _is_sidecar(one, sets) or _lies_in(one.path, there):
            chosen.passed.append(one)
            continue
        item = Item(one.path, one.member)
        reason = _reason(one.name, item, metadata, top, is_anonymous)
        if reason is None:
            chosen.sidecars.append(SideCar(one.name, item))
        else:
            chosen.left_out.setdefault(reason, []).append("" if is_anonymous else one.name)
    chosen.sidecars.sort(key=lambda one: one.name)
    return chosen


def _is_sidecar(one: PassedOver, sets: list[str]) -> bool:
    last = _last(one.name)
    if one.kind in _NEVER or not is_plain(one.name):
        return False
    if last.lower().endswith(_SUFFIXES) or _NAMES.fullmatch(last):
        return not last.startswith(".") or last == IGNORED
    return one.kind != passed.HIDDEN and _is_within(one.name, sets)


def _is_within(name: str, sets: list[str], folders: tuple[str, ...] = ("",)) -> bool:
    return any(name.startswith(f"{one}{folder}") for one in sets for folder in folders)


def _lies_in(path: Path, folder: str) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(folder)


def _reason(
    name: str, item: Item, metadata: KeptMetadata, top: str, is_anonymous: bool
) -> str | None:
    """Return why a side-car is left out, or None."""
    if is_anonymous:
        return ANONYMOUS
    if metadata is Metadata.NONE:
        return DROPPED
    if is_ours(name):
        return OUR_NAMES
    if not _lies_in(item.path, top):
        return LINKS
    is_json = name.lower().endswith(".json")
    moves_dates = isinstance(metadata, Deidentification) and metadata.date_key is not None
    is_searched = is_json or (moves_dates and name.lower().endswith(".tsv"))
    if metadata is Metadata.ALL or not is_searched:
        return None
    text = _text_of(item)
    if text is None:
        return TOO_LARGE
    if is_json and _IDENTITY.search(text):
        return IDENTITY
    return DATES if moves_dates and _DATE.search(text) else None


def _text_of(item: Item) -> bytes | None:
    """Return the text of a side-car as UTF-8; None where it is too large."""
    try:
        if item.nbytes > _MOST_BYTES:  # before a member of an archive is unpacked
            return None
        with item.open() as stream:
            return _plain_text(stream.read(_MOST_BYTES))
    except (OSError, DeepSTDError):
        return b""  # copying it fails, with a message


def _plain_text(data: bytes) -> bytes:
    """Return text as UTF-8, from any encoding of JSON and without escapes, also where damaged."""
    text = data.decode(json.detect_encoding(data), errors="replace")
    text = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)
    return text.encode("utf-8", errors="replace")


def _last(name: str) -> str:
    return PurePosixPath(name).name
