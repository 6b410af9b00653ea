"""Preparation of scans for training: order, registration to the template, slices.

scans ─ random order ─ register in batches, within the budget ─▶ fields
scans, fields ─ warp the template, fit the scaling, within the budget ─▶ examples
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

_FIRST_REGISTERED, _REGISTERED_AT_ONCE = 4, 32  # scans in the first and in the largest batch
# Fixed time of a batch of registrations, in scans.
_OVERHEAD = 4
# Training scans registered before each validation scan.
_TRAINED_BEFORE = 4
# Fewest scans to learn from; scans without a field fill up, aligned by their headers alone.
_FEWEST = 16
Report = Callable[[str, float], None]


def of_kind(
    scans: Sequence[CachedScan], ndim: int, split: str, fewest: int = 1
) -> list[CachedScan]:
    """Return the scans of a split with ``ndim`` axes of at least ``fewest`` voxels."""
    alike = [s for s in scans if s.voxels.ndim == ndim and s.split == split]
    return [s for s in alike if min(s.voxels.shape) >= fewest]


def by_chance(scans: Sequence[CachedScan], seed: int) -> list[CachedScan]:
    """Return scans in random order, taking the source folders in turn."""
    order = np.random.default_rng(seed).permutation(len(scans))
    return from_every_source([scans[n] for n in order])


def from_every_source(scans: Sequence[CachedScan]) -> list[CachedScan]:
    """Return scans with the source folders taken in turn."""
    seen: Counter[int] = Counter()
    ranks = []
    for scan in scans:
        ranks.append(seen[scan.source])
        seen[scan.source] += 1
    return [scans[n] for n in np.argsort(ranks, kind="stable")]


def interleaved(chosen: Sequence[CachedScan], checked: Sequence[CachedScan]) -> list[CachedScan]:
    """Merge training and validation scans, four training scans before each validation scan."""
    ordered: list[CachedScan] = []
    for number, scan in enumerate(checked):
        ordered += [*chosen[number * _TRAINED_BEFORE : (number + 1) * _TRAINED_BEFORE], scan]
    return ordered + list(chosen[len(checked) * _TRAINED_BEFORE :])


def with_fields(scans: Sequence[CachedScan], fields: Mapping[str, FieldCode]) -> list[CachedScan]:
    """Return the scans that have a field, filled up with others to at least 16."""
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
    """Fit missing fields of scans, within the budget's share for registration.

    Args:
        scans: scans in the order of registration.
        shape: template and shape model.
        fields: fields by the scan's key; new fields are added.
        budget: time of the run.
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
        report(_summary([one for _, one in found], first, len(missing)), 0.0)
        now = time.monotonic()
        a_scan = max(now - began, 1e-9) / (len(some) + _OVERHEAD)
        count = min(_REGISTERED_AT_ONCE, int((until - now) / a_scan) - _OVERHEAD)
        if count < 1:
            break
    if first < len(missing):
        report(f"the time is enough to register {first} of {len(missing)} scans", 0.0)


def slices_from(volumes: Iterable[Example], *, every: bool) -> list[Example]:
    """Return the slices of volumes as images, with a source of their own.

    Args:
        volumes: examples of 3 axes.
        every: True for all slices, False for the middle one of each volume.
    """
    slices = []
    for volume in volumes:
        own = slices_of(replace(volume, source=~volume.source))
        slices.extend(own if every else own[len(own) // 2 :][:1])
    return slices


def _summary(found: Sequence[ShapeReport], done: int, wanted: int) -> str:
    """Return a sentence about the latest batch of registrations."""
    return (
        f"registered {done} of {wanted} scans: correlation "
        f"{np.mean([r.ncc_before for r in found]):.3f} -> "
        f"{np.mean([r.ncc_after for r in found]):.3f}, cycle error "
        f"{np.mean([r.cycle_error_voxels for r in found]):.2f} voxels, folding "
        f"{np.mean([r.folding_percent for r in found]):.3f} %, {found[0].seconds:.2f} s a scan"
    )
