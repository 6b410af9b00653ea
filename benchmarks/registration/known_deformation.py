"""A full-size scan against a resampled, cropped and smoothly deformed copy of itself.

    scan ─ known affine map and waves ─▶ copy, of other size and spacing ─ register_pair ─▶ error

    python -m benchmarks.registration.known_deformation DATA/chest-ct-full [--syn] [--keep]

The truth is known everywhere, so the error is that of the field itself: in mm, and in voxels at
half the copy's resolution. --syn also measures how long `ants.registration` takes from its own
start with its defaults (pip install antspyx): some twenty minutes.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from deepstd import io
from deepstd.registration.pair import register_pair
from deepstd.registration.transform import Grid, PairTransform
from deepstd.resampling import resample

_RESULTS = Path(__file__).resolve().parents[1] / "results" / "registration-known.json"
_SPACING = (1.1, 1.1, 1.6)
_KEPT = 0.85
_WAVES_MM = 8.0
_BODY = -500


class KnownMap:
    """A smooth map of the world to itself: scaled, turned, shifted, and two waves along each axis.

    Args:
        centre: (3,) about which it turns, mm.
        extent: mm, the length of the longest wave.
        size: mm, of the waves.
    """

    def __init__(self, centre: np.ndarray, extent: float, size: float) -> None:
        rng = np.random.default_rng(0)
        self.centre, self.size = centre, size
        self.matrix = np.eye(3) + rng.uniform(-0.06, 0.06, (3, 3))
        self.shift = rng.uniform(-0.05, 0.05, 3) * extent
        self.waves = rng.normal(size=(2, 3, 3)) * 2 * np.pi / extent
        self.phases = rng.uniform(0, 2 * np.pi, (2, 3))

    def __call__(self, world: np.ndarray) -> np.ndarray:
        """(…, 3) mm to (…, 3) mm."""
        away = world - self.centre
        moved = away @ self.matrix.T + self.shift + self.centre
        for waves, phases in zip(self.waves, self.phases, strict=True):
            moved += self.size / 2 * np.sin(away @ waves.T + phases)
        return moved


def copy_of(
    scan: np.ndarray, affine: np.ndarray, spacing: tuple[float, ...], kept: float, known: KnownMap
) -> tuple[np.ndarray, Grid]:
    """The scan as a known map deforms it, on a smaller grid of another spacing.

    Args:
        scan: (I, J, K).
        affine: its voxel-to-world matrix.
        spacing: mm, of the copy.
        kept: share of each extent that the copy keeps.
        known: leads from the copy to the scan.
    """
    old = Grid(scan.shape, affine)
    scale = np.array(spacing) / np.linalg.norm(old.directions, axis=0)
    shape = tuple(int(n * kept / s) for n, s in zip(scan.shape, scale, strict=True))
    new_affine = np.eye(4)
    new_affine[:3, :3] = old.directions * scale
    corner = old.centre - (np.array(shape) - 1) / 2 * scale
    new_affine[:3, 3] = old.world(corner)
    grid = Grid(shape, new_affine)
    image = torch.from_numpy(np.ascontiguousarray(scan, np.float32))[None, None]
    copy = np.empty(shape, np.float32)
    for row in range(shape[0]):
        at = torch.from_numpy(old.voxels(known(grid.world(_row(grid, row))))).float()
        copy[row] = resample(image, at[None])[0, 0].numpy()
    return copy, grid


def errors(
    transform: PairTransform, known: KnownMap, copy: np.ndarray, body: float
) -> tuple[np.ndarray, np.ndarray]:
    """mm between where a registration and the truth lead, within the body; and by headers alone."""
    grid, found = transform.fixed, transform.displacement()
    results = []
    for row in range(0, grid.shape[0], 4):
        here = grid.world(_row(grid, row))
        truth = known(here) - here
        inside = copy[row] > body
        missed = np.moveaxis(found[:, row], 0, -1) - truth
        results.append([np.linalg.norm(d[inside], axis=-1) for d in (missed, truth)])
    missed, before = zip(*results, strict=True)
    return np.concatenate(missed), np.concatenate(before)


def view_voxel(fixed: Grid, half: int = 2) -> float:
    """mm, of a voxel at half the fixed scan's finest spacing."""
    return half * float(np.linalg.norm(fixed.directions, axis=0).min())


def syn_seconds(scan: np.ndarray, affine: np.ndarray, copy: np.ndarray, grid: Grid) -> float:
    """CPU time that ANTs' SyN takes for the same."""
    import ants

    from benchmarks.registration.pairs import Scan
    from benchmarks.registration.syn import ants_image

    nothing, at = np.zeros(0, np.uint8), np.eye(4) if grid.affine is None else grid.affine
    moving, fixed = (
        ants_image(Scan("", np.ascontiguousarray(voxels, np.float32), nothing, matrix))
        for voxels, matrix in ((scan, affine), (copy, at))
    )
    cpu = time.process_time()
    ants.registration(fixed, moving, type_of_transform="SyN", random_seed=1)
    return time.process_time() - cpu


def run(
    scan: np.ndarray, affine: np.ndarray, waves: float, body: float, *, syn: bool
) -> dict[str, object]:
    """Make the copy, register the scan to it, and measure."""
    extent = float(np.max(np.linalg.norm(affine[:3, :3], axis=0) * scan.shape))
    known = KnownMap(Grid(scan.shape, affine).world(Grid(scan.shape, affine).centre), extent, waves)
    copy, grid = copy_of(scan, affine, _SPACING, _KEPT, known)
    began, cpu = time.monotonic(), time.process_time()
    transform, report = register_pair(scan, affine, copy, grid.affine)
    seconds, cpu_seconds = time.monotonic() - began, time.process_time() - cpu
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    missed, before = errors(transform, known, copy, body)
    voxel = view_voxel(grid)
    peer = {"syn_cpu_seconds": syn_seconds(scan, affine, copy, grid)} if syn else {}
    return {
        **asdict(report),
        "shape": list(scan.shape),
        "copy_shape": list(grid.shape),
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "peak_gib": memory,
        "half_voxel_mm": voxel,
        "error_before_mm": float(before.mean()),
        "error_mm": float(missed.mean()),
        "error_95_mm": float(np.quantile(missed, 0.95)),
        "error_half_voxels": float(missed.mean()) / voxel,
        **peer,
    }


def _row(grid: Grid, row: int) -> np.ndarray:
    index = np.indices(grid.shape[1:]).reshape(2, -1).T
    full = np.concatenate([np.full((len(index), 1), row), index], 1).astype(float)
    return full.reshape(*grid.shape[1:], 3)


def main() -> None:
    """Print the result and keep it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("scan")
    parser.add_argument("--keep", action="store_true", help=f"write {_RESULTS.name}")
    parser.add_argument("--syn", action="store_true", help="time ANTs' SyN, too")
    arguments = parser.parse_args()
    volume = io.real_world(io.read(arguments.scan))
    assert volume.affine is not None
    result = run(volume.voxels, volume.affine, _WAVES_MM, _BODY, syn=arguments.syn)
    text = json.dumps(result, indent=1)
    print(text)
    if arguments.keep:
        _RESULTS.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
