"""Registration of any scan to any other: an affine stage, then a cycle-consistent pair of fields.

    headers ─ base map ─▶ views at half resolution ─ align_affine ─ fit_fields ─▶ PairTransform
                                                                    └─▶ PairReport

`register` fits a code of a few bytes to a bundle's template; this one spends what accuracy asks.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from deepstd.geometry import base_map
from deepstd.registration.affine import align_affine
from deepstd.registration.cycle import CycleFields, CycleSettings, fit_fields
from deepstd.registration.report import PairReport
from deepstd.registration.transform import Grid, PairTransform
from deepstd.registration.view import View, view_of
from deepstd.shape.similarity import correlation
from deepstd.shape.siren import BACKWARD, FORWARD, Trunk, determinants

_LONGEST_VIEW = 128
_LONGEST_WHOLE = 64
_MEASURED = 1 << 13


@dataclass(frozen=True)
class PairSettings:
    """How two scans are registered; what is not the default serves comparisons.

    Attributes:
        cycle: of the fields.
        coarser: size of the voxels that are compared, in voxels of the fixed scan. None for 2 as
            in the paper, but 1 where the fixed scan has at most 64 along its longest axis, and more
            where 2 would leave more than 128.
        affine_only: whether to stop after the affine stage.
    """

    cycle: CycleSettings = field(default_factory=CycleSettings)
    coarser: int | None = None
    affine_only: bool = False


def register_pair(
    moving: np.ndarray,
    moving_affine: np.ndarray | None,
    fixed: np.ndarray,
    fixed_affine: np.ndarray | None,
    settings: PairSettings | None = None,
    start: Trunk | None = None,
) -> tuple[PairTransform, PairReport]:
    """Find where each point of one scan lies in another.

    Args:
        moving: 2 or 3 axes, any real type; what is not finite is not part of the scan.
        moving_affine: its (4, 4) voxel-to-world matrix, or None.
        fixed: as many axes.
        fixed_affine: its (4, 4) voxel-to-world matrix, or None.
        settings: None for the usual.
        start: hidden layers of fields that were learned on the fixed scan, to start from.

    Raises:
        GeometryError: the scans cannot be laid on each other.
        InputError: there is nothing to see in one of them.
    """
    began = time.monotonic()
    settings = settings or PairSettings()
    fixed_grid, moving_grid = Grid(fixed.shape, fixed_affine), Grid(moving.shape, moving_affine)
    start_map = laid_by_headers(fixed_grid, moving_grid).to_moving
    frame = _homogeneous(np.diag(fixed_grid.reach), fixed_grid.centre)
    size = _view_size(fixed_grid, settings.coarser)
    views = (
        view_of(fixed, *_parts(frame), size),
        view_of(moving, *_parts(start_map), size),
    )
    before = _ncc(*views, None)
    generator = torch.Generator().manual_seed(0)
    starts = _starts(fixed_grid, moving_grid, start_map)
    matrix, offset = align_affine(*views, starts, generator)
    affine = _homogeneous(matrix.numpy(), offset.numpy())
    laid = views[0], views[1].moved(matrix, offset)
    fields = None
    if not settings.affine_only:
        limit = torch.tensor(fixed.shape) / 2 / torch.from_numpy(fixed_grid.reach).float()
        fields = fit_fields(*laid, limit, settings.cycle, start)
    transform = PairTransform(fixed_grid, moving_grid, start_map @ affine, fields)
    cycle, folding = (0.0, 0.0) if fields is None else _regularity(fields, laid[0], fixed_grid)
    report = PairReport(
        ncc_before=before,
        ncc_affine=_ncc(*laid, None),
        ncc_after=_ncc(*laid, fields),
        cycle_error_voxels=cycle,
        folding_percent=folding,
        omega=None if fields is None else fields.omega,
        parameters=affine[:-1].size + (0 if fields is None else fields.parameters),
        seconds=time.monotonic() - began,
    )
    return transform, report


def laid_by_headers(fixed: Grid, moving: Grid) -> PairTransform:
    """Where two scans lie in each other by their headers alone.

    Raises:
        GeometryError: the scans cannot be laid on each other.
    """
    placement = base_map(moving.shape, moving.affine, fixed.shape, fixed.affine)
    base = np.linalg.inv(_homogeneous(*placement.as_float()))
    frame = _homogeneous(np.diag(fixed.reach), fixed.centre)
    return PairTransform(fixed, moving, base @ frame, None)


def _view_size(fixed: Grid, coarser: int | None) -> float:
    """Size of a view's voxels in field coordinates."""
    finest = 1 / float(fixed.reach.max())
    if coarser is not None:
        return finest * coarser
    size = finest * (1 if max(fixed.shape) <= _LONGEST_WHOLE else 2)
    while 2 / size > _LONGEST_VIEW:
        size += finest
    return size


def _starts(fixed: Grid, moving: Grid, base: np.ndarray) -> list[Tensor]:
    """Shifts in field coordinates by which the scans may lie on each other."""
    ndim = len(fixed.shape)
    shifts = [np.zeros(ndim)]
    if fixed.affine is not None and moving.affine is not None:
        # Where the headers' worlds are one, the centre of the fixed scan lies here in the moving.
        there = moving.voxels(fixed.world(fixed.centre[None]))[0]
        shifts.append(np.linalg.solve(base[:-1, :-1], there - base[:-1, -1]))
    return [torch.from_numpy(shift).float() for shift in shifts]


@torch.no_grad()
def _ncc(fixed: View, moving: View, fields: CycleFields | None) -> float:
    """Correlation of the scans where they overlap."""
    voxels = fixed.voxels[:: max(1, len(fixed.voxels) // _MEASURED)]
    q = fixed.coordinates(voxels)
    if fields is not None:
        q = q + fields.displacement(FORWARD, q)
    there, inside = moving.at(q)
    return float(correlation(there[None], fixed.values(voxels)[None], inside[None])[0])


@torch.no_grad()
def _regularity(fields: CycleFields, fixed: View, grid: Grid) -> tuple[float, float]:
    """Mean cycle error in fixed voxels, and how many percent of the fixed scan fold."""
    q = fixed.coordinates(fixed.voxels[:: max(1, len(fixed.voxels) // _MEASURED)])
    y = q + fields.displacement(FORWARD, q)
    missed = y + fields.displacement(BACKWARD, y) - q
    reach = torch.from_numpy(grid.reach).float()
    slopes = fields.trunk.slopes(q[None], fields.omega)
    folded = determinants(slopes, fields.heads)[FORWARD] <= 0
    return float((missed * reach).norm(dim=-1).mean()), 100 * float(folded.float().mean())


def _homogeneous(matrix: np.ndarray, offset: np.ndarray) -> np.ndarray:
    result = np.eye(len(offset) + 1)
    result[:-1, :-1], result[:-1, -1] = matrix, offset
    return result


def _parts(homogeneous: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return homogeneous[:-1, :-1], homogeneous[:-1, -1]
