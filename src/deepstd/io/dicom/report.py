"""Report on the series among DICOM files, made before anything is compressed.

    paths ─ find ─ arrange ─▶ one entry a series, refused objects, other files
    kept header ─▶ description and date, if kept

Paths, descriptions and dates are shown as they are, since the files are the user's own. They may
identify the patient; nothing else in the report does.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deepstd.errors import DeepSTDError
from deepstd.io.dicom.grid import arrange
from deepstd.io.dicom.header import datasets_of, facts_of
from deepstd.io.dicom.images import silenced, text
from deepstd.io.dicom.items import Item, expanded
from deepstd.io.dicom.segments import segmented
from deepstd.io.dicom.series import Series, find, reasons_of
from deepstd.io.metadata import Metadata
from deepstd.volume import SourceHeader

if TYPE_CHECKING:
    from pydicom import Dataset

_DATES = ("SeriesDate", "AcquisitionDate", "StudyDate", "ContentDate")
_DESCRIPTIONS = ("SeriesDescription", "ProtocolName", "StudyDescription")
_DATE_DIGITS = 8  # YYYYMMDD


def survey(paths: Sequence[Path]) -> dict[str, Any]:
    """Return a report on the series in files, folders and archives.

    Returns:
        "series": for each its id, modality, number of files, their folder or only file, first file,
        shape, stored type, bits, spacing in mm, photometric interpretation, transfer syntax,
        description, date, bytes, notes, and the problem that keeps it from being compressed or
        None; "refused": label to reason; "others": number of files that are not DICOM.

    Raises:
        InputError: a path does not exist, or an archive is damaged.
        MissingExtraError: pydicom is not installed.
    """
    surveyed, others = survey_items(paths)
    return {**surveyed, "others": len(others)}


def survey_items(paths: Sequence[Path]) -> tuple[dict[str, Any], list[Item]]:
    """Return "series" and "refused" of `survey`, and the files that are not DICOM.

    Raises:
        InputError: a path does not exist, or an archive is damaged.
        MissingExtraError: pydicom is not installed.
    """
    with expanded(paths) as items:
        found = find(items)
        series = [_entry(series) for series in found.series]
    return {"series": series, "refused": reasons_of(found)}, found.others


def words_of(source: SourceHeader) -> dict[str, Any]:
    """Return "modality", "spacing_mm", "description" and "date" of a kept header.

    Description and date are empty where they were not kept.

    Raises:
        InputError: the header is damaged.
    """
    facts = facts_of(source.raw)
    words = {"description": "", "date": ""}
    if facts.metadata == Metadata.ALL.value and facts.sets:
        with silenced():
            words = _words(datasets_of(source.raw)[0])
    matrix = facts.matrix
    spacing = None if matrix is None else np.linalg.norm(matrix[:3, :3], axis=0).tolist()
    return {"modality": facts.modality, "spacing_mm": spacing, **words}


def _words(dataset: Dataset) -> dict[str, str]:
    """Return the first description and date that a data set states, those of the series first."""

    def first(keywords: Sequence[str]) -> str:
        return next((told for keyword in keywords if (told := text(dataset, keyword))), "")

    date = first(_DATES)
    if len(date) == _DATE_DIGITS and date.isdigit():
        date = f"{date[:4]}-{date[4:6]}-{date[6:]}"
    return {"description": first(_DESCRIPTIONS), "date": date}


def _place(series: Series) -> str:
    """Return the path of a series: its only file, its archive, or the folder of its files."""
    if len(series.items) == 1:
        return series.items[0].label
    paths = {item.path for item in series.items}
    return str(paths.pop()) if len(paths) == 1 else os.path.commonpath([p.parent for p in paths])


def _entry(series: Series) -> dict[str, Any]:
    from pydicom.uid import UID

    image = series.image
    entry: dict[str, Any] = {
        "id": series.id,
        "modality": image.modality,
        "files": len(series.items),
        "path": _place(series),
        **_words(image.dataset),
        "bytes": sum(item.nbytes for item in series.items),
        "first": series.items[0].label,
        "shape": None,
        "dtype": ", ".join(sorted({frame.image.dtype.name for frame in series.frames})),
        "bits": max(frame.image.bits for frame in series.frames),
        "spacing_mm": None,
        "photometric": image.photometric,
        "transfer_syntax": UID(text(image.dataset.file_meta, "TransferSyntaxUID")).name,
        "notes": [],
        "problem": None,
    }
    if series.damaged:
        return {**entry, "problem": str(next(iter(series.damaged.values())))}
    try:
        shape, affine, notes = _arranged(series)
    except DeepSTDError as error:
        return {**entry, "problem": str(error)}
    quantity = [f"one of several quantities: {series.kind}"] if series.kind else []
    spacing = None
    if affine is not None:
        spacing = [round(float(s), 6) for s in np.linalg.norm(affine[:3, :3], axis=0)]
    return {**entry, "shape": list(shape), "spacing_mm": spacing, "notes": [*quantity, *notes]}


def _arranged(series: Series) -> tuple[tuple[int, ...], np.ndarray | None, tuple[str, ...]]:
    """Return shape, affine and notes of the volume of a series.

    Whether segments overlap is told by their pixels alone, so a segmentation is decoded.
    """
    if series.image.is_segmentation:
        found = segmented(series.frames)
        return found.voxels.shape, found.affine, found.notes
    grid = arrange(series.frames)
    return grid.shape, grid.affine, grid.notes
