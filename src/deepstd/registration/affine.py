"""Affine registration of two scans.

    views ─ coarsest: headers, centres of mass, a lattice of shifts ─▶ best few starts
      ─ Gauss-Newton on NCC: shift ─ similarity ─ affine ─▶ good enough?
      └ no: repeat with 90° rotations, as headers may have lost the orientation
      ─ coarse to fine ─▶ matrix, offset

The map is q ↦ matrix · q + offset in field coordinates, from the fixed to the moving scan, relative
to the headers. Normalised cross-correlation (NCC) is maximised as a least-squares problem: both
scans have mean 0 and variance 1 in their overlap (Evangelidis and Psarakis 2008). A prior holds the
affine map near the similarity that it starts from: a scan of a few slices determines no more.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from deepstd.registration.view import View
from deepstd.resampling import resample

# Voxel sizes in field coordinates: 16, 32 and 64 voxels along the longest axis.
_SIZES = (2 / 16, 2 / 32, 2 / 64)
_POINTS = 1 << 13  # fixed voxels compared, at most
_STEPS = 20  # of Gauss-Newton
# Starts refined by a shift, and of these the ones refined to a similarity and an affine map.
_STARTS, _FINALISTS = 3, 2
_TURNED_STARTS, _TURNED_FINALISTS = 12, 4
# Scans of one body part in the right orientation exceed this score after the affine stage.
_POOR = 0.45
# Smallest ratio of two extents whose axes a rotation may exchange.
_ALIKE = 0.5
_SHIFTS = 4  # lattice shifts along each axis
_DAMPING = 1e-3  # initial ridge, relative to the diagonal (Levenberg-Marquardt)
_FEWEST_POINTS = 16  # points in the overlap of two scans
_ENOUGH = 2e-5  # gain of correlation below which the iteration ends
# Weak, except along an axis a tenth as long as the longest: there a change by a tenth of the
# extent costs 0.005 of correlation.
_PRIOR = 0.01
_KEPT_OVERLAP = 0.8  # share of the initial overlap below which a map is penalised


@dataclass(frozen=True, eq=False)
class _Overlap:
    """Fit of two views in their overlap.

    Attributes:
        ncc: normalised cross-correlation in the overlap, −1 to 1.
        share: covered share of the fixed points, relative to the largest share possible.
    """

    ncc: float
    share: float

    @property
    def score(self) -> float:
        """NCC weighted by the overlap, as a small overlap may fit well by chance."""
        return self.ncc * min(1.0, self.share) if self.ncc > 0 else self.ncc


def align_affine(
    fixed: View, moving: View, starts: Sequence[Tensor], generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Find the affine map from a fixed to a moving scan.

    Args:
        fixed, moving: views of the scans.
        starts: (ndim,) shifts from the headers, in field coordinates.
        generator: source of the random numbers that choose points.

    Returns:
        Matrix (ndim, ndim) and offset (ndim,), in field coordinates.
    """
    coarse = _Fit(fixed.coarser(_SIZES[0]), moving.coarser(_SIZES[0]), generator)
    eye = torch.eye(len(fixed.offset))
    shifts = [*starts, *_lattice(coarse)]
    best = _searched(coarse, [eye], shifts, _STARTS, _FINALISTS)
    if coarse.overlap(*best).score < _POOR:
        turned = _searched(coarse, _turns(coarse), shifts, _TURNED_STARTS, _TURNED_FINALISTS)
        best = turned if coarse.overlap(*turned).score >= _POOR else best
    for size in _SIZES[1:]:
        fine = _Fit(fixed.coarser(size), moving.coarser(size), generator)
        best = fine.refine(*best, "affine")
        if fine.fixed is fixed and fine.moving is moving:
            break
    return best


def _searched(
    coarse: _Fit, turns: Sequence[Tensor], shifts: Sequence[Tensor], count: int, finalists: int
) -> tuple[Tensor, Tensor]:
    """Refine the best starts and return the best map.

    Args:
        coarse: fit at the coarsest resolution.
        turns: (ndim, ndim) rotations to start from.
        shifts: (ndim,) shifts to combine with each rotation.
        count: starts refined by a shift.
        finalists: maps refined to a similarity and an affine map.
    """

    def best_first(maps: Sequence[tuple[Tensor, Tensor]]) -> list[tuple[Tensor, Tensor]]:
        return sorted(maps, key=lambda map_: -coarse.overlap(*map_).score)

    maps = [(turn, _mass_shift(coarse.fixed, coarse.moving, turn)) for turn in turns]
    maps += [(turn, shift) for turn in turns for shift in shifts]
    found = [coarse.refine(*map_, "shift") for map_ in best_first(maps)[:count]]
    found = [coarse.refine(*map_, "similarity") for map_ in best_first(found)[:finalists]]
    return best_first([coarse.refine(*map_, "affine") for map_ in found])[0]


def _turns(fit: _Fit) -> list[Tensor]:
    """Return the 90° rotations that map axes to axes of similar length, without the identity."""
    extents = fit.q.abs().amax(0)
    ndim = len(extents)
    found = []
    for order in itertools.permutations(range(ndim)):
        if any(extents[a] < _ALIKE * extents[b] for a, b in enumerate(order)):
            continue
        for signs in itertools.product((1.0, -1.0), repeat=ndim):
            turn = torch.zeros(ndim, ndim)
            turn[range(ndim), order] = torch.tensor(signs)
            if torch.linalg.det(turn) > 0:
                found.append(turn)
    return [turn for turn in found if not torch.equal(turn, torch.eye(ndim))]


class _Fit:
    """Gauss-Newton optimiser on the points of one resolution."""

    def __init__(self, fixed: View, moving: View, generator: torch.Generator) -> None:
        self.fixed, self.moving = fixed, moving
        voxels = fixed.voxels
        if len(voxels) > _POINTS:
            voxels = voxels[torch.randperm(len(voxels), generator=generator)[:_POINTS]]
        self.q, self.here = fixed.coordinates(voxels), fixed.values(voxels)
        value, mask = moving.image[0]
        axes = [a for a, n in enumerate(value.shape) if n > 1]
        slopes = torch.zeros(value.ndim, *value.shape)
        for axis, slope in zip(axes, torch.gradient(value, dim=axes), strict=True):
            slopes[axis] = slope * (mask > 0.99)
        self.slopes = slopes[None]
        extents = self.q.square().mean(0).clamp_min(1e-9)
        thin = extents.max() / torch.minimum(extents[:, None], extents)
        precision = _PRIOR * thin * extents / extents[:, None]
        self.precision = functional.pad(precision, (0, 1)).flatten().double()
        ours = abs(float(torch.linalg.det(fixed.matrix))) / len(fixed.voxels)
        theirs = abs(float(torch.linalg.det(moving.matrix))) / max(1, len(moving.voxels))
        self.possible = min(1.0, ours / theirs)
        self.bases = {
            kind: basis.flatten(1) for kind, basis in _bases(fixed.matrix.shape[0]).items()
        }

    def overlap(self, matrix: Tensor, offset: Tensor) -> _Overlap:
        """Measure the fit of the views under a map."""
        there, inside = self.moving.at(self.q @ matrix.T + offset)
        keep = inside.bool()
        share = float(inside.mean()) / self.possible
        if int(keep.sum()) < _FEWEST_POINTS:
            return _Overlap(-1.0, 0.0)
        a, b = _standard(there[keep]), _standard(self.here[keep])
        return _Overlap(float((a * b).mean()), share)

    def refine(self, matrix: Tensor, offset: Tensor, kind: str) -> tuple[Tensor, Tensor]:
        """Improve a map within its kind: "shift", "similarity" or "affine"."""
        basis, damping = self.bases[kind], _DAMPING
        start, share = matrix, self.overlap(matrix, offset).share
        precision = self.precision if kind == "affine" else torch.zeros_like(self.precision)

        def score_of(matrix: Tensor, offset: Tensor) -> float:
            overlap = self.overlap(matrix, offset)
            kept = overlap.share / max(_KEPT_OVERLAP * share, 1e-6)
            moved = _columns(matrix - start, offset)
            doubt = float((precision * moved.square()).sum()) / 2
            return overlap.ncc - max(0.0, 1.0 - kept) - doubt

        score = score_of(matrix, offset)
        for _ in range(_STEPS):
            normal, right = self._equations(matrix, offset, basis)
            weights = precision * len(self.q)
            normal = normal + basis.double() @ torch.diag(weights) @ basis.double().T
            right = right - basis.double() @ (weights * _columns(matrix - start, offset))
            if not float(normal.diagonal().mean()) > 0:
                break  # the overlap is small, or without contrast in one of the scans
            gained = -1.0
            for _ in range(4):
                ridge = damping * (normal.diagonal() + normal.diagonal().mean() * 1e-3)
                change = torch.linalg.solve(normal + torch.diag(ridge), right).float() @ basis
                change = change.reshape(matrix.shape[0], -1)
                trial = matrix + change[:, :-1], offset + change[:, -1]
                new = score_of(*trial)
                if new > score:
                    (matrix, offset), gained, score = trial, new - score, new
                    damping = max(damping / 4, 1e-6)
                    break
                damping = damping * 8
            if gained < _ENOUGH:
                break
        return matrix, offset

    def _equations(self, matrix: Tensor, offset: Tensor, basis: Tensor) -> tuple[Tensor, Tensor]:
        """Return matrix and right side of the normal equations, float64, for a basis of changes."""
        q = self.q @ matrix.T + offset
        there, inside = self.moving.at(q)
        keep = inside.bool()
        if int(keep.sum()) < _FEWEST_POINTS:
            empty = torch.zeros(len(basis), dtype=torch.float64)
            return torch.diag(empty), empty
        at = (q[keep] @ self.moving.matrix.T + self.moving.offset)[None]
        slopes = resample(self.slopes, at, "border")[0].T @ self.moving.matrix
        there, here = there[keep], self.here[keep]
        spread = there.std(correction=0).clamp_min(1e-6)
        one = torch.ones(len(slopes), 1)
        design = slopes[:, :, None] * torch.cat([self.q[keep], one], 1)[:, None]
        design = (design.flatten(1) @ basis.T / spread).double()
        design = design - design.mean(0)
        a, b = _standard(there).double(), _standard(here).double()
        design = design - a[:, None] * (a @ design / len(a))
        return design.T @ design, design.T @ (b - a)


def _columns(matrix: Tensor, offset: Tensor) -> Tensor:
    """Return the elements of a map in the order of the bases, float64."""
    return torch.cat([matrix, offset[:, None]], 1).flatten().double()


def _standard(values: Tensor) -> Tensor:
    return (values - values.mean()) / values.std(correction=0).clamp_min(1e-6)


def _bases(ndim: int) -> dict[str, Tensor]:
    """Return the basis of each kind of refinement: changes of a map, (n, ndim, ndim + 1)."""
    unit = torch.eye(ndim * (ndim + 1)).reshape(-1, ndim, ndim + 1)
    shifts = [m for m in unit if m[:, -1].any()]
    turns = []
    for i, j in itertools.combinations(range(ndim), 2):
        turn = torch.zeros(ndim, ndim + 1)
        turn[i, j], turn[j, i] = 1, -1
        turns.append(turn)
    scale = torch.cat([torch.eye(ndim), torch.zeros(ndim, 1)], 1)
    return {
        "shift": torch.stack(shifts),
        "similarity": torch.stack([*shifts, *turns, scale]),
        "affine": unit,
    }


def _mass_shift(fixed: View, moving: View, turn: Tensor) -> Tensor:
    """Return the shift between the centres of mass after a rotation, (ndim,)."""
    centres = []
    for view in (fixed, moving):
        values = view.values(view.voxels)
        weight = values - values.min()
        centres.append((weight[:, None] * view.coordinates(view.voxels)).sum(0) / weight.sum())
    return centres[1] - turn @ centres[0]


def _lattice(fit: _Fit) -> list[Tensor]:
    """Return a lattice of shifts, each of which centres another part of the moving scan."""
    corners = fit.moving.coordinates(fit.moving.voxels)
    low, high = corners.amin(0), corners.amax(0)
    inner = torch.linspace(-0.5, 0.5, _SHIFTS + 2)[1:-1]
    axes = [(a + b) / 2 + (b - a) * inner for a, b in zip(low, high, strict=True)]
    return list(torch.cartesian_prod(*axes))
