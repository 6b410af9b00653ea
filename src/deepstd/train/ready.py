"""Scans made ready for training: registered to the template, and as examples.

scans ─ in an order of chance ─ register, some at a time ─▶ fields, as many as there is time for
scans, fields ─ warp the template, fit the scaling ─▶ examples, as many as there is time for
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from deepstd.shape.model import FieldCode, ShapeModel
from deepstd.shape.register import ShapeReport, register_all
from deepstd.train.budget import REGISTRATION_SHARE, Budget
from deepstd.train.cache import CachedScan
from deepstd.train.data import Example, slices_of

_FIRST_REGISTERED, _REGISTERED_AT_ONCE = 4, 32
# Registering some scans at once takes about as long as so many more of them would, each alone.
_OVERHEAD = 4
# For each scan to validate with, so many to train on are registered before it.
_TRAINED_BEFORE = 4
# Of fewer there would be little to learn: others are added, laid by their headers alone.
_FEWEST = 16
Report = Callable[[str, float], None]


def of_kind(
    scans: Sequence[CachedScan], ndim: int, split: str, fewest: int = 1
) -> list[CachedScan]:
    """Scans of a number of axes, with so many voxels along each of them."""
    alike = [s for s in scans if s.voxels.ndim == ndim and s.split == split]
    return [s for s in alike if min(s.voxels.shape) >= fewest]


def by_chance(scans: Sequence[CachedScan], seed: int) -> list[CachedScan]:
    """Scans in an order of chance, every source folder among the first."""
    order = np.random.default_rng(seed).permutation(len(scans))
    return from_every_source([scans[n] for n in order])


def from_every_source(scans: Sequence[CachedScan]) -> list[CachedScan]:
    """Scans in such an order that every source folder is among the first."""
    seen: Counter[int] = Counter()
    ranks = []
    for scan in scans:
        ranks.append(seen[scan.source])
        seen[scan.source] += 1
    return [scans[n] for n in np.argsort(ranks, kind="stable")]


def interleaved(chosen: Sequence[CachedScan], checked: Sequence[CachedScan]) -> list[CachedScan]:
    """Scans to train on in their order, with those to validate with among them."""
    ordered: list[CachedScan] = []
    for number, scan in enumerate(checked):
        ordered += [*chosen[number * _TRAINED_BEFORE : (number + 1) * _TRAINED_BEFORE], scan]
    return ordered + list(chosen[len(checked) * _TRAINED_BEFORE :])


def with_fields(scans: Sequence[CachedScan], fields: Mapping[str, FieldCode]) -> list[CachedScan]:
    """Scans that have a field; where these are few, others as well."""
    registered = [scan for scan in scans if scan.key in fields]
    others = [scan for scan in scans if scan.key not in fields]
    return registered + others[: max(_FEWEST - len(registered), 0)]


def register_within(
    scans: Sequence[CachedScan],
    shape: ShapeModel,
    fields: dict[str, FieldCode],
    budget: Budget,
    report: Report,
) -> None:
    """Fit fields that a checkpoint does not have yet, as many as there is time for.

    Args:
        scans: in the order in which they are wanted.
        shape: the template and shape model.
        fields: by the scan's key; those found are added.
        budget: of the run.
        report: called with a sentence and the share done.
    """
    missing = [scan for scan in scans if scan.key not in fields]
    until = time.monotonic() + REGISTRATION_SHARE * budget.total
    first, count = 0, _FIRST_REGISTERED
    while first < len(missing):
        some = missing[first : first + count]
        began = time.monotonic()
        volumes = [scan.voxels.astype(np.float32) for scan in some]
        found = register_all(volumes, [scan.affine for scan in some], shape)
        fields.update({scan.key: code for scan, (code, _) in zip(some, found, strict=True)})
        first += len(some)
        report(_told([one for _, one in found], first, len(missing)), 0.0)
        now = time.monotonic()
        a_scan = max(now - began, 1e-9) / (len(some) + _OVERHEAD)
        count = min(_REGISTERED_AT_ONCE, int((until - now) / a_scan) - _OVERHEAD)
        if count < 1:
            break
    if first < len(missing):
        report(f"the time is enough to register {first} of {len(missing)} scans", 0.0)


def slices_from(volumes: Iterable[Example], *, every: bool) -> list[Example]:
    """Slices of volumes, of sources of their own; the middle one of each if not every one."""
    slices = []
    for volume in volumes:
        own = slices_of(replace(volume, source=~volume.source))
        slices.extend(own if every else own[len(own) // 2 :][:1])
    return slices


def _told(found: Sequence[ShapeReport], done: int, wanted: int) -> str:
    """A sentence on the scans registered last."""
    return (
        f"registered {done} of {wanted} scans: correlation "
        f"{np.mean([r.ncc_before for r in found]):.3f} -> "
        f"{np.mean([r.ncc_after for r in found]):.3f}, cycle error "
        f"{np.mean([r.cycle_error_voxels for r in found]):.2f} voxels, folding "
        f"{np.mean([r.folding_percent for r in found]):.3f} %, {found[0].seconds:.2f} s a scan"
    )
