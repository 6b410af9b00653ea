"""Statistics of the validation scans of the embedded bundles, which the guard compares with.

validation scans of benchmarks/splits.json ─ familiarity_of ─▶ familiarity.json beside bundle.json

Usage: python -m benchmarks.familiarity [BUNDLE …] [--data FOLDER]

The hash of a bundle leaves this file out, so files of the bundle stay readable. `deepstd train`
writes the file of a new bundle.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.standing.studies import Scan
from deepstd import bundle as bundles
from deepstd.bundle.familiarity import save_familiarity
from deepstd.codec.model import Model
from deepstd.codec.usual import familiarity_of
from deepstd.volume import Volume

# Studies of each bundle, and the validation scans of each that are measured at most.
STUDIES = {
    "hippocampus-t1": {"hippocampus-t1": 20},
    "chest-xray": {"chest-xray": 20},
    "generic": {
        "brain-ms": 3,
        "sarcoma-ct": 3,
        "headneck-ct": 6,
        "hippocampus-t1": 6,
        "chest-xray": 6,
        "chest-ct-slices": 5,
    },
}
_SPLITS = Path(__file__).with_name("splits.json")


def main() -> None:
    """Measure the validation scans, and write the file of each bundle."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundles", nargs="*", choices=[[], *STUDIES])
    parser.add_argument("--data", type=Path, default=os.environ.get("DEEPSTD_DATA"))
    asked = parser.parse_args()
    if asked.data is None:
        raise SystemExit("name the folder of the studies with --data or DEEPSTD_DATA")
    for name in asked.bundles or STUDIES:
        began, folder = time.monotonic(), bundles.find(name)
        model = Model(bundles.load(folder), "cpu")
        save_familiarity(folder, familiarity_of(model, validation_scans(name, asked.data)))
        print(f"{folder}: {time.monotonic() - began:.0f} s", flush=True)


def validation_scans(bundle: str, data: Path) -> Iterator[Volume]:
    """Yield the validation scans of a bundle.

    Args:
        bundle: name of an embedded bundle.
        data: folder of the studies.
    """
    splits = json.loads(_SPLITS.read_text(encoding="utf-8"))
    for study, most in STUDIES[bundle].items():
        for name in splits[study]["validation"][:most]:
            yield Scan.read(data, name).volume


if __name__ == "__main__":
    main()
