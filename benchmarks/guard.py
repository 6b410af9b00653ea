"""The guard: scans a bundle should flag, scans it should not, and the fidelity in lesions.

    test scans ─ as they are, flipped, turned, inverted, damaged, with lesions ─▶ share flagged
    scans of other parts ──────────────────────────────────────────────────────▶ share flagged
    test scans with lesions ─ without and with --protect ─▶ error in them to that of the rest

Usage: python -m benchmarks.guard [BUNDLE …] [--data FOLDER] [--limit N] [--ratio R]

A lesion is a ball, or a ball of noise, at a random place near the middle. Its contrast is in
robust ranges of the scan. It counts as found where the region named overlaps it.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from benchmarks.standing.studies import Scan
from deepstd.codec.codec import Codec
from deepstd.codec.compressed import Compressed
from deepstd.codec.fit import robust_range
from deepstd.codec.protection import Protection
from deepstd.errors import DeepSTDError
from deepstd.findings import Region
from deepstd.rate.target import Target
from deepstd.volume import Volume

# Radii of lesions in voxels, and scans of other parts.
RADII = {"hippocampus-t1": (2, 3, 5), "chest-xray": (10, 20, 40)}
OTHERS = {
    "hippocampus-t1": ("headneck-ct", "cardiac-cine", "brain-ms"),
    "chest-xray": ("chest-ct-slices",),
}
CONTRASTS = (-0.5, 0.25, 0.5, 1.0)
Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]
CHANGES: dict[str, Change] = {
    "as it is": lambda x, _: x,
    "flipped, axis 1": lambda x, _: np.flip(x, 0),
    "flipped, axis 2": lambda x, _: np.flip(x, 1),
    "turned by 90°": lambda x, _: np.rot90(x),
    "contrast inverted": lambda x, _: x.max() + x.min() - x,
    "wrapped by half": lambda x, _: np.roll(x, [n // 2 for n in x.shape], range(x.ndim)),
    "noise of 0.1 ranges": lambda x, random: x + random.normal(0, 0.1, x.shape) * robust_range(x),
    "every 8th row lost": lambda x, _: np.where(
        np.arange(len(x)).reshape(-1, *[1] * (x.ndim - 1)) % 8, x, x.min()
    ),
}
_SPLITS = Path(__file__).with_name("splits.json")
_SEED = 1


def main() -> None:
    """Print two tables in Markdown for each bundle, row after row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundles", nargs="*", choices=[[], *RADII])
    parser.add_argument("--data", type=Path, default=os.environ.get("DEEPSTD_DATA"))
    parser.add_argument("--limit", type=int, help="scans of each kind of change")
    parser.add_argument("--ratio", type=float, default=16.0)
    asked = parser.parse_args()
    if asked.data is None:
        raise SystemExit("name the folder of the studies with --data or DEEPSTD_DATA")
    for name in asked.bundles or RADII:
        codec = Codec.load(name, device="cpu")
        bench = Bench(codec, name, asked.data, Target(ratio=asked.ratio), asked.limit)
        bench.print_flagged()
        bench.print_lesions()


class Bench:
    """Measurements of one bundle.

    Args:
        codec: codec of the bundle.
        name: name of the bundle.
        data: folder of the studies.
        target: size of each file.
        limit: scans of each change; None for all test scans.
    """

    def __init__(
        self, codec: Codec, name: str, data: Path, target: Target, limit: int | None
    ) -> None:
        self._codec, self._name, self._data, self._target = codec, name, data, target
        self._splits = json.loads(_SPLITS.read_text(encoding="utf-8"))
        self._limit = limit

    def print_flagged(self) -> None:
        """Print the share of scans flagged, for every change and for other parts."""
        print(f"\n| {self._name} | scans | flagged | by most often |\n|---|---|---|---|")
        for change, changed in CHANGES.items():
            # False alarms are counted on all test scans.
            limit = None if change == "as it is" else self._limit
            self._row(change, self._scans(self._name, limit, changed))
        for study in OTHERS[self._name]:
            self._row(study, self._scans(study, self._limit, CHANGES["as it is"]))

    def print_lesions(self) -> None:
        """Print how many lesions are found, and the error in them to that of the rest."""
        print(
            f"\n| {self._name}: radius | contrast | flagged | place named | error ratio "
            "| with --protect | with a mask | PSNR lost (dB) |\n" + "|---" * 8 + "|"
        )
        for radius in RADII[self._name]:
            for contrast in (*CONTRASTS, None):
                print(self._lesions(radius, contrast), flush=True)

    def _row(self, name: str, scans: Iterator[Volume]) -> None:
        count, flagged, measures = 0, 0, dict[str, int]()
        for volume in scans:
            try:
                found = self._codec.encode(volume, self._target, effort="fast").familiarity
            except DeepSTDError:  # no network for such axes, or no room: nothing to judge
                continue
            count += 1
            flagged += found is not None and found.unfamiliar
            for one in () if found is None else found.findings:
                measures[one.measure] = measures.get(one.measure, 0) + 1
        often = max(measures, key=lambda key: measures[key]) if measures else "-"
        print(f"| {name} | {count} | {flagged} | {often} |", flush=True)

    def _scans(self, study: str, limit: int | None, changed: Change) -> Iterator[Volume]:
        random = np.random.default_rng(_SEED)
        for name in self._splits[study]["test"][:limit]:
            volume = Scan.read(self._data, name).volume
            yield as_stored(changed(volume.voxels.astype(np.float64), random), volume)

    def _lesions(self, radius: int, contrast: float | None) -> str:
        random = np.random.default_rng(_SEED)
        flagged = named = 0
        ratios: list[tuple[float, float, float]] = []
        lost: list[float] = []
        scans = list(self._scans(self._name, self._limit, CHANGES["as it is"]))
        for scan in scans:
            volume, mask = with_lesion(scan, radius, contrast, random)
            plain = self._codec.encode(volume, self._target)
            found = plain.familiarity
            flagged += found is not None and found.unfamiliar
            named += found is not None and overlaps(found.unexplained, mask)
            wished = [
                self._codec.encode(volume, self._target, protect=wish)
                for wish in (Protection(), Protection(mask))
            ]
            ratio = [self._ratio(one, volume, mask) for one in (plain, *wished)]
            ratios.append((ratio[0], ratio[1], ratio[2]))
            lost.append(plain.quality.psnr - wished[0].quality.psnr)
        means = " | ".join(f"{np.median(column):.2f}" for column in zip(*ratios, strict=True))
        kind = "noise" if contrast is None else f"{contrast:g}"
        of = len(scans)
        cells = f"{flagged} of {of} | {named} of {of} | {means} | {np.mean(lost):.2f}"
        return f"| {radius} | {kind} | {cells} |"

    def _ratio(self, found: Compressed, volume: Volume, mask: np.ndarray) -> float:
        restored = self._codec.decompress(found.data).voxels
        error = np.square(restored.astype(np.float64) - volume.voxels)
        return float(np.sqrt(error[mask].mean() / error[~mask].mean()))


def as_stored(values: np.ndarray, volume: Volume) -> Volume:
    """Return changed values as a scan of the stored type, with the affine of the original."""
    dtype = volume.voxels.dtype
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        values = np.rint(np.clip(values, limits.min, limits.max))
    return Volume(np.ascontiguousarray(values.astype(dtype)), volume.affine)


def with_lesion(
    scan: Volume, radius: int, contrast: float | None, random: np.random.Generator
) -> tuple[Volume, np.ndarray]:
    """Return a scan with a lesion, and the mask of the lesion.

    Args:
        scan: the scan.
        radius: radius in voxels.
        contrast: grey values of the lesion in robust ranges; None for noise of half a range.
        random: chooses the place.
    """
    values = scan.voxels.astype(np.float64)
    centre = [random.integers(round(0.3 * n), round(0.7 * n)) for n in values.shape]
    grid = np.indices(values.shape)
    distance = np.sqrt(sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True)))
    added = random.normal(0, 0.5, values.shape) if contrast is None else contrast
    values += robust_range(values) * added * np.clip(radius + 0.5 - distance, 0, 1)
    return as_stored(values, scan), distance <= radius


def overlaps(region: Region | None, mask: np.ndarray) -> bool:
    """Return True where the box of a region meets a mask."""
    if region is None:
        return False
    box = tuple(
        slice(max(centre - size // 2, 0), centre + size // 2 + 1)
        for centre, size in zip(region.voxel, region.size, strict=True)
    )
    return bool(mask[box].any())


if __name__ == "__main__":
    main()
