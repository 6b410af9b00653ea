"""The demo: real scans there and back, a table and pictures in ./demo-output.

SCAN, or the MNI152 T1 brain of nilearn ─ generic ─────────┐
crop of that brain around a hippocampus ─ hippocampus-t1 ──┴─▶ .dstd, restored scan, PNG, table
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from nibabel.nifti1 import Nifti1Image

import deepstd
from deepstd import api
from deepstd.cli import console
from deepstd.errors import DeepSTDError, InputError, MissingExtraError

matplotlib.use("Agg")
from matplotlib import pyplot as plt

# Left hippocampus in MNI space, and the size of a crop such as those of the Decathlon's Task 04.
_CENTRE_MM = (-26.0, -22.0, -10.0)
_CROP = (35, 50, 36)
_HEAD = ("scan", "bundle", "bytes", "ratio", "bpv", "MAE", "PSNR", "SSIM", "there", "back")


@dataclass(frozen=True)
class Job:
    """One scan and the bundle to compress it with; ``label`` names its outputs."""

    label: str
    source: Path
    bundle: str


def main() -> int:
    """Run the demo; the exit code."""
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("scan", nargs="?", type=Path, help="NIfTI, .npy, or grey PNG or TIFF")
    parser.add_argument("--ratio", type=float, default=64.0)
    parser.add_argument("--output", type=Path, default=Path("demo-output"), metavar="DIR")
    given = parser.parse_args()
    try:
        run(given.scan, given.ratio, given.output)
    except DeepSTDError as error:
        console.note(f"error: {error}")
        return error.exit_code
    return 0


def run(scan: Path | None, ratio: float, folder: Path) -> None:
    """Compress, restore, draw and tabulate."""
    folder.mkdir(parents=True, exist_ok=True)
    brain = mni152()
    crop = folder / "hippocampus.nii.gz"
    cut_hippocampus(brain, crop)
    first = Job("mni152-t1", brain, "generic")
    if scan is not None:
        if scan.resolve().parent == folder.resolve():
            raise InputError(f"{scan}: lies in the output folder. Choose another with --output")
        first = Job(scan.name.split(".")[0] or "scan", scan, "generic")
    rows = []
    for job in (first, Job("hippocampus", crop, "hippocampus-t1")):
        rows.append(there_and_back(job, ratio, folder))
    console.result(console.table(_HEAD, rows))
    console.result(f"\nFiles and pictures are in {folder}.")


def there_and_back(job: Job, ratio: float, folder: Path) -> list[str]:
    """Compress and restore one scan and draw it; a row of the table."""
    packed = folder / f"{job.label}.dstd"
    restored_path = folder / f"{job.label}-restored{suffix_of(job.source)}"
    with console.Progress(f"compressing {job.source.name}") as progress:
        report = api.compress(
            job.source, packed, ratio=ratio, model=job.bundle, overwrite=True, progress=progress
        )
        progress(f"restoring {packed}")
        began = time.monotonic()
        restored = api.decompress(packed, restored_path, overwrite=True)
        seconds = time.monotonic() - began
        progress("drawing")
        draw(deepstd.read(job.source), restored, folder / f"{job.label}.png", report)
    return [
        job.label,
        report.bundle,
        f"{report.file_bytes:,}",
        f"{report.ratio:.2f}",
        f"{report.bpv:.4f}",
        f"{report.mae:.3g}",
        f"{report.psnr:.2f} dB",
        f"{report.ssim:.4f}",
        f"{report.seconds:.1f} s",
        f"{seconds:.1f} s",
    ]


def mni152() -> Path:
    """Return the MNI152 brain of nilearn; MissingExtraError without nilearn."""
    spec = importlib.util.find_spec("nilearn")
    if spec is None or spec.origin is None:
        raise MissingExtraError("nilearn is not installed: pip install 'deepstd[demo]'")
    folder = Path(spec.origin).parent / "datasets" / "data"
    return folder / "mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"


def cut_hippocampus(brain: Path, target: Path) -> None:
    """Write a crop around the left hippocampus, in the brain's own orientation and place."""
    volume = deepstd.read(brain)
    if volume.affine is None:
        raise InputError(f"{brain}: has no orientation")
    centre = np.linalg.solve(volume.affine, (*_CENTRE_MM, 1.0))[:3]
    start = np.rint(centre).astype(int) - np.array(_CROP) // 2
    window = tuple(slice(s, s + n) for s, n in zip(start, _CROP, strict=True))
    affine = volume.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ start
    image = Nifti1Image(volume.voxels[window], affine)
    image.header.set_xyzt_units("mm")
    image.to_filename(target)


def suffix_of(path: Path) -> str:
    """Return the suffix of a restored scan, which is the suffix of its source."""
    return ".nii.gz" if path.name.lower().endswith(".nii.gz") else path.suffix


def planes(volume: deepstd.Volume) -> list[tuple[np.ndarray, float]]:
    """Middle planes of the first frame, as they are to be seen, with height / width of a voxel."""
    voxels = volume.voxels[..., 0] if volume.voxels.ndim == 4 else volume.voxels
    spacing = volume.spacing or (1.0,) * voxels.ndim
    if voxels.ndim == 2 and volume.source.format in ("png", "tiff", "npy"):
        return [(voxels, spacing[0] / spacing[1])]
    if voxels.ndim == 2:
        return [(voxels.T[::-1], spacing[1] / spacing[0])]
    seen = []
    for axis in (2, 1, 0):
        wide, high = (n for n in range(3) if n != axis)
        plane = np.take(voxels, voxels.shape[axis] // 2, axis=axis)
        if min(plane.shape) > 1 or max(voxels.shape) == 1:
            seen.append((plane.T[::-1], spacing[high] / spacing[wide]))
    return seen or [(np.squeeze(voxels).reshape(1, -1), 1.0)]


def draw(
    original: deepstd.Volume, restored: deepstd.Volume, path: Path, report: api.CompressReport
) -> None:
    """Original, restored and error side by side, one row a plane."""
    finite = original.voxels[np.isfinite(original.voxels)]
    low, high = np.percentile(finite, [0.5, 99.5]) if finite.size else (0.0, 1.0)
    pairs = list(zip(planes(original), planes(restored), strict=True))
    errors = [after.astype(float) - before.astype(float) for (before, _), (after, _) in pairs]
    most = max(float(np.nanpercentile(np.abs(e), 99.9)) for e in errors) or 1.0
    figure, axes = plt.subplots(
        len(pairs), 3, squeeze=False, figsize=(10, 3.3 * len(pairs)), layout="constrained"
    )
    shown = None
    for row, ((before, aspect), (after, _)), error in zip(axes, pairs, errors, strict=True):
        for axis, image in zip(row, (before, after), strict=False):
            axis.imshow(image, cmap="gray", vmin=low, vmax=max(high, low + 1e-9), aspect=aspect)
        shown = row[2].imshow(error, cmap="RdBu_r", vmin=-most, vmax=most, aspect=aspect)
        for axis in row:
            axis.set_axis_off()
    for axis, title in zip(axes[0], ("original", "restored", "error"), strict=True):
        axis.set_title(title)
    if shown is not None:
        figure.colorbar(shown, ax=axes[:, 2].tolist(), shrink=0.7)
    figure.suptitle(
        f"{report.file_bytes:,} bytes, ratio {report.ratio:.1f}, {report.bpv:.4f} bpv, "
        f"PSNR {report.psnr:.1f} dB, SSIM {report.ssim:.3f}  ({report.bundle})"
    )
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    sys.exit(main())
