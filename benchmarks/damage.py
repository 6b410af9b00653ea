"""Behaviour of the reader on damaged files: every truncation, and random byte flips.

    scan ─ compress ─▶ file ─ cut or flip ─▶ decompress ─▶ refused with exit code 4
                                                      └─▶ anything else is a fault

The cases run in a separate process, through the API that the command line calls. Some cases also
run as `deepstd decompress`, to check exit code and message.

Usage: python -m benchmarks.damage [--limit N]

The table goes to stdout; the exit code is 1 where a damaged file is decoded. --limit bounds the
cases of each sort; the results are then not kept.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import deepstd
from benchmarks.isolated import isolated
from benchmarks.standing.results import FOLDER
from benchmarks.standing.studies import STUDIES, add_data_option
from deepstd import io
from deepstd.errors import DeepSTDError

_MOST_SECONDS = 10  # for a case
_MOST_BYTES = 2**30  # peak memory of the process
_DAMAGED_FILE = 4  # exit code
_FLIPS = 2000
_FAULTS_SHOWN = 5


@dataclass
class Report:
    """Results of the damaged versions of one file.

    Attributes:
        kind: description of the file.
        nbytes: size of the file.
        outcomes: number of cases by error class, and "same scan" for harmless flips.
        faults: descriptions of the cases with a wrong result.
        slowest_s: longest time of a case in seconds.
        peak_bytes: peak memory of the process that ran all cases.
    """

    kind: str
    nbytes: int
    outcomes: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    slowest_s: float = 0.0
    peak_bytes: int = 0

    def line(self) -> str:
        """Return a row of the table in Markdown."""
        outcomes = ", ".join(f"{name} {count}" for name, count in self.outcomes.most_common())
        return (
            f"| {self.kind} | {self.nbytes} | {outcomes} | {self.slowest_s:.2f} s | "
            f"{self.peak_bytes / 2**30:.2f} GiB | {len(self.faults)} |"
        )


FILES = (
    # kind, study, scan, bits per voxel
    ("3-D with template", "hippocampus", STUDIES["hippocampus"].scans[0], 0.125),
    ("2-D with template", "xray", STUDIES["xray"].scans[0], 0.0625),
    ("3-D generic", "other-mr", "samples/breast1_image.nrrd", 0.25),
)
HEAD = "| file | bytes | outcomes | slowest | peak memory | faults |\n|---|---|---|---|---|---|"


def study(kind: str, path: Path, bundle: str, bits_per_voxel: float, limit: int | None) -> Report:
    """Compress a scan, and try all damaged versions of its file.

    Args:
        kind: description of the file.
        path: the scan.
        bundle: name of the bundle.
        bits_per_voxel: size of the file.
        limit: most cases of each sort; None for all.
    """
    data, _ = isolated(_compress, path, bundle, bits_per_voxel)
    report, peak = isolated(_try_all, kind, data, bundle, limit)
    report.peak_bytes = peak
    if peak > _MOST_BYTES:
        report.faults.append(f"the reader took {peak / 2**30:.2f} GiB")
    report.faults += _try_command_line(data)
    return report


def _compress(path: Path, bundle: str, bits_per_voxel: float) -> bytes:
    return deepstd.Codec.load(bundle).compress(io.read(path), bpv=bits_per_voxel)


def _cases(data: bytes, limit: int | None) -> Iterator[tuple[str, bytes]]:
    """Yield every truncation, and 2,000 files with one byte changed at random."""
    lengths = range(len(data))
    if limit is not None:
        lengths = range(0, len(data), max(1, len(data) // limit))
    for length in lengths:
        yield f"cut to {length} bytes", data[:length]
    generator = random.Random(0)
    for _ in range(_FLIPS if limit is None else limit):
        position, mask = generator.randrange(len(data)), generator.randrange(1, 256)
        flipped = bytearray(data)
        flipped[position] ^= mask
        yield f"byte {position} changed by {mask:#04x}", bytes(flipped)


def _try_all(kind: str, data: bytes, bundle: str, limit: int | None) -> Report:
    codec = deepstd.Codec.load(bundle)
    expected = codec.decompress(data).voxels
    report = Report(kind, len(data))
    signal.signal(signal.SIGALRM, _too_long)
    for name, damaged in _cases(data, limit):
        start = time.perf_counter()
        signal.alarm(_MOST_SECONDS)
        try:
            restored = codec.decompress(damaged).voxels
        except DeepSTDError as error:
            outcome = type(error).__name__
            if error.exit_code != _DAMAGED_FILE or not str(error):
                report.faults.append(f"{name}: exit code {error.exit_code}, {error}")
        except Exception as error:
            outcome = f"traceback of {type(error).__name__}"
            report.faults.append(f"{name}: {error!r}")
        else:
            outcome = "same scan" if _same(expected, restored) else "another scan"
            if outcome != "same scan":
                report.faults.append(f"{name}: decoded to another scan without an error")
        finally:
            signal.alarm(0)
        report.outcomes[outcome] += 1
        report.slowest_s = max(report.slowest_s, time.perf_counter() - start)
    return report


def _try_command_line(data: bytes) -> list[str]:
    """Run `deepstd decompress` on a few damaged files; return its faults."""
    faults = []
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "damaged.dstd"), Path(folder, "restored.nii")
        for name, damaged in (
            ("nothing left", b""),
            ("cut in the middle", data[: len(data) // 2]),
            ("last byte missing", data[:-1]),
            ("signature changed", b"\0" + data[1:]),
            ("middle byte changed", _flip(data, len(data) // 2)),
            ("last byte changed", _flip(data, len(data) - 1)),
        ):
            source.write_bytes(damaged)
            done = subprocess.run(
                [sys.executable, "-m", "deepstd", "decompress", source, "-o", target],
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            if done.returncode != _DAMAGED_FILE or "Traceback" in done.stderr or not done.stderr:
                faults.append(f"{name}: exit code {done.returncode}: {done.stderr.strip()[-200:]}")
            if target.exists():
                faults.append(f"{name}: a scan was written")
                target.unlink()
    return faults


def describe(reports: list[Report]) -> str:
    """Return the table, and the first faults of every file."""
    lines = [HEAD, *(report.line() for report in reports)]
    for report in reports:
        lines += [f"- {report.kind}: {fault}" for fault in report.faults[:_FAULTS_SHOWN]]
    return "\n".join(lines)


def _flip(data: bytes, position: int) -> bytes:
    return data[:position] + bytes([data[position] ^ 0x55]) + data[position + 1 :]


def _same(expected: np.ndarray, restored: np.ndarray) -> bool:
    return expected.dtype == restored.dtype and np.array_equal(
        expected, restored, equal_nan=expected.dtype.kind == "f"
    )


def _too_long(signum: int, frame: object) -> None:
    raise TimeoutError(f"took more than {_MOST_SECONDS} s")


def main() -> int:
    """Damage one file of each kind, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--limit", type=int, help="only so many cases of each sort")
    add_data_option(parser)
    asked = parser.parse_args()
    reports: list[Report] = []
    for kind, name, scan, bits_per_voxel in FILES:
        bundle = STUDIES[name].bundle
        reports.append(study(kind, asked.data / scan, bundle, bits_per_voxel, asked.limit))
        sys.stderr.write(f"{kind}: {len(reports[-1].faults)} faults\n")
    if asked.limit is None:
        kept = json.dumps([vars(report) for report in reports], indent=1)
        (FOLDER / "damage.json").write_text(kept + "\n", encoding="utf-8")
    sys.stdout.write(describe(reports) + "\n")
    return int(any(report.faults for report in reports))


if __name__ == "__main__":
    sys.exit(main())
