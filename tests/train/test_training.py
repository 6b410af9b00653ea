"""Training: from files to a bundle that compresses better than an untrained one."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

from deepstd.codec.codec import Codec
from deepstd.errors import InputError
from deepstd.io import read
from deepstd.train.cache import CachedScan, read_cache, write_cache
from deepstd.train.config import TrainConfig
from deepstd.train.finish import write_bundle
from deepstd.train.prepare import prepare
from deepstd.train.run import train


def blob(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    random = np.random.default_rng(seed)
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    centre = random.uniform(-0.2, 0.2, len(shape))
    distance = np.sqrt(sum((a - c) ** 2 for a, c in zip(axes, centre, strict=True)))
    edges = np.tanh(8 * (0.6 - distance)) + 0.5 * np.cos(9 * distance)
    return np.rint(1000 + 400 * edges + 10 * random.normal(size=shape)).astype(np.int16)


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scans")
    for n in range(8):
        image = nibabel.Nifti1Image(blob(n, (20 + n % 2, 22, 19)), np.diag([2.0, 2.0, 2.0, 1.0]))
        nibabel.save(image, folder / f"patient{n // 2}_{n}.nii.gz")
    (folder / "broken.nii.gz").write_bytes(b"not a scan")
    splits = {"blobs": {"train": [f"patient{n // 2}_{n}.nii.gz" for n in range(6)]}}
    splits["blobs"]["validation"] = ["patient3_6.nii.gz"]
    splits["blobs"]["test"] = ["patient3_7.nii.gz"]
    (folder / "splits.json").write_text(json.dumps(splits))
    return folder


def test_prepare_splits_by_list_and_by_patient(scans: Path, tmp_path: Path) -> None:
    listed = prepare([scans], tmp_path / "a", splits=scans / "splits.json")
    assert (listed.train, listed.validation) == (6, 1)
    assert any("patient3_7" in name for name in listed.left_out)
    prepare([scans], tmp_path / "b", patient=r"(patient\d)_")
    by_patient: dict[str, set[str]] = {}
    for scan in read_cache(tmp_path / "b"):
        by_patient.setdefault(scan.patient, set()).add(scan.split)
    assert sorted(by_patient) == ["patient0", "patient1", "patient2", "patient3"]
    assert all(len(splits) == 1 for splits in by_patient.values())


def test_scans_of_one_name_in_many_folders_are_told_apart(tmp_path: Path) -> None:
    for n in range(8):
        folder = tmp_path / "scans" / f"sub-{n // 2}" / f"ses-{n % 2}"
        folder.mkdir(parents=True)
        np.save(folder / "T1.npy", blob(n, (6, 7, 8)))
    np.save(tmp_path / "scans" / "phantom.npy", blob(9, (6, 7, 8)))
    with pytest.raises(InputError, match="no scan to train on"):
        prepare([tmp_path / "scans"], tmp_path / "a", patient="(nobody)?")
    told = prepare([tmp_path / "scans"], tmp_path / "a", patient=r"(sub-\d)/")
    cache = read_cache(tmp_path / "a")
    assert len({scan.key for scan in cache}) == 8
    assert {scan.patient for scan in cache} == {"sub-0", "sub-1", "sub-2", "sub-3"}
    assert ["phantom" in name for name in told.left_out] == [True]
    names = {
        "train": [f"sub-{n // 2}/ses-{n % 2}/T1.npy" for n in range(6)],
        "validation": ["sub-3/ses-0/T1.npy"],
        "test": ["sub-3/ses-1/T1.npy", "elsewhere/T1.npy"],
    }
    splits = tmp_path / "splits.json"
    splits.write_text(json.dumps({"brains": names}))
    told = prepare([tmp_path / "scans"], tmp_path / "b", splits=splits)
    assert (told.train, told.validation) == (6, 1)
    splits.write_text(json.dumps({"brains": {"train": ["T1.npy"], "test": ["T1.npy"]}}))
    with pytest.raises(InputError, match="no scan to train on"):
        prepare([tmp_path / "scans"], tmp_path / "c", splits=splits)


def test_a_cache_gives_back_its_scans(tmp_path: Path) -> None:
    scan = CachedScan("a", "p", "train", blob(0, (5, 6)), np.eye(4), 1, 2)
    write_cache(tmp_path, [scan])
    (again,) = read_cache(tmp_path)
    assert np.array_equal(again.voxels, scan.voxels)
    assert (again.key, again.patient, again.split) == (scan.key, "p", "train")


@pytest.mark.parametrize(
    ("transform", "template"), [("lifting", False), ("lifting", True), ("autoencoder", True)]
)
def test_training_resumes_and_makes_a_working_bundle(
    scans: Path, tmp_path: Path, transform: str, template: bool
) -> None:
    prepare([scans], tmp_path / "cache", splits=scans / "splits.json")
    cache = read_cache(tmp_path / "cache")
    config = TrainConfig(
        "blobs", widths_3d=(16, 16), filter_3d=(8, 1), context_width=16, template=template,
        transform=transform, rates=(1.0, 4.0), shape_share=0.3,
    )  # fmt: skip
    messages: list[str] = []

    def note(message: str, share: float) -> None:
        messages.append(message)

    half = train(
        cache, config, tmp_path / "run", total_seconds=20.0, session_seconds=12.0, report=note
    )
    assert not half.finished
    done = train(cache, config, tmp_path / "run", total_seconds=20.0, resume=True, report=note)
    assert done.finished
    assert (done.shape is not None) == template
    bundle = write_bundle(done, config, cache, tmp_path / "bundle")
    assert "6" in bundle.card
    volume = read(scans / "patient3_7.nii.gz")
    trained = Codec.load(str(tmp_path / "bundle"))
    # The template and its fields take so much of the time that the autoencoder learns little.
    bpv = 2.0 if transform == "autoencoder" else 0.7
    data = trained.compress(volume, bpv=bpv)
    restored = trained.decompress(data)
    assert 0.997 * bpv <= 8 * len(data) / volume.voxels.size <= bpv
    # Far better than the mean value would be.
    error = np.square(restored.voxels - volume.voxels.astype(float)).mean()
    assert error < 0.2 * volume.voxels.var()


def test_resuming_another_run_is_refused(tmp_path: Path) -> None:
    cache = [CachedScan("a", "p", "train", blob(0, (16, 16)), None)]
    config = TrainConfig("one", ndims=(2,), widths_2d=(8,), filter_2d=(4, 1))
    with pytest.raises(InputError, match="no checkpoint"):
        train(cache, config, tmp_path, total_seconds=1.0, resume=True)
    train(cache, config, tmp_path, total_seconds=1.0)
    other = TrainConfig("two", ndims=(2,), widths_2d=(8,), filter_2d=(4, 1))
    with pytest.raises(InputError, match="another description"):
        train(cache, other, tmp_path, total_seconds=1.0, resume=True)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"name": "x", "widht": 3},
        {"name": "x", "learning_rate": "fast"},
        {"name": "x", "transform": "wavelet"},
    ],
)
def test_mistakes_in_a_description_are_named(values: dict[str, object]) -> None:
    with pytest.raises(InputError, match=r"run\.toml"):
        TrainConfig.from_dict(values, "run.toml")
