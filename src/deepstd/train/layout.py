"""Training cache from a public data set by name.

name, folder ─ datasets.find ─▶ training scans ─ read, resample ─ special values filled ─▶ cache
                             └▶ test scans, left out; remarks
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from deepstd import datasets, io
from deepstd.datasets import Item
from deepstd.errors import DeepSTDError, InputError
from deepstd.memory import free_memory
from deepstd.train.cache import CachedScan, write_cache
from deepstd.train.prepare import Prepared, frames_of

_GIB = 1 << 30
# The cache is gathered in memory, and copied once when it is written.
_COPIES = 2


@dataclass(frozen=True)
class PreparedSet:
    """Report of `prepare_layout`.

    Attributes:
        done: counts of the cache; the protocols have no validation scans.
        tests: number of test scans, which are not in the cache.
        remarks: sentences on what is missing, unexpected or left out.
    """

    done: Prepared
    tests: int
    remarks: tuple[str, ...]


def prepare_layout(
    name: str,
    folder: Path,
    cache: Path,
    *,
    most: int | None = None,
    report: Callable[[str, float], None] | None = None,
) -> PreparedSet:
    """Read the training scans of a data set's protocol into a cache.

    Args:
        name: key of `datasets.LAYOUTS`.
        folder: folder of the data set.
        cache: folder to write.
        most: largest number of training scans; the first ones in the protocol's random order.
        report: called with a scan's name and the share done.

    Raises:
        InputError: the folder holds no scan of the data set, none can be read, or they need more
            memory than there is.
    """
    io.check_folder(cache)
    selection = datasets.find(name, folder)
    items = selection.of(datasets.TRAIN)[:most]
    _check_memory(name, items)
    scans: list[CachedScan] = []
    left_out: dict[str, str] = {}
    for number, item in enumerate(items):
        if report is not None:
            report(item.name, number / len(items))
        try:
            volume = datasets.read(name, item)
        except DeepSTDError as error:
            left_out[str(item.path)] = str(error)
            continue
        for index, frame in enumerate(frames_of(volume)):
            scans.append(
                CachedScan(item.name, item.patient, "train", frame, volume.affine, 0, index)
            )
    if not scans:
        reason = next(iter(left_out.values()), "there is no training scan")
        raise InputError(f"{folder}: no scan to train on; {reason}")
    write_cache(cache, scans)
    tests = len(selection.of(datasets.TEST))
    return PreparedSet(Prepared(len(scans), 0, left_out), tests, selection.remarks)


def _check_memory(name: str, items: Sequence[Item]) -> None:
    """Raise an InputError where the voxels of all scans do not fit into memory."""
    free = free_memory()
    if free is None:
        return
    spacing = datasets.layout_named(name).spacing
    needed = 0.0
    for item in items:
        outline = io.outline(item.path)
        share = 1.0
        if outline is None:
            continue  # told when the scan is read
        if spacing is not None and (found := io.glance(item.path).spacing) is not None:
            share = math.prod(found) / math.prod(spacing)
        needed += share * outline.nbytes
    if _COPIES * needed > free:
        fit = int(len(items) * free / (_COPIES * needed))
        raise InputError(
            f"the {len(items)} training scans need {_COPIES * needed / _GIB:.1f} GiB of memory, "
            f"{free / _GIB:.1f} GiB are free: take fewer, with --most {max(fit, 1)}"
        )
