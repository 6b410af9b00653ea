"""Accuracy of the file size: twenty ratios for every hippocampus test scan, window 0.997 to 1.000.

test scans × ratios 32 … 512 ─ Codec.compress ─▶ results/window.json, shares on stdout

Usage: python -m benchmarks.window [--data DATA]

Corresponds to Fig. 4f of the paper. An interrupted run is resumed. The accuracy of the size does
not depend on the effort, so the least effort is used.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.standing.results import FOLDER
from benchmarks.standing.studies import STUDIES, Scan, add_data_option
from deepstd.codec import encoder
from deepstd.codec.codec import Codec
from deepstd.codec.shape_stage import FrameShape, encode_shape
from deepstd.errors import RateError
from deepstd.rate.target import LOWEST_FILL

_OUT = FOLDER / "window.json"
_ASKED = "Thirty hippocampus test scans at twenty ratios (`python -m benchmarks.window`) make"
RATIOS = [round(float(r), 1) for r in np.geomspace(32, 512, 20)]


def main() -> None:
    """Measure the missing sizes, and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_option(parser)
    given = parser.parse_args()
    study = STUDIES["hippocampus"]
    rows = load()
    done = {(row["scan"], row["ratio"]) for row in rows}
    for scan in study.scans:
        volume = Scan.read(given.data, scan).volume
        codec = Codec.load(study.bundle, device="cpu")
        bundle = codec.model.name
        # The deformation field does not depend on the size.
        encoder.encode_shape = _remembered(encode_shape)
        for ratio in RATIOS:
            if (scan, ratio) in done:
                continue
            allowed = int(volume.nbytes / ratio)
            try:
                nbytes = len(codec.compress(volume, ratio=ratio, effort="fast"))
            except RateError:
                nbytes = None
            row = {"scan": scan, "ratio": ratio, "allowed": allowed, "nbytes": nbytes}
            rows.append({**row, "bundle": bundle})
        lines = ",\n".join(map(json.dumps, rows))
        _OUT.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    print(summary(rows))


def _remembered(shape_of_scan: Callable[..., FrameShape]) -> Callable[..., FrameShape]:
    known: dict[bool, FrameShape] = {}

    def remembered(*scan: Any, field: bool) -> FrameShape:
        if field not in known:
            known[field] = shape_of_scan(*scan, field=field)
        return known[field]

    return remembered


def section() -> str:
    """Return the section of docs/benchmark.md on the kept results."""
    return f"## Exact sizes\n\n{_ASKED} {summary(load())}\n"


def load() -> list[dict]:
    """Load the kept results, one dict per scan and ratio; empty without the file."""
    return json.loads(_OUT.read_text(encoding="utf-8")) if _OUT.is_file() else []


def summary(rows: list[dict]) -> str:
    """Return a sentence on the sizes over all scans and ratios."""
    sized = [row for row in rows if row["nbytes"] is not None]
    used = [row["nbytes"] / row["allowed"] for row in sized]
    counts = Counter(row["bundle"] for row in rows)
    bundles = ", ".join(f"{count} with {bundle}" for bundle, count in sorted(counts.items()))
    inside = sum(LOWEST_FILL <= part <= 1.0 for part in used)
    return (
        f"{len(rows)} requests: {len(rows) - len(sized)} refused, as the size cannot be reached; "
        f"{inside} of the other {len(sized)} files fill {LOWEST_FILL} to 1.000 of the bytes "
        f"allowed, the least {min(used, default=float('nan')):.4f} ({bundles})."
    )


if __name__ == "__main__":
    main()
