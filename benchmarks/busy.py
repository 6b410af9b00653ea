"""Time of commands while other programs use the cores, with and without passive waiting of threads.

    commands × waiting (OpenMP's default, passive) × (alone, beside twice as many busy processes as
    cores) ─▶ CPU and wall time ─▶ table in Markdown

Usage: python -m benchmarks.busy [--repeats N] [--commands doctor,crop,…]

The machine must do nothing else. Medians over the repeats are shown. The exit code is 1 where a
command with passive waiting takes more than 1.3 times the CPU time beside busy processes, or where
a command alone takes more than 1.03 times as long as with the default.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from benchmarks.processes import Measured, busy, cores, measured
from benchmarks.standing.studies import STUDIES, add_data_option

_MOST_CPU, _MOST_WALL = 1.3, 1.03
_LOAD = 0.5  # load average up to which a machine counts as idle
# Commands keep a policy that is set, also an empty one, for which OpenMP uses its default.
_WAITING: dict[str, dict[str, str]] = {"OpenMP's default": {"OMP_WAIT_POLICY": ""}, "passive": {}}
_PASSIVE = "passive"
_PLACES = ("alone", "beside")
_CROP, _XRAY, _FILE = "crop.nii.gz", "xray.png", "crop.dstd"
_COMMANDS = {
    "doctor": ["doctor"],
    "crop": ["compress", _CROP, "--ratio", "64", "-o", "new.dstd", "--overwrite"],
    "xray": ["compress", _XRAY, "--ratio", "64", "-o", "new.dstd", "--overwrite"],
    "decompress": ["decompress", _FILE, "-o", "new.nii.gz", "--overwrite"],
}
Key = tuple[str, str, str]


def measure(data: Path, names: list[str], repeats: int) -> dict[Key, list[Measured]]:
    """Run all commands.

    Args:
        data: folder of the data sets.
        names: names of commands.
        repeats: runs of each kind.

    Returns:
        Runs by (command, waiting, "alone" or "beside").
    """
    runs: dict[Key, list[Measured]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name, study in ((_CROP, "hippocampus"), (_XRAY, "xray")):
            (folder / name).symlink_to((data / STUDIES[study].scans[0]).resolve())
        _run(["compress", _CROP, "--ratio", "64", "-o", _FILE], folder, _PASSIVE)
        for _ in range(repeats):
            for where in _PLACES:
                with busy(2 * cores() if where == "beside" else 0):
                    for name in names:
                        for waiting in _WAITING:
                            done = _run(_COMMANDS[name], folder, waiting)
                            runs[name, waiting, where].append(done)
                            sys.stderr.write(
                                f"{name}, {waiting}, {where}: {done.cpu_s:.1f} s of CPU, "
                                f"{done.wall_s:.1f} s\n"
                            )
    return runs


def _run(arguments: list[str], folder: Path, waiting: str) -> Measured:
    command = [sys.executable, "-m", "deepstd", *arguments]
    done = measured(command, folder, _WAITING[waiting])
    if done.code:
        raise SystemExit(f"{' '.join(arguments)}: exit code {done.code}: {done.message}")
    return done


def describe(runs: dict[Key, list[Measured]]) -> tuple[str, list[str]]:
    """Return the table in Markdown, and the limits exceeded."""
    cpu = {key: statistics.median(one.cpu_s for one in done) for key, done in runs.items()}
    wall = {key: statistics.median(one.wall_s for one in done) for key, done in runs.items()}
    lines = [
        f"{cores()} cores, {2 * cores()} busy processes, medians of "
        f"{max(map(len, runs.values()))} runs, seconds",
        "",
        "| command | waiting | CPU alone | CPU beside | beside/alone | wall alone | wall beside |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    faults = []
    for name in dict.fromkeys(name for name, _, _ in runs):
        for waiting in _WAITING:
            alone, beside = ((name, waiting, where) for where in _PLACES)
            ratio = cpu[beside] / cpu[alone]
            times = f"{ratio:.2f} | {wall[alone]:.1f} | {wall[beside]:.1f}"
            lines.append(f"| {name} | {waiting} | {cpu[alone]:.1f} | {cpu[beside]:.1f} | {times} |")
            if waiting == _PASSIVE and ratio > _MOST_CPU:
                faults.append(f"{name} takes {ratio:.2f} times the CPU time beside busy processes")
        slower = wall[name, _PASSIVE, "alone"] / wall[name, "OpenMP's default", "alone"]
        if slower > _MOST_WALL:
            faults.append(f"{name} alone takes {slower:.3f} times as long with passive waiting")
    return "\n".join(lines), faults


def main() -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5, help="runs of each kind")
    parser.add_argument("--commands", default=",".join(_COMMANDS), help="some of the commands")
    add_data_option(parser)
    asked = parser.parse_args()
    load = os.getloadavg()[0]
    if load > _LOAD:
        sys.stderr.write(f"the machine is not idle (load {load:.1f}): the figures say little\n")
    table, faults = describe(measure(asked.data, asked.commands.split(","), asked.repeats))
    sys.stdout.write(table + "\n")
    for fault in faults:
        sys.stdout.write(f"- {fault}\n")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
