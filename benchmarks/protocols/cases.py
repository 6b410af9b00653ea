"""Cases: a bundle, and scans of a protocol that it has not learned.

splits.json ─ scans of a part ─ change of contrast or resolution ─▶ volumes to learn from, to test
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from PIL import Image
from scipy import ndimage

from benchmarks.standing.studies import STUDIES, Scan, split
from deepstd.volume import Volume

_COARSER = 1.5  # ratio of voxel edges


@dataclass(frozen=True)
class Case:
    """A bundle and a protocol that is new to it.

    Attributes:
        title: heading of its tables.
        bundle: name or folder of the bundle.
        data_set: key in splits.json of the scans with the new protocol.
        own: study of the protocol that the bundle has learned.
        train, test: numbers of scans of the new protocol to learn from and to test.
        change: maps a scan to the new protocol; None for scans that have it.
        folder: folder of the scans in the data set, where only one is meant.
    """

    title: str
    bundle: str
    data_set: str
    own: str
    train: int
    test: int
    change: Callable[[Volume], Volume] | None = None
    folder: str = ""

    def names(self, part: str) -> tuple[str, ...]:
        """Return the scans of a part, "train" or "test"."""
        count = self.train if part == "train" else self.test
        return split(self.data_set, part, self.folder)[:count]

    def volumes(self, part: str, data: Path) -> Iterator[tuple[str, Volume]]:
        """Yield name and volume in the new protocol of each scan of a part."""
        for name in self.names(part):
            volume = Scan.read(data, name).volume
            yield name, self.change(volume) if self.change else volume

    def peak(self, voxels: np.ndarray) -> float:
        """Return the peak of the PSNR, that of the bundle's own study."""
        return STUDIES[self.own].peak(voxels)


def _inverted(volume: Volume) -> Volume:
    """Return a scan with dark and bright exchanged."""
    voxels = volume.voxels
    total = int(voxels.min()) + int(voxels.max())
    if voxels.dtype.kind == "f":
        return Volume((voxels.min() + voxels.max() - voxels).astype(voxels.dtype), volume.affine)
    return Volume((total - voxels.astype(np.int64)).astype(voxels.dtype), volume.affine)


def _coarser(volume: Volume) -> Volume:
    """Return a scan with voxels of 1.5 times the edge, smoothed against aliasing."""
    voxels = ndimage.gaussian_filter(volume.voxels.astype(np.float64), _COARSER / 3)
    shape = [round(n / _COARSER) for n in voxels.shape]
    scale = np.diag([*[_COARSER] * len(shape), 1.0])
    found = ndimage.affine_transform(voxels, scale[:-1, :-1], output_shape=tuple(shape), order=1)
    if volume.voxels.dtype.kind != "f":
        found = np.rint(found)
    return Volume(found.astype(volume.voxels.dtype), volume.affine @ scale)


def write_scan(name: str, volume: Volume, folder: Path) -> None:
    """Write a scan below a folder: an image of 8 bits as PNG, any other as NIfTI."""
    stem = Path(name).name.split(".")[0]
    if volume.voxels.ndim == 2 and volume.voxels.dtype == np.uint8:
        Image.fromarray(volume.voxels).save(folder / f"{stem}.png")
    else:
        nib.save(nib.Nifti1Image(volume.voxels, volume.affine), folder / f"{stem}.nii.gz")


CASES = {
    "contrast": Case(
        "Hippocampus, T1 MR crops of inverted contrast",
        "hippocampus-t1", "hippocampus-t1", "hippocampus", 40, 8, _inverted,
    ),
    "resolution": Case(
        "Hippocampus, T1 MR crops of 1.5 mm instead of 1 mm",
        "hippocampus-t1", "hippocampus-t1", "hippocampus", 40, 8, _coarser,
    ),
    "negative": Case(
        "Chest X-ray, negative (dark bones)",
        "chest-xray", "chest-xray", "xray", 60, 5, _inverted, "chest-xray/images/",
    ),
    "scanner": Case(
        "CT of limb and trunk from PET-CT scanners, for a bundle of planning CT of head and neck",
        "bundles/headneck-ct", "sarcoma-ct", "head-neck", 11, 2,
    ),
}  # fmt: skip
