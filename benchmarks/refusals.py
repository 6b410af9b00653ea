"""Time to refuse wrong commands: CPU time, wall time, and whether torch was loaded.

    small inputs in a temporary folder ─ every command with every mistake ─▶ table in Markdown

Usage: python -m benchmarks.refusals [--repeats N] [--commands compress,train,…]

The fastest of the repeats is shown. The exit code is 1 where a mistake is not refused, where the
refusal takes half a second of CPU time, or where torch is loaded.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

import numpy as np

import deepstd
from benchmarks.processes import Measured, measured

_MOST_CPU = 0.5  # seconds
_LOADED = "DEEPSTD_TORCH_LOADED"
_PROGRAM = (
    "import os, sys; from deepstd.cli.app import main; code = main(); "
    f"open(os.environ[{_LOADED!r}], 'w').write(str('torch' in sys.modules)); sys.exit(code)"
)
_HUGE = (4096, 4096, 4096)
_LONGEST_MESSAGE = 160
MISTAKES = {
    "compress": {
        "no size": "scan.npy",
        "two sizes": "scan.npy --ratio 64 --bpv 1",
        "no such file": "typo.npy --ratio 64",
        "unknown kind of file": "text.txt --ratio 64",
        "compressed already": "scan.dstd --ratio 64 -o new.dstd",
        "output exists": "scan.npy --ratio 64",
        "output named as a scan": "scan.npy --ratio 64 -o new.nii.gz",
        "output is a folder": "scan.npy --ratio 64 -o full",
        "no such folder": "scan.npy --ratio 64 -o nowhere/new.dstd",
        "folder cannot be written": "scan.npy --ratio 64 -o /proc/new.dstd",
        "output is the input": "scan.npy --ratio 64 -o scan.npy --overwrite",
        "unknown bundle": "scan.npy --ratio 64 -o new.dstd -m typo",
        "unknown device": "scan.npy --ratio 64 -o new.dstd -d gpu",
        "unknown effort": "scan.npy --ratio 64 -o new.dstd --effort high",
        "ratio out of reach (.npy)": "scan.npy --ratio 100000 -o new.dstd",
        "ratio out of reach (.nii.gz)": "scan.nii.gz --ratio 100000 -o new.dstd",
        "ratio out of reach (.png)": "scan.png --ratio 100000 -o new.dstd",
        "too large for the memory": "huge.npy --ratio 64 -o new.dstd",
    },
    "decompress": {
        "no such file": "typo.dstd -o new.npy",
        "no .dstd file": "scan.npy -o new.npy",
        "damaged file": "damaged.dstd -o new.npy",
        "output exists": "scan.dstd -o scan.npy",
        "output without a format": "scan.dstd -o new.xyz",
        "output named as a .dstd file": "scan.dstd -o new.dstd",
        "format cannot hold it": "scan.dstd -o new.png",
        "no such folder": "scan.dstd -o nowhere/new.npy",
        "folder cannot be written": "scan.dstd -o /proc/new.npy",
        "folder holds files": "scan.dstd -o full/",
        "unknown bundle": "scan.dstd -o new.npy -m typo",
        "another bundle": "scan.dstd -o new.npy -m chest-xray",
        "too high a level": "scan.dstd -o new.npy --level 12",
    },
    "info": {"no such file": "typo.dstd", "no .dstd file": "text.txt"},
    "verify": {
        "no such file": "typo.dstd",
        "no such original": "scan.dstd --against typo.npy",
        "original of another shape": "scan.dstd --against other.npy",
        "unknown device": "scan.dstd -d gpu",
    },
    "register": {
        "no such scan": "typo.npy --to scan.npy -o new.npy",
        "no such fixed scan": "scan.npy --to typo -o new.npy",
        "bundle without a template": "scan.npy --to generic -o new.npy",
        "output exists": "scan.npy --to other.npy -o full/a.npy",
        "output without a format": "scan.npy --to other.npy -o new.xyz",
        "labels without an output": "scan.npy --to other.npy -o new.npy --labels scan.npy",
        "no such labels": "scan.npy --to other.npy -o a.npy --labels no.npy --warped-labels b.npy",
    },
    "prepare": {
        "no such folder": "typo -o cache",
        "cache exists": "scans -o made",
        "no expression": "scans -o cache --patient (",
        "no such split file": "scans -o cache --split typo.json",
        "output is a file": "scans -o text.txt",
    },
    "train": {
        "no such folder": "typo -o new",
        "bundle exists": "scans -o bundle",
        "no such description": "scans -o new --config typo.toml",
        "unknown entry": "scans -o new --config bad.toml",
        "no name for a bundle": "scans -o New@1",
        "unknown bundle to begin with": "scans -o new --from typo",
        "no checkpoint": "scans -o new --resume",
        "unknown device": "scans -o new -d gpu",
        "no time": "scans -o new --max-time soon",
        "output is a file": "scans -o text.txt",
    },
    "compare": {
        "no such scan": "typo.npy -o new",
        "unknown codec": "scan.npy -o new --codecs mpeg2",
        "no ratio": "scan.npy -o new --ratios small",
        "output is a file": "scan.npy -o text.txt",
        "no such segmenter": "scan.npy -o new --segmenter typo{scan}{labels}",
        "unknown bundle": "scan.npy -o new -m typo",
    },
    "evaluate": {"no such scan": "typo.npy -o new", "unknown device": "scan.npy -o new -d gpu"},
    "batch": {
        "no such folder": "typo new --ratio 64",
        "no scans": "bundle new --ratio 64",
        "output is a file": "scans text.txt --ratio 64",
        "no such part": "scans new --ratio 64 --shard 4/3",
        "unknown bundle": "scans new --ratio 64 -m typo",
        "unknown device": "scans new --ratio 64 -d gpu",
    },
    "model": {"no such bundle": "show typo"},
}


def prepare(folder: Path) -> None:
    """Write the inputs of all commands to a folder."""
    import nibabel
    from PIL import Image

    rng = np.random.default_rng(0)
    voxels = rng.integers(0, 255, (24, 20, 16)).astype(np.uint8)
    np.save(folder / "scan.npy", voxels)
    np.save(folder / "other.npy", voxels[:-1])
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), folder / "scan.nii.gz")
    Image.fromarray(voxels[..., 0]).save(folder / "scan.png")
    (folder / "text.txt").write_text("no scan")
    (folder / "bad.toml").write_text('name = "new"\nwidth = 3\n')
    for name in ("full", "scans", "made", "bundle"):
        (folder / name).mkdir()
    np.save(folder / "full" / "a.npy", voxels)
    np.save(folder / "scans" / "a.npy", voxels)
    (folder / "made" / "cache.json").write_text("{}")
    (folder / "bundle" / "bundle.json").write_text("{}")
    with open(folder / "huge.npy", "wb") as stream:  # a sparse file takes no space
        header = {"descr": "<i2", "fortran_order": False, "shape": _HUGE}
        np.lib.format.write_array_header_1_0(stream, header)
        stream.truncate(stream.tell() + 2 * int(np.prod(_HUGE, dtype=np.int64)))
    deepstd.compress(folder / "scan.npy", folder / "scan.dstd", max_bytes=2000, model="generic")
    data = (folder / "scan.dstd").read_bytes()
    (folder / "damaged.dstd").write_bytes(data[:-1])


def refused(command: str, options: str, folder: Path, repeats: int) -> tuple[Measured, bool]:
    """Run a wrong command several times.

    Args:
        command: sub-command of deepstd.
        options: its arguments, separated by spaces.
        folder: folder of the inputs.
        repeats: number of runs.

    Returns:
        The run with the least CPU time, and True where torch was loaded.
    """
    answer = folder / "loaded"
    runs = []
    for _ in range(repeats):
        arguments = [sys.executable, "-c", _PROGRAM, command, *options.split()]
        runs.append(measured(arguments, folder, {_LOADED: str(answer)}))
    return min(runs, key=lambda run: run.cpu_s), answer.read_text() == "True"


def main() -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3, help="runs of each mistake")
    parser.add_argument("--commands", default=",".join(MISTAKES), help="some of the commands")
    asked = parser.parse_args()
    faults = []
    print("| command | mistake | CPU s | wall s | torch | exit code | message |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        prepare(folder)
        for command in asked.commands.split(","):
            for mistake, options in MISTAKES[command].items():
                run, torch = refused(command, options, folder, asked.repeats)
                lines = [line for line in run.message.splitlines() if "rror: " in line] or [""]
                message = lines[-1].replace("|", "\\|").removeprefix("error: ")
                if len(message) > _LONGEST_MESSAGE:
                    message = message[:_LONGEST_MESSAGE] + "…"
                print(
                    f"| {command} | {mistake} | {run.cpu_s:.2f} | {run.wall_s:.2f} | "
                    f"{'yes' if torch else 'no'} | {run.code} | {message} |",
                    flush=True,
                )
                if run.code in (0, 130) or torch or run.cpu_s >= _MOST_CPU:
                    faults.append(f"{command}: {mistake}")
    if faults:
        print(f"\n{len(faults)} not refused, not in time or not without torch: {'; '.join(faults)}")
    with tempfile.TemporaryDirectory() as place:
        numpy = [measured([sys.executable, "-c", "import numpy"], Path(place)) for _ in range(5)]
    print(
        f"\nTo import NumPy takes {min(run.cpu_s for run in numpy):.2f} s of CPU here, where the "
        f"load is {os.getloadavg()[0]:.1f}."
    )
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
