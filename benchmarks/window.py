"""Twenty sizes of every hippocampus test scan: is each within 0.997 and 1.000 of what was asked?

test scans × ratios 32 … 512 ─ Codec.compress ─▶ results/window.json, shares on stdout

    python benchmarks/window.py --data DATA

The paper's Fig. 4f. A run that was stopped goes on with what is missing.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import numpy as np
from results import WINDOW
from studies import STUDIES, Folders

from deepstd.codec import Codec
from deepstd.errors import RateError

_OUT = Path(__file__).resolve().parent / "results" / "window.json"
RATIOS = [round(float(r), 1) for r in np.geomspace(32, 512, 20)]


def main() -> None:
    """Measure what is missing and print the shares."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get("DEEPSTD_DATA"))
    parser.add_argument("--out", type=Path, default=_OUT)
    given = parser.parse_args()
    study = STUDIES["hippocampus"]
    rows = json.loads(given.out.read_text(encoding="utf-8")) if given.out.is_file() else []
    done = {(row["scan"], row["ratio"]) for row in rows}
    codec = Codec.load(study.bundle, device="cpu")
    for scan in list(study.scans())[:30]:
        volume = Folders(given.data).read(scan)
        for ratio in RATIOS:
            if (scan, ratio) in done:
                continue
            allowed = int(volume.nbytes / ratio)
            try:
                nbytes = len(codec.compress(volume, ratio=ratio))
            except RateError:
                nbytes = None
            rows.append({"scan": scan, "ratio": ratio, "allowed": allowed, "nbytes": nbytes})
        lines = ",\n".join(map(json.dumps, rows))
        given.out.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    report(rows)


def report(rows: list[dict]) -> None:
    """Shares over all scans and ratios."""
    sized = [row for row in rows if row["nbytes"] is not None]
    used = [row["nbytes"] / row["allowed"] for row in sized]
    inside = sum(WINDOW[0] <= part <= WINDOW[1] for part in used)
    print(
        f"{len(rows)} requests: {len(rows) - len(sized)} refused, as the size cannot be reached; "
        f"{inside} of the other {len(sized)} within {WINDOW[0]} and {WINDOW[1]:.3f} of the bytes "
        f"allowed, the least {min(used, default=float('nan')):.4f}"
    )


if __name__ == "__main__":
    main()
