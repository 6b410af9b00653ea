"""The guard: scans a bundle should flag, scans it should not, and the fidelity in lesions.

    test scans ─ as they are, flipped, turned, inverted, damaged, with lesions ─┬▶ share flagged
    scans of other parts ───────────────────────────────────────────────────────┘
    scans with lesions, real or not ─ without and with --protect ─▶ error there to that of the rest
                                    results/guard.json ─▶ docs/guard.md

Usage: python -m benchmarks.guard [TABLE …] [--data FOLDER] [--limit N] [--ratio R]

A lesion is a ball, or a ball of noise, at a random place near the middle. Its contrast is in
robust ranges of the scan. It counts as found where a place is flagged and overlaps it. Real lesions
are the target volumes of head and neck CT; the rest is what is denser than air.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.standing.results import FOLDER
from benchmarks.standing.studies import Scan, add_data_option
from deepstd import io
from deepstd.codec.codec import Codec
from deepstd.codec.fit import REGION, robust_range
from deepstd.codec.protection import Protection
from deepstd.codec.spots import SPOT
from deepstd.errors import DeepSTDError
from deepstd.findings import Region
from deepstd.rate.target import Target
from deepstd.volume import Volume

RESULTS = FOLDER / "guard.json"
PAGE = Path(__file__).resolve().parents[1] / "docs" / "guard.md"
# Radii of lesions in voxels, and scans of other parts.
RADII = {"hippocampus-t1": (2, 3, 5), "chest-xray": (10, 20, 40)}
OTHERS = {
    "hippocampus-t1": ("headneck-ct", "cardiac-cine", "brain-ms"),
    "chest-xray": ("chest-ct-slices",),
    "generic": (),
}
# Studies whose test scans count for false alarms, and how many of each where not all.
FAMILIAR = {
    "hippocampus-t1": {"hippocampus-t1": None},
    "chest-xray": {"chest-xray": None},
    "generic": {"hippocampus-t1": 6, "chest-xray": 4, "chest-ct-slices": 6, "brain-ms": 3},
}
CONTRASTS = (-0.5, 0.25, 0.5, 1.0, None)
_PROTECTED = (-0.5, 1.0, None)  # contrasts whose fidelity is measured
_AIR, _TARGETS = -900, 0b11_1000_0000  # HU; bits 7 to 9
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
_LOCAL = (REGION.name, SPOT.name)
Row = dict[str, Any]


def main() -> None:
    """Measure some tables or all; write results and page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [f"{kind}:{name}" for name in OTHERS for kind in ("flagged", "lesions", "fidelity")]
    names = [name for name in names if name.startswith("flagged") or "generic" not in name]
    names.append("targets:generic")
    parser.add_argument("tables", nargs="*", help=", ".join(names))
    parser.add_argument("--limit", type=int, default=4, help="scans of a cell, 4 by default")
    parser.add_argument("--unchanged", type=int, help="test scans for false alarms, all by default")
    parser.add_argument("--ratio", type=float, default=16.0)
    add_data_option(parser)
    asked = parser.parse_args()
    if unknown := set(asked.tables) - set(names):
        parser.error(f"no table {', '.join(unknown)}: expected some of {', '.join(names)}")
    for table in asked.tables or names:
        kind, _, name = table.partition(":")
        bench = Bench(name, asked.data, Target(ratio=asked.ratio), asked.limit, asked.unchanged)
        rows = []
        for row in getattr(bench, kind)():
            print(row, flush=True)
            rows.append(row)
            kept = _kept() | {table: {"date": datetime.now(UTC).date().isoformat(), "rows": rows}}
            text = json.dumps(kept, indent=1, ensure_ascii=False)
            RESULTS.write_text(text + "\n", encoding="utf-8")
    PAGE.write_text(page(_kept()), encoding="utf-8")


def _kept() -> dict[str, Any]:
    return json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}


class Bench:
    """Measurements of one bundle.

    Args:
        name: name of the bundle.
        data: folder of the studies.
        target: size of each file.
        limit: scans of each cell.
        unchanged: test scans of a study that count for false alarms; None for all.
    """

    def __init__(
        self, name: str, data: Path, target: Target, limit: int, unchanged: int | None
    ) -> None:
        self._codec, self._name = Codec.load(name, device="cpu"), name
        self._data, self._target = data, target
        self._limit, self._unchanged = limit, unchanged
        self._splits = json.loads(_SPLITS.read_text(encoding="utf-8"))

    def flagged(self) -> Iterator[Row]:
        """Yield the number of scans flagged: test scans, changed ones, and those of other parts."""
        for study, count in FAMILIAR[self._name].items():
            counted = self._unchanged if count is None else count
            yield self._flagged(f"{study}, as it is", self._scans(study, counted))
        if self._name in RADII:
            for change, changed in list(CHANGES.items())[1:]:
                yield self._flagged(change, self._scans(self._name, self._limit, changed))
        for study in OTHERS[self._name]:
            yield self._flagged(study, self._scans(study, self._limit))

    def lesions(self) -> Iterator[Row]:
        """Yield for each kind of lesion the scans flagged, those with the place, places named."""
        for radius, contrast, scans in self._cells(CONTRASTS):
            row = {"radius": radius, "contrast": contrast, "scans": len(scans)}
            flagged = found = named = 0
            for volume, mask in scans:
                told = self._codec.encode(volume, self._target, effort="fast").familiarity
                if told is None:
                    raise SystemExit("a lossy file has no judgement")
                hit = overlaps(told.unexplained, mask)
                flagged += told.unfamiliar
                found += hit and any(one.measure in _LOCAL for one in told.findings)
                named += hit
            yield row | {"flagged": flagged, "found": found, "named": named}

    def fidelity(self) -> Iterator[Row]:
        """Yield for some lesions the error in them to that of the rest, with and without."""
        for radius, contrast, scans in self._cells(_PROTECTED):
            if radius == RADII[self._name][0]:
                continue
            rows = [self._ratios(volume, mask, ~mask) for volume, mask in scans[:2]]
            yield {"radius": radius, "contrast": contrast, "scans": len(rows), **_medians(rows)}

    def targets(self) -> Iterator[Row]:
        """Yield the same for the target volumes of head and neck CT, each scan alone."""
        for name in self._splits["headneck-ct"]["test"][: self._limit]:
            volume = Scan.read(self._data, name).volume
            labels = io.read(self._data / name.replace("/images/", "/labels/")).voxels
            mask = labels.astype(np.int64) & _TARGETS > 0
            rest = (volume.voxels > _AIR) & ~mask
            yield {"scan": name, "share": float(mask.mean()), **self._ratios(volume, mask, rest)}

    def _ratios(self, volume: Volume, mask: np.ndarray, rest: np.ndarray) -> Row:
        encoded = [
            self._codec.encode(volume, self._target, effort="fast", protect=wish)
            for wish in (None, Protection(), Protection(mask))
        ]
        ratios = []
        for one in encoded:
            restored = self._codec.decompress(one.data).voxels
            error = np.square(restored.astype(np.float64) - volume.voxels)
            ratios.append(float(np.sqrt(error[mask].mean() / error[rest].mean())))
        lost = encoded[0].quality.psnr - encoded[1].quality.psnr
        return dict(zip(("plain", "protect", "mask"), ratios, strict=True)) | {"lost_db": lost}

    def _flagged(self, name: str, scans: Iterator[Volume]) -> Row:
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
        often = max(measures, key=lambda key: measures[key]) if measures else ""
        return {"scans of": name, "scans": count, "flagged": flagged, "often": often}

    def _scans(
        self, study: str, limit: int | None, changed: Change = CHANGES["as it is"]
    ) -> Iterator[Volume]:
        random = np.random.default_rng(_SEED)
        for name in self._splits[study]["test"][:limit]:
            volume = Scan.read(self._data, name).volume
            yield as_stored(changed(volume.voxels.astype(np.float64), random), volume)

    def _cells(
        self, contrasts: tuple[float | None, ...]
    ) -> Iterator[tuple[int, float | None, list[tuple[Volume, np.ndarray]]]]:
        scans = list(self._scans(self._name, self._limit))
        for radius in RADII[self._name]:
            for contrast in contrasts:
                random = np.random.default_rng(_SEED + radius)
                found = [with_lesion(scan, radius, contrast, random) for scan in scans]
                yield radius, contrast, found


def _medians(rows: list[Row]) -> Row:
    return {key: float(np.median([row[key] for row in rows])) for key in rows[0]}


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


_INTRO = """# Guard

Written by `python -m benchmarks.guard` from `benchmarks/results/guard.json`.

A bundle knows how its validation scans fitted, and says where a scan fits worse than 99.8 % of such
scans would ([guide](guide.md)). Limits come from validation scans; all figures here are of test
patients, in files of 16:1.
"""
_OUTRO = """
- **Not found**: an X-ray flipped left to right. The template is about symmetric, and its field
  explains either: correlations after registration differ by 0.002 to 0.010.
- **Not found**: faint or small lesions. Spots as strong occur where anatomy differs. Validation
  X-rays differ by 1.4 octaves in their largest spot, twice as much as crops, so the limit is high.
- Few scans a cell were measured, as the numbers say; --limit and --unchanged measure more.
- Errors in target volumes are compared with those in all tissue denser than air.
"""


def page(tables: dict[str, Any]) -> str:
    """Return the page with all tables measured."""
    parts = [_INTRO]
    for name, table in tables.items():
        kind, _, bundle = name.partition(":")
        title, head, line = _TABLES[kind]
        parts += [f"## {title}: `{bundle}`\n", head, "| --- |" + " --- |" * (head.count("|") - 2)]
        parts += [line(row) for row in table["rows"]] + [f"\nMeasured {table['date']}.\n"]
    return "\n".join([*parts, _OUTRO.strip(), ""])


def _flagged_line(row: Row) -> str:
    share = f"{row['flagged']} of {row['scans']}" if row["scans"] else "refused"
    return f"| {row['scans of']} | {share} | {row['often'] or '–'} |"


def _lesion(row: Row) -> str:
    contrast = "noise" if row["contrast"] is None else f"{row['contrast']:g}"
    return f"| {row['radius']} | {contrast} |"


def _lesion_line(row: Row) -> str:
    cells = (f"{row[key]} of {row['scans']}" for key in ("flagged", "found", "named"))
    return f"{_lesion(row)} {' | '.join(cells)} |"


def _ratio_cells(row: Row) -> str:
    cells = " | ".join(f"{row[key]:.2f}" for key in ("plain", "protect", "mask", "lost_db"))
    return f" {cells} |"


_RATIOS = " error ratio | with --protect | with a mask | PSNR lost, dB |"
_TABLES: dict[str, tuple[str, str, Callable[[Row], str]]] = {
    "flagged": ("Scans flagged", "| scans of | flagged | most often by |", _flagged_line),
    "lesions": (
        "Synthetic lesions",
        "| radius, voxels | contrast, ranges | scan flagged | flagged with the place | place named "
        "first |",
        _lesion_line,
    ),
    "fidelity": (
        "Fidelity in synthetic lesions",
        f"| radius, voxels | contrast, ranges |{_RATIOS}",
        lambda row: _lesion(row) + _ratio_cells(row),
    ),
    "targets": (
        "Fidelity in target volumes of head and neck CT",
        f"| scan | share in % |{_RATIOS}",
        lambda row: f"| {Path(row['scan']).name} | {100 * row['share']:.1f} |{_ratio_cells(row)}",
    ),
}


if __name__ == "__main__":
    main()
