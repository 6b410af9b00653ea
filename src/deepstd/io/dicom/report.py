"""The series among DICOM files, for a user to look at before anything is compressed.

paths ─ find ─ arrange ─▶ one entry a series, refused objects, number of other files

Nothing here tells who the patient is, but for the paths that the user gave.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deepstd.errors import DeepSTDError
from deepstd.io.dicom.grid import arrange
from deepstd.io.dicom.images import text
from deepstd.io.dicom.items import expanded
from deepstd.io.dicom.series import Series, find, reasons_of


def survey(paths: Sequence[Path]) -> dict[str, Any]:
    """What is among some files, folders and archives.

    Returns:
        "series": for each its id, modality, number of files, first file, shape, stored type, bits,
        spacing in mm, photometric interpretation, transfer syntax, notes, and the problem that
        keeps it from being compressed or None; "refused": label to reason; "others": number of
        files that are not DICOM.

    Raises:
        InputError: a path does not exist, or an archive is damaged.
        MissingExtraError: pydicom is not installed.
    """
    with expanded(paths) as items:
        found = find(items)
    return {
        "series": [_entry(series) for series in found.series],
        "refused": reasons_of(found),
        "others": len(found.others),
    }


def _entry(series: Series) -> dict[str, Any]:
    from pydicom.uid import UID

    image = series.image
    entry: dict[str, Any] = {
        "id": series.id,
        "modality": image.modality,
        "files": len(series.items),
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
        grid = arrange(series.frames)
    except DeepSTDError as error:
        return {**entry, "problem": str(error)}
    quantity = [f"one of several quantities: {series.kind}"] if series.kind else []
    spacing = None
    if grid.affine is not None:
        spacing = [round(float(s), 6) for s in np.linalg.norm(grid.affine[:3, :3], axis=0)]
    return {
        **entry,
        "shape": list(grid.shape),
        "spacing_mm": spacing,
        "notes": [*quantity, *grid.notes],
    }
