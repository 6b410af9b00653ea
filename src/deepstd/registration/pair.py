"""Registration of two scans: an affine stage, then a cycle-consistent pair of fields.

    headers ─ base map ─▶ views at half resolution ─ align_affine ─ fit_fields ─▶ PairTransform
                                                                    └─▶ PairReport

`deepstd.shape.register` fits a code of a few bytes to a bundle's template. `register_pair` fits all
weights, for accuracy.
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
from deepstd.shape import siren
from deepstd.shape.networks.similarity import correlation
from deepstd.shape.networks.siren import Trunk, determinants
from deepstd.shape.siren import BACKWARD, FORWARD

_LONGEST_VIEW = 128  # voxels of a view along the longest axis, at most
_LONGEST_WHOLE = 64  # longest axis of scans that keep their resolution
_MEASURED = 1 << 13  # voxels of a report's metrics, at most


@dataclass(frozen=True)
class PairSettings:
    """Settings of `register_pair`; other values than the defaults serve comparisons.

    Attributes:
        cycle: settings of the fields.
        coarser: edge of a compared voxel in fixed voxels. None chooses 2 as in the paper, 1 where
            the longest fixed axis has at most 64 voxels, and more where 2 leaves more than 128.
        affine_only: stop after the affine stage.
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
    start: siren.Trunk | None = None,
) -> tuple[PairTransform, PairReport]:
    """Register a moving scan to a fixed scan.

    Args:
        moving: scan of 2 or 3 axes, any real type; non-finite voxels are masked out.
        moving_affine: (4, 4) voxel-to-world matrix of the moving scan in mm, or None.
        fixed: scan of the same number of axes; non-finite voxels are masked out.
        fixed_affine: (4, 4) voxel-to-world matrix of the fixed scan in mm, or None.
        settings: None for the defaults.
        start: hidden layers learned on the fixed scan; None for random layers.

    Returns:
        The transform between the scans, and its measurements.

    Raises:
        GeometryError: the scans cannot be laid on each other.
        InputError: a scan is constant, or has no finite voxel.
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
        layers = None if start is None else Trunk.of_arrays(start)
        limit = torch.tensor(fixed.shape) / 2 / torch.from_numpy(fixed_grid.reach).float()
        fields = fit_fields(*laid, limit, settings.cycle, layers)
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
    """Return the transform between two scans by their headers alone.

    Args:
        fixed, moving: grids of the scans.

    Raises:
        GeometryError: the scans cannot be laid on each other.
    """
    placement = base_map(moving.shape, moving.affine, fixed.shape, fixed.affine)
    base = np.linalg.inv(_homogeneous(*placement.as_float()))
    frame = _homogeneous(np.diag(fixed.reach), fixed.centre)
    return PairTransform(fixed, moving, base @ frame, None)


def _view_size(fixed: Grid, coarser: int | None) -> float:
    """Return the voxel size of the views in field coordinates."""
    finest = 1 / float(fixed.reach.max())
    if coarser is not None:
        return finest * coarser
    size = finest * (1 if max(fixed.shape) <= _LONGEST_WHOLE else 2)
    while 2 / size > _LONGEST_VIEW:
        size += finest
    return size


def _starts(fixed: Grid, moving: Grid, base: np.ndarray) -> list[Tensor]:
    """Return shifts to start from, in field coordinates: 0, and the shift by both headers."""
    ndim = len(fixed.shape)
    shifts = [np.zeros(ndim)]
    if fixed.affine is not None and moving.affine is not None:
        # Moving voxel at the centre of the fixed scan, if both headers share one world.
        there = moving.voxels(fixed.world(fixed.centre[None]))[0]
        shifts.append(np.linalg.solve(base[:-1, :-1], there - base[:-1, -1]))
    return [torch.from_numpy(shift).float() for shift in shifts]


@torch.no_grad()
def _ncc(fixed: View, moving: View, fields: CycleFields | None) -> float:
    """Return the normalised cross-correlation in the overlap, −1 to 1."""
    voxels = fixed.voxels[:: max(1, len(fixed.voxels) // _MEASURED)]
    q = fixed.coordinates(voxels)
    if fields is not None:
        q = q + fields.displacement(FORWARD, q)
    there, inside = moving.at(q)
    return float(correlation(there[None], fixed.values(voxels)[None], inside[None])[0])


@torch.no_grad()
def _regularity(fields: CycleFields, fixed: View, grid: Grid) -> tuple[float, float]:
    """Return the mean cycle error in fixed voxels, and the folding percentage of the fixed scan."""
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
