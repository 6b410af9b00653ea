"""Section of docs/paper.md on scale: large scans, many workers, whole archives.

results/scale.json ─ lines, Farm ─▶ tables, two plots; every simulated figure is called so
"""

from __future__ import annotations

import base64
from pathlib import Path

from benchmarks.paper import scale
from benchmarks.paper.scaled import COMMAND, duration, farm_of, line_of
from benchmarks.paper.simulation import ARCHIVES, WORKERS
from deepstd.container.head import MAX_VOXELS
from deepstd.evaluate import plots

_DOCS = Path(__file__).resolve().parents[2] / "docs"
COST_PICTURE, WORKERS_PICTURE = "pictures/paper-cost.svg", "pictures/paper-workers.svg"
_LARGE = 1_000_000_000
# Sizes of the plot: all of the lines, some on the axis.
_DRAWN = (*(1e6 * 2**octave for octave in range(10)), 1e9)
_MARKED = (1e6, 4e6, 16e6, 64e6, 256e6, 1e9)


def section() -> list[str]:
    """Return the lines of the section."""
    lines = ["## Scale, by simulation", ""]
    kept = scale.load()
    if kept is None:
        return [*lines, f"Not measured: `{COMMAND}`.", ""]
    return [*lines, *_sizes(kept), *_workers(kept), *_archives(kept)]


def write_pictures() -> None:
    """Draw cost per voxel and throughput; nothing without measured costs."""
    kept = scale.load()
    if kept is None:
        return
    cost: dict[str, plots.Points] = {}
    for figure, name in (("compress_s", "compress"), ("restore_s", "restore")):
        line = line_of(kept, figure)
        cost[f"{name}, measured"] = [
            (c.voxels / 1e6, 1e6 * getattr(c, figure) / c.voxels) for c in kept.costs
        ]
        cost[f"{name}, line"] = [(v / 1e6, 1e6 * line.at(v) / v) for v in _DRAWN]
    ticks = {v / 1e6: f"{v / 1e6:g}" for v in _MARKED}
    _draw(COST_PICTURE, plots.curves(cost, "million voxels", "CPU µs per voxel", ticks))
    farm = farm_of(kept)
    throughput: dict[str, plots.Points] = {
        f"{a.name}, simulated": [(n, farm.voxels_per_second(a, n) / 1e6) for n in WORKERS]
        for a in ARCHIVES
    }
    ticks = {float(n): str(n) for n in WORKERS}
    _draw(WORKERS_PICTURE, plots.curves(throughput, "workers", "million voxels per second", ticks))


def _sizes(kept: scale.Scale) -> list[str]:
    lines = [
        "### Large scans",
        "",
        f"Measured: the middle of the chest CT of full size, all slices, at {scale.RATIO}× with "
        f"`{scale.BUNDLE}` and effort {scale.EFFORT}, whole commands in fresh processes of one "
        f"thread, beside other work ({kept.run['date']}, {kept.run['processor']}). `generic` was "
        "trained on this scan, so nothing is said of its quality. An idle machine is faster "
        "([results](results.md)).",
        "",
        "| million voxels | compress, CPU s | restore, CPU s | compress, µs per voxel "
        "| peak memory, GiB |",
        "| --- | --- | --- | --- | --- |",
    ]
    for cost in kept.costs:
        lines.append(
            f"| {cost.voxels / 1e6:.1f} | {cost.compress_s:.1f} | {cost.restore_s:.1f} "
            f"| {1e6 * cost.compress_s / cost.voxels:.2f} "
            f"| {cost.compress_gib:.2f}, {cost.restore_gib:.2f} |"
        )
    compress, restore = line_of(kept, "compress_s"), line_of(kept, "restore_s")
    memory, back = line_of(kept, "compress_gib"), line_of(kept, "restore_gib")
    lines += [
        "",
        f"![CPU time per voxel]({COST_PICTURE})",
        "",
        "Simulated: lines through these points, continued to 1,000 million voxels "
        f"({_LARGE / compress.largest:.0f} times the largest measured scan). A scan of that size "
        f"would take {duration(compress.at(_LARGE))} of one core to compress and "
        f"{duration(restore.at(_LARGE))} to restore. The lines miss the points by up to "
        f"{100 * max(compress.deviation, restore.deviation):.0f} %.",
        "",
        f"Memory is what limits: {memory.at(_LARGE):.0f} GiB to compress and "
        f"{back.at(_LARGE):.0f} GiB to restore. The voxels alone are "
        f"{2 * _LARGE / 2**30:.1f} GiB at 16 bits. A file may have {MAX_VOXELS / 1e9:.0f} billion "
        "voxels, so the format does not limit. Scans beyond the memory must be split; "
        "[Zarr chunks](zarr.md) do so.",
        "",
    ]
    return lines


def _workers(kept: scale.Scale) -> list[str]:
    farm = farm_of(kept)
    ray = (
        f"Ray {kept.ray} was installed, and not used"
        if kept.ray
        else "Ray was not installed where this was measured"
    )
    measured = "; ".join(
        f"{job.workers} worker{'s' * (job.workers > 1)}: {job.worker_s:.2f} s of the workers and "
        f"{job.driver_s:.3f} s of the driver for one more scan, {job.start_s:.1f} s to start"
        for job in kept.jobs
    )
    lines = [
        "### Many workers",
        "",
        f"Measured: `deepstd batch` with local workers on scans of {kept.jobs[0].voxels / 1e6:.1f} "
        f"million voxels, CPU time, one run each: {measured}. {ray}, so the cost of a "
        "task is that of local workers. Ray also sends scans and files over the network; that is "
        "not in these figures.",
        "",
        f"Simulated from that: a scan costs a worker {farm.job_s:.2f} s and "
        f"{1e6 * farm.voxel_s:.2f} µs per voxel, and the driver {farm.driver_s:.3f} s. Every "
        "worker has a core of its own, and cores do not slow each other down. The scans of an "
        f"archive are alike. All are read from one disk of {farm.disk / 1e6:.0f} MB/s, that is "
        "1 Gbit/s of Ethernet. The cost of a scan without voxels, which decides for X-rays, is "
        "that of volumes; images were not measured.",
        "",
        "| archive | " + " | ".join(f"{n}" for n in WORKERS) + " | limit at 64 |",
        "| --- |" + " --- |" * (len(WORKERS) + 1),
    ]
    for archive in ARCHIVES:
        speeds = [f"{farm.voxels_per_second(archive, n) / 1e6:.1f}" for n in WORKERS]
        lines.append(f"| {archive.name} | {' | '.join(speeds)} | {farm.limit(archive, 64)} |")
    return [
        *lines,
        "",
        "Million voxels a second by the number of workers.",
        "",
        f"![Throughput of workers]({WORKERS_PICTURE})",
        "",
    ]


def _archives(kept: scale.Scale) -> list[str]:
    farm = farm_of(kept)
    lines = [
        "### The paper's archives",
        "",
        "Simulated: bytes at the paper's ratios in files of just that size (here they fill 0.997 "
        "to 1.000 of it), and the time to compress with N workers. GB are 10⁹ bytes.",
        "",
        "| archive | scans | ratio | GB before | GB after | 1 worker | 8 | 64 | assumed |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for archive in ARCHIVES:
        times = [duration(farm.seconds(archive, n)) for n in (1, 8, 64)]
        lines.append(
            f"| {archive.name} | {archive.scans:,} | {archive.ratio} | {archive.nbytes / 1e9:.2f} "
            f"| {archive.compressed_bytes / 1e9:.3f} | {' | '.join(times)} "
            f"| {archive.assumed or '–'} |"
        )
    return [*lines, ""]


def _draw(place: str, url: str) -> None:
    path = _DOCS / place
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(base64.b64decode(url.partition(",")[2]))
