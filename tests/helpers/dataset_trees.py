"""Small trees with the names, types, headers and quirks of public data sets."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import nibabel
import numpy as np
from PIL import Image

TABLE = "Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Enlarged Cardiomediastinum"


def nifti(
    path: Path,
    shape: tuple[int, ...] = (9, 8, 7),
    spacing: tuple[float, ...] = (0.8, 0.8, 1.0),
    *,
    seed: int = 0,
    labels: bool = False,
    oblique: bool = False,
) -> None:
    """A CT-like scan in HU as its sources convert it: int16, LPS-ordered, both forms set."""
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    body = sum(a**2 for a in axes) < 0.8
    values = np.where(body, 40 + 30 * random.normal(size=shape), -1024)
    values = random.integers(0, 14, shape) if labels else values
    affine = np.diag([-spacing[0], -spacing[1], spacing[2], 1.0])
    if oblique:
        turn = np.eye(4)
        turn[1:3, 1:3] = [[0.966, -0.259], [0.259, 0.966]]
        affine = turn @ affine
    affine[:3, 3] = 120.0, 90.0, -300.0
    image = nibabel.Nifti1Image(np.rint(values).astype(np.uint8 if labels else np.int16), affine)
    image.header.set_xyzt_units("mm", "sec")
    nibabel.save(image, path)


def ctspine1k(folder: Path) -> Path:
    """Twelve volumes of the four sources, labels with half of them, tables, and one odd file."""
    names = [f"COLONOG/1.3.6.1.4.1.9328.50.4.{n:04d}" for n in (1, 2, 3, 21, 23, 431)]
    names += [f"HNSCC-3DCT-RT/HN_P{n:03d}" for n in (29, 30)]
    names += [f"MSD-T10/liver_{n}" for n in (0, 165)]
    names += [f"COVID-19/volume-covid19-A-{n:04d}_ct" for n in (11, 319)]
    root = folder / "CTSpine1K"
    for number, name in enumerate(names):
        nifti(root / "rawdata" / "volumes" / f"{name}.nii.gz", seed=number)
        if number % 2:
            nifti(root / "rawdata" / "labels" / f"{name}_seg.nii.gz", labels=True)
    nifti(root / "rawdata" / "volumes" / "verse" / "sub-verse004_ct.nii.gz")
    (root / "metadata").mkdir()
    (root / "metadata" / "data_split.txt").write_text("trainset:\nliver_0.nii.gz\n")
    (root / ".cache").mkdir()
    (root / ".cache" / "liver_1.nii.gz").write_bytes(b"partial download")
    return folder


def amos(folder: Path, unlabelled: Iterable[int] = range(7000, 7010)) -> Path:
    """Labelled CT and MR scans, unlabelled CT, unlabelled MR: fine, coarse and damaged ones."""
    root = folder / "amos22"
    for part, numbers in {"Tr": (1, 4, 507, 508), "Va": (8, 517), "Ts": (2, 600)}.items():
        for number in numbers:
            nifti(root / f"images{part}" / f"amos_{number:04d}.nii.gz", spacing=(1.2, 1.2, 3.0))
            if part != "Ts":
                nifti(root / f"labels{part}" / f"amos_{number:04d}.nii.gz", labels=True)
    (root / "dataset.json").write_text("{}")
    (root / "labeled_data_meta_0000_0599.csv").write_text("amos_id,Patient's Sex\n")
    more = folder / "amos22_unlabeled_mri_7000_8199"
    for number in unlabelled:
        # The slices of coronal scans lie along the second axis.
        spacing = (1.2, 6.0, 1.2) if number % 3 else (1.1, 1.1, 5.5)
        spacing = (4.5, 4.5, 8.0) if number == 7003 else spacing
        spacing = (1.5, 1.5, 25.0) if number == 7004 else spacing
        shape = (30, 9, 26) if spacing[1] == 6.0 else (30, 26, 9)
        nifti(more / f"amos_{number}.nii.gz", shape, spacing, seed=number, oblique=number % 2 == 0)
    if (more / "amos_7005.nii.gz").exists():
        (more / "amos_7005.nii.gz").write_bytes(b"\x1f\x8b cut off")
    nifti(folder / "amos22_unlabeled_ct_5000_5399" / "amos_5001.nii.gz")
    return folder


def chexpert(folder: Path, patients: int = 6) -> Path:
    """Frontal and lateral views of two studies, tables with the prefix of their own folder."""
    root = folder / "CheXpert-v1.0-small"
    rows: dict[str, list[str]] = {"train": [], "valid": []}
    first = {"train": 1, "valid": 64541}
    for part, count in (("train", patients), ("valid", 2)):
        for number in range(first[part], first[part] + count):
            views = [("study1", "view1_frontal"), ("study1", "view2_lateral")]
            views += [("study2", "view1_frontal")]
            for study, view in views:
                name = f"{part}/patient{number:05d}/{study}/{view}.jpg"
                path = root / name
                path.parent.mkdir(parents=True, exist_ok=True)
                pixels = np.random.default_rng(number).integers(0, 256, (39, 32), dtype=np.uint8)
                Image.fromarray(pixels).save(path, quality=90)
                view_of = "Frontal,AP" if "frontal" in view else "Lateral,"
                rows[part].append(f"CheXpert-v1.0-small/{name},Female,68,{view_of},1.0,")
    missing = "CheXpert-v1.0-small/train/patient00099/study1/view1_frontal.jpg"
    rows["train"].append(f"{missing},Male,50,Frontal,PA,,")
    for part, lines in rows.items():
        (root / f"{part}.csv").write_text("\n".join([TABLE, *lines]) + "\n")
    return folder


def fastmri(folder: Path) -> Path:
    """Empty files with the names of brains of several weightings and of knees, in batches."""
    brains = folder / "brain_multicoil_train_batch_0" / "multicoil_train"
    names = [f"file_brain_AXT2_20{n % 3}_20{n:05d}.h5" for n in range(5)]
    names += ["file_brain_AXFLAIR_200_6002452.h5", "file_brain_AXT1POST_201_6002717.h5"]
    names += ["file_brain_AXT2FLAIR_201_6002670.h5"]
    _touch(brains, names)
    _touch(folder / "multicoil_val", ["file_brain_AXT2_200_2000019.h5", "file1000178.h5"])
    _touch(folder / "multicoil_test", ["file_brain_AXT2_200_2000341.h5", "file1000003.h5"])
    for coil in ("multicoil", "singlecoil"):
        _touch(folder / f"{coil}_train", [f"file10000{n:02d}.h5" for n in (1, 2, 12)])
    _touch(folder / "singlecoil_val", ["file1000178.h5", "file1002515_v2.h5"])
    _touch(folder / "multicoil_train", ["notes.h5"])
    return folder


def synapse(folder: Path, numbers: Iterable[int] = (*range(1, 11), *range(21, 41))) -> Path:
    """BTCV as it is unpacked, one training scan without its labels."""
    root = folder / "RawData"
    for number in numbers:
        nifti(root / "Training" / "img" / f"img{number:04d}.nii.gz", seed=number)
        if number != 7:
            nifti(root / "Training" / "label" / f"label{number:04d}.nii.gz", labels=True)
    for number in range(61, 80):
        nifti(root / "Testing" / "img" / f"img{number:04d}.nii.gz", seed=number)
    nifti(root / "Training" / "reg" / "avg.nii.gz")
    return folder


def _touch(folder: Path, names: Iterable[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"\x89HDF\r\n\x1a\n")
