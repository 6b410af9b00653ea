"""List of the scans in a folder, read from their headers.

    folder ─ io.survey_items ─▶ DICOM series
           └ other files ─┬ .dstd ─ read_description ─▶ compressed scans
                          ├ a format of scans ─ io.glance ─▶ scans
                          └ neither ─▶ their number

All text comes from the headers, descriptions and dates included.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from deepstd import io
from deepstd.container import Description, printable, read_description
from deepstd.container.format import SIGNATURE
from deepstd.errors import DeepSTDError
from deepstd.inspection import notes_of

_FORMATS = {
    "npy": "NumPy", "nifti1": "NIfTI", "nifti2": "NIfTI", "png": "PNG", "tiff": "TIFF",
    "nrrd": "NRRD", "metaimage": "MetaImage", "png-stack": "PNG stack", "tiff-stack": "TIFF stack",
}  # fmt: skip
_IMAGES = ("PNG", "TIF", "TIFF")
Entry = dict[str, Any]


def is_listed(place: str) -> bool:
    """Return True for a folder, and for a file of scans that are not compressed.

    A file named .dstd counts as compressed, whatever it holds. A URL is never listed.
    """
    path = Path(place)
    if not io.is_url(place) and io.array_in(path)[1]:
        return True
    if io.is_url(place) or not path.exists() or (path.is_file() and path.suffix == ".dstd"):
        return False
    if path.is_dir() or io.holds_series(place):
        return True
    named = path.name.lower().endswith(".dstd")
    return path.is_file() and not named and not _is_dstd(path) and _scan(path) is not None


def listing(place: Path) -> dict[str, Any]:
    """List the scans of a folder, an archive or a file, or the array of file::name.

    Returns:
        "series": DICOM series; "scans": files of other formats;
        "compressed": .dstd files; "refused": label to reason; "others": number of other files.
        Each entry has "path" (below the folder), "kind", "shape", "dtype", "spacing_mm",
        "description", "date" (year-month-day, or empty), "bytes" (size of its files), "notes" and
        "problem" (None for a readable file). Compressed scans have "ratio" and "bundle", too.

    Raises:
        InputError: there is no such file or folder, or an archive is damaged.
        MissingExtraError: pydicom is not installed and a file is DICOM.
    """
    file, array = io.array_in(place)
    if array:
        entry = {**_glanced(place), "path": f"{file.name}::{printable(array)}"}
        return {"series": [], "scans": [entry], "compressed": [], "refused": {}, "others": 0}
    surveyed, others = io.survey_items([place])
    root = place if place.is_dir() else place.parent
    scans, compressed, left = [], [], 0
    for item in others:
        entry = None
        if item.member is None:
            entry = _compressed(item.path) if _is_dstd(item.path) else _scan(item.path)
        elif item.path.suffix.lower() == ".npz":
            entry = _scan(Path(f"{item.path}::{item.member.removesuffix('.npy')}"))
        if entry is None:
            left += 1
            continue
        (compressed if "ratio" in entry else scans).append(entry)
    scans = _stacked(scans, [item.path for item in others], surveyed["series"])
    series = [_below({**entry, "kind": entry["modality"]}, root) for entry in surveyed["series"]]
    return {
        "series": series,
        "scans": [_below(entry, root) for entry in scans],
        "compressed": [_below(entry, root) for entry in compressed],
        "refused": surveyed["refused"],
        "others": left,
    }


def _stacked(scans: list[Entry], files: list[Path], series: list[Entry]) -> list[Entry]:
    """Replace the images of a folder by one entry, where all are equal: they may be slices."""
    taken = {Path(entry["first"]).parent for entry in series}
    folders: dict[Path, list[Entry]] = {}
    for entry in scans:
        folders.setdefault(Path(entry["path"]).parent, []).append(entry)
    found = []
    for folder, inside in folders.items():
        alike = {(entry["kind"], str(entry["shape"]), entry["dtype"]) for entry in inside}
        alone = folder not in taken and len(inside) == sum(file.parent == folder for file in files)
        first, count = inside[0], len(inside)
        shape: list[int] = first["shape"] or []
        images = first["kind"] in _IMAGES and len(shape) == 2
        if not (images and alone and len(alike) == 1 and count > 1):
            found += inside
            continue
        whole = {
            "path": str(folder),
            "kind": f"{count} {first['kind']} images",
            "shape": [*shape, count],
            "bytes": sum(entry["bytes"] for entry in inside),
        }
        found.append({**first, **whole})
    return found


def _is_dstd(path: Path) -> bool:
    try:
        with open(path, "rb") as stream:
            return stream.read(len(SIGNATURE)) == SIGNATURE
    except OSError:
        return False


def _below(entry: Entry, root: Path) -> Entry:
    """Return an entry with a path relative to a folder, and printable text."""
    path = os.path.relpath(entry["path"], root)
    words = {key: printable(entry[key]) for key in ("path", "description", "kind")}
    return {**entry, **words, "path": printable(path)}


def _blank(path: Path, kind: str) -> Entry:
    return {
        "path": str(path),
        "kind": kind,
        "shape": None,
        "dtype": None,
        "spacing_mm": None,
        "description": "",
        "date": "",
        "bytes": io.array_in(path)[0].stat().st_size,
        "notes": [],
        "problem": None,
    }


def _scan(path: Path) -> Entry | None:
    """Return the entry of a file of a known format; None for any other file."""
    try:
        return _glanced(path)
    except (DeepSTDError, OSError) as error:
        if not path.name.lower().endswith(io.SUFFIXES):
            return None
        return {**_blank(path, path.suffix[1:].upper()), "problem": str(error)}


def _glanced(path: Path) -> Entry:
    """Return the entry of a scan's file, from its header."""
    seen = io.glance(path)
    return {
        **_blank(path, seen.format),
        "shape": None if seen.shape is None else list(seen.shape),
        "dtype": None if seen.dtype is None else seen.dtype.name,
        "spacing_mm": _rounded(seen.spacing),
        "description": seen.description,
    }


def _compressed(path: Path) -> Entry:
    """Return the entry of a .dstd file, from its header."""
    blank = {**_blank(path, "dstd"), "ratio": None, "bundle": None}
    try:
        with open(path, "rb") as stream:
            description = read_description(stream, "the file")
        return {**blank, **_described(description)}
    except (DeepSTDError, OSError) as error:
        return {**blank, "problem": str(error)}


def _described(description: Description) -> Entry:
    head, source = description.head, description.source_header()
    words: Entry = {"description": io.described(source)}
    kind, spacing = _FORMATS.get(head.source_format, head.source_format), None
    if head.source_format == "dicom":
        words = io.dicom_words(source)
        kind, spacing = words.pop("modality"), words.pop("spacing_mm")
    else:
        spacing = io.spacing_of(source, len(head.shape))
    return {
        "kind": f"dstd of {kind}",
        "shape": list(head.shape),
        "dtype": head.dtype.name,
        "spacing_mm": _rounded(spacing),
        **words,
        "ratio": head.stored_bytes / description.nbytes,
        "bundle": f"{head.bundle.name} {head.bundle.version}",
        "notes": list(notes_of(description)),
    }


def _rounded(spacing: tuple[float, ...] | None) -> list[float] | None:
    return None if spacing is None else [round(x, 6) for x in spacing]
