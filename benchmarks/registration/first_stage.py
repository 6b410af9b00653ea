"""Files with the first version's shape stage, and with today's, through the same texture networks.

source tree of the first version ─ its own Python process ─▶ warped templates, fields
test scans ─┬ those ──────────────┬─ Codec, effort fast ─▶ bytes and error at four rates
            └ today's shape stage ┘     ─▶ results/registration-first.json

git worktree add ../first e07e58f
python -m benchmarks.registration.first_stage ../first [--data DATA] [--scans 10] [--keep]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.standing.results import FOLDER
from benchmarks.standing.studies import RATES, STUDIES, Scan, add_data_option
from deepstd import io
from deepstd.codec import encoder
from deepstd.codec.codec import Codec
from deepstd.codec.shape_stage import FrameShape, encode_shape
from deepstd.conditioning import Conditioning

_OUT = FOLDER / "registration-first.json"
_STUDIES = ("hippocampus", "xray")
# Runs with the packages of the first version, which knows nothing of this file.
_WARP = """
import sys
import numpy as np
from deepstd import io
from deepstd.codec import Codec

bundle, target, *places = sys.argv[1:]
codec = Codec.load(bundle, device="cpu")
for number, place in enumerate(places):
    volume = io.read(place)
    found = encode_shape(codec.model, volume.voxels, io.affine_of(volume.source), field=True)
    np.savez(
        f"{target}/{number}.npz", template=found.conditioning.template.numpy(),
        places=found.conditioning.places.numpy(), field=np.frombuffer(found.payload, "u1"),
        ncc=found.report.ncc_after,
    )
"""


@dataclass(frozen=True)
class Shaped:
    """A scan's shape by one of the two stages, and how well it fits."""

    shape: FrameShape
    ncc: float


def main() -> None:
    """Measure and print; --keep keeps what the page is made of."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_option(parser)
    parser.add_argument("first", type=Path, help="source tree of the first version")
    parser.add_argument("--scans", type=int, default=10, help="test scans of each study")
    parser.add_argument("--keep", action="store_true", help="write the results")
    given = parser.parse_args()
    rows = []
    for study in _STUDIES:
        names = STUDIES[study].scans[: given.scans]
        first = _first(given.first, STUDIES[study].bundle, [given.data / name for name in names])
        for name, before in zip(names, first, strict=True):
            rows += _rows(study, Scan.read(given.data, name), before)
            print(*rows[-2:], sep="\n", flush=True)
    if given.keep:
        lines = ",\n".join(map(json.dumps, rows))
        _OUT.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def _first(tree: Path, bundle: str, places: list[Path]) -> Iterator[Shaped]:
    """Shapes of scans by the first version."""
    with tempfile.TemporaryDirectory(prefix="deepstd-first-") as folder:
        command = [sys.executable, "-c", _WARP, bundle, folder, *map(str, places)]
        own = {**os.environ, "PYTHONPATH": str(tree / "src")}
        subprocess.run(command, env=own, check=True)
        for number in range(len(places)):
            with np.load(Path(folder) / f"{number}.npz") as found:
                warped = (found[part] for part in ("template", "places"))
                shape = FrameShape(Conditioning(*warped), found["field"].tobytes(), None)
                yield Shaped(shape, float(found["ncc"]))


def _rows(study: str, scan: Scan, first: Shaped) -> list[dict]:
    """A scan's two rows."""
    codec = Codec.load(STUDIES[study].bundle, device="cpu")
    volume = scan.volume
    affine = io.affine_of(volume.source)
    found = encode_shape(codec.model, volume.voxels, affine, field=True)
    if found.report is None:
        raise ValueError(f"{scan.name} was not registered")
    rows = []
    for stage, shaped in (("now", Shaped(found, found.report.ncc_after)), ("first", first)):
        encoder.encode_shape = lambda *scan, field, shaped=shaped: shaped.shape
        points = []
        for target in RATES:
            made = encoder.Encoding.of(
                codec.model, volume, target, shape="on", effort="fast"
            ).best()
            points.append([made.point.nbytes, round(made.error, 6)])
        size = len(shaped.shape.payload or b"")
        rows.append(
            {"study": study, "scan": scan.name, "shape": stage, "field_bytes": size}
            | {"ncc": round(shaped.ncc, 5), "points": points}
        )
    return rows


if __name__ == "__main__":
    main()
