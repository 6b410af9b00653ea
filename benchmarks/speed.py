"""Time of whole commands: this release, an earlier one and VVenC, on one scan of every study.

    scans ─ compress, decompress (other checkouts) ─┐
          └ vvencFFapp, medium, at equal bytes ─────┴▶ CPU and wall time ─▶ table in Markdown

Usage: python -m benchmarks.speed [--before CHECKOUT] [--repeats N] [--studies hippocampus,…]
       [--ratio 64] [--efforts normal,fast] [--python INTERPRETER]

INTERPRETER runs this release, for example one of an environment without the extras, which cost time
to import. CHECKOUT is the folder of an earlier release with its engine compiled; it runs in this
environment. VVenC is left out where it is not installed. Its quantiser is found beforehand; one
encoding at the bytes of the file counts. The machine must do nothing else. Medians over the repeats
are shown.
"""

from __future__ import annotations

import argparse
import math
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import deepstd
from benchmarks.processes import Measured, cores, measured
from benchmarks.standing.studies import STUDIES, add_data_option
from deepstd import io
from deepstd.baselines import Vvc
from deepstd.errors import MissingExtraError
from deepstd.quality import finite_range, psnr

_SOURCE = Path(deepstd.__file__).parents[1]
# Knob of VVenC (63 - QP) to begin with, QPs that halve the bytes, octaves of bytes that are near
# enough, and encodings to get there.
_FIRST_KNOB, _QP_AN_OCTAVE, _NEAR, _TRIES = 31.0, 6, 0.2, 5
# Scans in place of the first one of a study.
_SCANS = {"head-neck": "headneck-ct/images/pt_78.nii.gz"}


@dataclass(frozen=True)
class Row:
    """Medians of one scan with one program.

    Attributes:
        scan: name of the scan.
        voxels: number of voxels.
        program: name of the program.
        nbytes: bytes of the file.
        psnr: quality in dB, peak from the scan's smallest to its largest value.
        compress, restore: CPU and wall seconds.
    """

    scan: str
    voxels: int
    program: str
    nbytes: int
    psnr: float
    compress: tuple[float, float]
    restore: tuple[float, float]


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add_data_option(parser)
    parser.add_argument("--before", type=Path, help="checkout of an earlier release")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--ratio", type=float, default=64.0)
    parser.add_argument("--studies", default=",".join(STUDIES))
    parser.add_argument("--efforts", default="normal")
    parser.add_argument("--python", type=Path, default=Path(sys.executable), metavar="INTERPRETER")
    asked = parser.parse_args()
    rows: list[Row] = []
    for study in asked.studies.split(","):
        scan = asked.data / (_SCANS.get(study) or STUDIES[study].scans[0])
        for effort in asked.efforts.split(","):
            programs = [(f"this release, {effort}", asked.python, _SOURCE)]
            if asked.before is not None:
                before = asked.before / "src"
                programs.append((f"{asked.before.name}, {effort}", Path(sys.executable), before))
            for name, python, source in programs:
                command = [str(python), "-m", "deepstd"]
                rows.append(_row(name, command, source, scan, asked.ratio, effort, asked.repeats))
        rows += _vvc(scan, rows[-1].nbytes, asked.repeats)
        print(f"{study}: done", file=sys.stderr, flush=True)
    print("\n".join(table(rows)))


def _row(
    name: str,
    command: Sequence[str],
    source: Path,
    scan: Path,
    ratio: float,
    effort: str,
    repeats: int,
) -> Row:
    """Compress and restore a scan with the package in a folder."""
    environment = {"PYTHONPATH": str(source)}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        options = ["--ratio", f"{ratio:g}", "--effort", effort, "--overwrite"]
        compress = [*command, "compress", str(scan), "-o", "x.dstd", *options]
        restore = [*command, "decompress", "x.dstd", "-o", "x.npy", "--overwrite"]
        runs = [_checked(measured(compress, folder, environment)) for _ in range(repeats)]
        back = [_checked(measured(restore, folder, environment)) for _ in range(repeats)]
        original, restored = io.read(scan).voxels, np.load(folder / "x.npy")
        low, high = finite_range(original)
        quality = psnr(original, restored, peak=high - low)
        nbytes = (folder / "x.dstd").stat().st_size
    return Row(scan.name, original.size, name, nbytes, quality, _medians(runs), _medians(back))


def _vvc(scan: Path, nbytes: int, repeats: int) -> list[Row]:
    """Encode a scan with VVenC at about the bytes of a file; decode it."""
    codec, voxels = Vvc(), io.read(scan).voxels
    try:
        codec.check()
    except MissingExtraError as error:
        print(error, file=sys.stderr)
        return []
    knob = _FIRST_KNOB
    for _ in range(_TRIES):
        encoded = codec.encode(voxels, knob)
        missing = math.log2(nbytes / encoded.nbytes)
        if abs(missing) < _NEAR:
            break
        knob = min(max(knob + round(_QP_AN_OCTAVE * missing), codec.knobs[0]), codec.knobs[1])
    compress = [_children(lambda: codec.encode(voxels, knob)) for _ in range(repeats)]
    restore = [_children(lambda: codec.decode(encoded)) for _ in range(repeats)]
    low, high = finite_range(voxels)
    quality = psnr(voxels, codec.decode(encoded), peak=high - low)
    times = _medians(compress), _medians(restore)
    return [Row(scan.name, voxels.size, codec.name, encoded.nbytes, quality, *times)]


def _children(work: Callable[[], object]) -> Measured:
    """Measure the processes that a function starts."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    work()
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - began
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Measured(cpu, wall, 0, "")


def _checked(run: Measured) -> Measured:
    if run.code:
        raise RuntimeError(f"a command failed ({run.code}): {run.message.strip()}")
    return run


def _medians(runs: Sequence[Measured]) -> tuple[float, float]:
    cpu, wall = ([run.cpu_s for run in runs], [run.wall_s for run in runs])
    return statistics.median(cpu), statistics.median(wall)


def table(rows: Sequence[Row]) -> list[str]:
    """Return the lines of the table."""
    lines = [
        f"{cores()} cores, deepstd {deepstd.__version__}; CPU / wall seconds of whole commands.",
        "",
        "| scan | voxels | program | bytes | PSNR | compress | restore |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        times = [f"{cpu:.2f} / {wall:.2f}" for cpu, wall in (row.compress, row.restore)]
        lines.append(
            f"| {row.scan} | {row.voxels} | {row.program} | {row.nbytes} | {row.psnr:.2f} "
            f"| {times[0]} | {times[1]} |"
        )
    return lines


if __name__ == "__main__":
    main()
