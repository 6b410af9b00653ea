"""Picture of the README: one slice of MNI152, restored at a ratio, and the difference.

MNI152 of nilearn ─ deepstd.compress, decompress ─▶ middle axial slice ─▶ docs/pictures/mni152.png

    python -m benchmarks.picture
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
from pathlib import Path

import matplotlib
import numpy as np

import deepstd

matplotlib.use("Agg")
from matplotlib import pyplot as plt

_ROOT = Path(__file__).resolve().parents[1]
_BRAIN = "datasets/data/mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"


def main() -> None:
    """Compress, restore and draw."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.picture", description=__doc__)
    parser.add_argument("--ratio", type=float, default=64.0)
    target = _ROOT / "docs" / "pictures" / "mni152.png"
    parser.add_argument("--output", type=Path, default=target)
    given = parser.parse_args()
    spec = importlib.util.find_spec("nilearn")
    if spec is None or spec.origin is None:
        raise SystemExit("nilearn is not installed: pip install 'deepstd[demo]'")
    brain = Path(spec.origin).parent / _BRAIN
    with tempfile.TemporaryDirectory() as folder:
        packed = Path(folder) / "brain.dstd"
        report = deepstd.compress(brain, packed, ratio=given.ratio, model="generic")
        restored = deepstd.decompress(packed, Path(folder) / "restored.nii.gz")
    words = f"{report.ratio:.0f}:1, {report.file_bytes:,} bytes, PSNR {report.psnr:.1f} dB"
    draw(deepstd.read(brain).voxels, restored.voxels, words, given.output)
    print(f"{given.output}: {words}, SSIM {report.ssim:.4f}, bundle {report.bundle}")


def draw(original: np.ndarray, restored: np.ndarray, words: str, path: Path) -> None:
    """Draw the middle axial slice of two volumes of shape (X, Y, Z), and their difference."""
    middle = original.shape[2] // 2
    before, after = (v[:, :, middle].T[::-1].astype(float) for v in (original, restored))
    low, high = np.percentile(original, [0.5, 99.9])
    most = (high - low) / 10
    figure, axes = plt.subplots(1, 3, figsize=(9, 4.2), layout="constrained")
    titles = ("original", f"restored, {words}", "difference, ±10 % of the range")
    for axis, image, title in zip(axes, (before, after, after - before), titles, strict=True):
        signed = axis is axes[2]
        limits = (-most, most) if signed else (low, high)
        axis.imshow(image, cmap="RdBu_r" if signed else "gray", vmin=limits[0], vmax=limits[1])
        axis.set_title(title, fontsize=8)
        axis.set_axis_off()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
    plt.close(figure)


if __name__ == "__main__":
    main()
