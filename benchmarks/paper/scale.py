"""Measurement of what a scan costs, from 1 to 72 million voxels, and what a job of a batch adds.

chest CT ─ its middle ─▶ crops ─ compress, decompress in fresh processes ─▶ costs ───┐
one crop, 2 and 8 times ─ batch with 1 and 2 workers ─▶ costs of a job ─────────┴▶ scale.json

Every process has one thread. CPU seconds count, as they depend less on other work than wall time.
"""

from __future__ import annotations

import json
import multiprocessing
import shutil
import sys
import tempfile
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.processes import Measured, measured
from benchmarks.standing.results import FOLDER, this_run
from deepstd import io

PATH = FOLDER / "scale.json"
SCAN, BUNDLE, RATIO, EFFORT = "chest-ct-full", "generic", 256, "fast"
# Rows and columns of the crops, with all 275 slices: 1.1, 2.1, 4.2, 8.5, 16.9, 72.1 million voxels.
SIDES = (62, 88, 124, 176, 248, 512)
_FEW, _MANY = 2, 8  # scans of the batches
_WORKERS = (1, 2)
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_REQUEST = ["--ratio", str(RATIO), "--effort", EFFORT, "--model", BUNDLE, "--device", "cpu"]
_ONE_THREAD: dict[str, str] = dict.fromkeys(_THREADS, "1")
# CPU seconds of the process that hands out the scans, and of its workers.
_DRIVER = """
import json, resource, sys
from deepstd.cli.app import main
try:
    sys.exit(main())
finally:
    used = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    json.dump([u.ru_utime + u.ru_stime for u in used], open("used.json", "w"))
"""


@dataclass(frozen=True)
class Cost:
    """Cost of one scan in a fresh process of one thread.

    Attributes:
        voxels: number of voxels.
        nbytes: bytes of the compressed file.
        compress_s, restore_s: CPU seconds of the whole command.
        compress_gib, restore_gib: peak memory of the process, in GiB.
    """

    voxels: int
    nbytes: int
    compress_s: float
    restore_s: float
    compress_gib: float
    restore_gib: float


@dataclass(frozen=True)
class Job:
    """Cost of one more scan in a batch with local workers.

    Attributes:
        workers: number of workers.
        voxels: voxels of the scan.
        worker_s: CPU seconds of the workers for one more scan.
        driver_s: CPU seconds of the process that hands out the scans, for one more.
        start_s: CPU seconds of everything before the first scan.
    """

    workers: int
    voxels: int
    worker_s: float
    driver_s: float
    start_s: float


@dataclass(frozen=True)
class Scale:
    """Measured figures that the simulation begins with.

    Attributes:
        run: date, machine and versions.
        ray: version of Ray that was installed; "" for none.
        costs: by size, smallest first.
        jobs: by number of workers.
    """

    run: dict[str, Any]
    ray: str
    costs: tuple[Cost, ...]
    jobs: tuple[Job, ...]


def load() -> Scale | None:
    """Return the kept figures; None where nothing was measured."""
    if not PATH.is_file():
        return None
    kept = json.loads(PATH.read_text(encoding="utf-8"))
    costs = tuple(Cost(**cost) for cost in kept["costs"])
    return Scale(kept["run"], kept["ray"], costs, tuple(Job(**job) for job in kept["jobs"]))


def measure(data: Path) -> Scale:
    """Measure everything on a machine that does little else, and keep it.

    Args:
        data: folder of the scans.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # In a process that ends: the peak of a new process is at least that of its parent.
        crops = multiprocessing.get_context("spawn").Process(target=_crops, args=(data, folder))
        crops.start()
        crops.join()
        costs = tuple(_cost(folder, side) for side in SIDES)
        jobs = tuple(_job(folder, workers) for workers in _WORKERS)
    scale = Scale(dict(this_run()), _ray(), costs, jobs)
    PATH.write_text(json.dumps(asdict(scale), indent=1) + "\n", encoding="utf-8")
    return scale


def _crops(data: Path, folder: Path) -> None:
    voxels = io.read(data / SCAN).voxels
    rows, columns, _ = voxels.shape
    for side in SIDES:
        top, left = (rows - side) // 2, (columns - side) // 2
        crop = voxels[top : top + side, left : left + side]
        np.save(folder / f"{side}.npy", np.ascontiguousarray(crop))


def _cost(folder: Path, side: int) -> Cost:
    scan, name = folder / f"{side}.npy", f"{side}.dstd"
    compress = _run(["compress", str(scan), "-o", name, *_REQUEST], folder)
    restore = _run(["decompress", name, "-o", "back.npy", "--overwrite"], folder)
    voxels = int(np.prod(np.load(scan, mmap_mode="r").shape))
    print(f"{voxels} voxels: {compress.cpu_s:.1f} s, {restore.cpu_s:.1f} s", file=sys.stderr)
    return Cost(
        voxels,
        (folder / name).stat().st_size,
        round(compress.cpu_s, 3),
        round(restore.cpu_s, 3),
        round(compress.peak_gib or 0.0, 3),
        round(restore.peak_gib or 0.0, 3),
    )


def _job(folder: Path, workers: int) -> Job:
    few, many = (_batch(folder, count, workers) for count in (_FEW, _MANY))
    driver, worker = ((b - a) / (_MANY - _FEW) for a, b in zip(few, many, strict=True))
    start = sum(few) - _FEW * (driver + worker)
    voxels = int(np.prod(np.load(folder / f"{SIDES[0]}.npy", mmap_mode="r").shape))
    return Job(workers, voxels, round(worker, 3), round(driver, 3), round(start, 3))


def _batch(folder: Path, count: int, workers: int) -> list[float]:
    """Return CPU seconds of the driver and of the workers of a whole batch."""
    source, place = folder / "batch", folder / "archive"
    for path in (source, place):
        shutil.rmtree(path, ignore_errors=True)
    source.mkdir()
    for number in range(count):
        shutil.copy(folder / f"{SIDES[0]}.npy", source / f"{number}.npy")
    words = ["batch", str(source), str(place), *_REQUEST, "--processes", str(workers)]
    _checked(measured([sys.executable, "-c", _DRIVER, *words], folder, _ONE_THREAD))
    return json.loads((folder / "used.json").read_text(encoding="utf-8"))


def _run(words: list[str], folder: Path) -> Measured:
    return _checked(measured([sys.executable, "-m", "deepstd", *words], folder, _ONE_THREAD))


def _ray() -> str:
    try:
        return metadata.version("ray")
    except metadata.PackageNotFoundError:
        return ""


def _checked(run: Measured) -> Measured:
    if run.code:
        raise RuntimeError(f"a command failed ({run.code}): {run.message.strip()}")
    return run
