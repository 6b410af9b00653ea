"""The known layouts by name.

name, folder ─ select ─▶ Selection        Item ─ read, resample ─▶ Volume
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from deepstd import io
from deepstd.datasets import amos, chexpert, ctspine1k, fastmri, synapse
from deepstd.datasets.resample import resampled
from deepstd.datasets.selection import Item, Selection, files_below
from deepstd.errors import InputError
from deepstd.volume import Volume

_MOST_SHOWN = 3  # files that an error names


@dataclass(frozen=True)
class Layout:
    """Folder structure of a data set, with the paper's protocol.

    Attributes:
        title: name in messages.
        expected: what a folder must hold.
        sources: where the structure is published.
        select: selects the protocol's scans below a folder.
        spacing: voxel size in mm that scans are resampled to; None to keep theirs.
    """

    title: str
    expected: str
    sources: tuple[str, ...]
    select: Callable[[Path], Selection]
    spacing: tuple[float, float, float] | None = None


LAYOUTS = {
    "ctspine1k": Layout("CTSpine1K", ctspine1k.EXPECTED, ctspine1k.SOURCES, ctspine1k.select),
    "amos": Layout("AMOS", amos.EXPECTED, amos.SOURCES, amos.select, amos.SPACING),
    "chexpert-small": Layout(
        "CheXpert-small", chexpert.EXPECTED, chexpert.SOURCES, chexpert.select
    ),
    "fastmri-brain": Layout(
        "fastMRI brain", fastmri.EXPECTED_BRAIN, fastmri.SOURCES, fastmri.select_brain
    ),
    "fastmri-knee": Layout(
        "fastMRI knee", fastmri.EXPECTED_KNEE, fastmri.SOURCES, fastmri.select_knee
    ),
    "synapse": Layout("Synapse", synapse.EXPECTED, synapse.SOURCES, synapse.select),
}


def layout_named(name: str) -> Layout:
    """Return a layout by name.

    Raises:
        InputError: there is none of that name.
    """
    if name not in LAYOUTS:
        raise InputError(f"unknown data set {name!r}: expected one of {', '.join(LAYOUTS)}")
    return LAYOUTS[name]


def find(name: str, folder: Path) -> Selection:
    """Select the scans of a data set's protocol below a folder.

    Args:
        name: key of `LAYOUTS`.
        folder: folder of the data set, or one above it.

    Raises:
        InputError: there is no such folder, or it holds no scan of the data set.
    """
    layout = layout_named(name)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    found = layout.select(folder)
    if not found.items:
        there = [str(path) for _, path in files_below(folder)]
        seen = ", ".join(there[:_MOST_SHOWN]) + (", …" if len(there) > _MOST_SHOWN else "")
        why = "".join(f"; {remark}" for remark in found.remarks)
        raise InputError(
            f"{folder}: no {layout.title} below this folder. Expected {layout.expected}; found "
            f"{seen or 'no files'}{why}"
        )
    return found


def read(name: str, item: Item) -> Volume:
    """Read a scan of a data set, resampled where its protocol says so.

    Raises:
        InputError: the scan cannot be read.
        GeometryError: it cannot be resampled.
    """
    layout = layout_named(name)
    volume = io.read(item.path)
    return volume if layout.spacing is None else resampled(volume, layout.spacing)
