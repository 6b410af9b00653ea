"""The paper's measures of a data set, beside the paper's own figures.

name, folder ─ test scans ─ resampled where the protocol says so ─▶ files for `compare`
rows ─ means ─▶ Measure: ours at each ratio, the paper's and where it states it
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deepstd import datasets, io
from deepstd.datasets import Figure
from deepstd.errors import InputError
from deepstd.evaluate.rows import Row
from deepstd.evaluate.tables import unique
from deepstd.progress import ShowShare

_SCANS = "scans"  # folder of resampled scans
_HU = "HU"


@dataclass(frozen=True)
class Measure:
    """A measure of the paper.

    Attributes:
        key: name in `datasets.PaperFigures.figures`.
        title: name and unit.
        ours: mean over the scans by ratio, such as "256×"; None where it cannot be told.
        paper: the paper's figure, or None.
    """

    key: str
    title: str
    ours: dict[str, float | None]
    paper: Figure | None


def ratio_of(name: str) -> int:
    """Return the compression ratio of the paper for a data set.

    Raises:
        InputError: the paper compresses no scan of it.
    """
    found = datasets.PAPER[name]
    if found.ratio is None:
        raise InputError(f"the paper states no ratio for {name} ({found.remark}): give --ratios")
    return found.ratio


def scans_to_test(
    name: str,
    folder: Path,
    output: Path,
    *,
    most: int | None = None,
    progress: ShowShare = lambda text, share: None,
) -> tuple[list[Path], tuple[str, ...]]:
    """Return the files of a protocol's test scans, and remarks on the data set.

    Scans that the protocol resamples are written below ``output``, once.

    Args:
        name: key of `datasets.LAYOUTS`.
        folder: folder of the data set.
        output: folder of the results.
        most: largest number of scans; the first ones in the protocol's order.
        progress: called with a sentence and the share done.

    Raises:
        InputError: the folder holds no test scan of the data set, or a scan cannot be read.
    """
    selection = datasets.find(name, folder)
    items = selection.of(datasets.TEST)[:most]
    if not items:
        remarks = "; ".join(selection.remarks)
        raise InputError(f"{folder}: no test scan of {name} ({remarks})")
    if datasets.layout_named(name).spacing is None:
        return [item.path for item in items], selection.remarks
    made = output / _SCANS
    made.mkdir(parents=True, exist_ok=True)
    files = []
    for number, item in enumerate(items):
        place = made / f"{name}-{item.patient}.nii.gz"
        if not place.is_file():
            progress(f"{item.name}: resampling", number / len(items))
            io.write(datasets.read(name, item), place)
        files.append(place)
    return files, selection.remarks


def measures(name: str, rows: Sequence[Row]) -> list[Measure]:
    """Return the paper's measures of a data set, means over the scans of the rows.

    Args:
        name: key of `datasets.PAPER`.
        rows: results of DeepSTD.
    """
    done = [row for row in rows if row.nbytes is not None]
    targets = unique(row.target for row in done)
    known = datasets.PAPER[name].figures
    found = []
    for key, (title, value) in _MEASURES.items():
        ours = {
            target: _mean(value(row) for row in done if row.target == target) for target in targets
        }
        found.append(Measure(key, title, ours, known.get(key)))
    return found


def as_json(name: str, found: Sequence[Measure]) -> dict[str, Any]:
    """Return the measures as plain values."""
    paper = datasets.PAPER[name]
    return {
        "protocol": name,
        "paper_ratio": paper.ratio,
        "remark": paper.remark,
        "measures": [asdict(measure) for measure in found],
    }


def _mean(values: Iterable[float | None]) -> float | None:
    """Return the mean of the finite values; None without any."""
    finite = [value for value in values if value is not None and math.isfinite(value)]
    return float(np.mean(finite)) if finite else None


def _mae(row: Row) -> float | None:
    """Return the mean absolute error where it is in HU: other units mean nothing across scans."""
    return row.mae if f"[{_HU}" in row.definitions.get("mae", "") else None


def _overlap(figure: str, factor: float = 1.0) -> Callable[[Row], float | None]:
    def mean_of(row: Row) -> float | None:
        value = _mean(label.get(figure) for label in row.overlaps.values())
        return None if value is None else factor * value

    return mean_of


def _per_second(count: str) -> Callable[[Row], float | None]:
    def speed(row: Row) -> float | None:
        amount: int | None = getattr(row, count)
        return amount / row.encode_s if amount and row.encode_s else None

    return speed


_MEASURES: dict[str, tuple[str, Callable[[Row], float | None]]] = {
    "mae": ("MAE, HU", _mae),
    "ssim": ("SSIM", lambda row: row.ssim),
    "dice": ("Dice, %", _overlap("dice", 100.0)),
    "hd95": ("HD95, mm", _overlap("hd95")),
    "voxels_per_second": ("voxels encoded a second", _per_second("voxels")),
    "bytes_per_second": ("bytes encoded a second", _per_second("stored_bytes")),
    "encode_s": ("seconds to encode", lambda row: row.encode_s),
    "bytes": ("bytes of a file", lambda row: None if row.nbytes is None else float(row.nbytes)),
    "ratio": ("ratio reached", lambda row: row.ratio),
}
