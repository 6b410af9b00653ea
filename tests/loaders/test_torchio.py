"""TorchIO reads .dstd files as it reads NIfTI, and trains on them."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from training_cases import Cases, restored

import deepstd.torchio

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'deepstd[loaders]'")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of what it imports
    torchio = pytest.importorskip("torchio", reason="needs TorchIO: pip install torchio")

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning:torchio")


def test_images_are_those_of_the_nifti(cases: Cases) -> None:
    path = cases[0]["image"]
    values = restored(path)
    mine = torchio.ScalarImage(path, reader=deepstd.torchio.read)
    theirs = torchio.ScalarImage(path.with_suffix(".again.nii.gz"))
    np.testing.assert_allclose(mine.data[0], values)
    assert mine.shape == theirs.shape == (1, 36, 34, 20)
    np.testing.assert_allclose(mine.affine, theirs.affine, atol=1e-5)
    np.testing.assert_allclose(mine.data, theirs.data)


def test_two_steps_of_a_network_on_patches(cases: Cases) -> None:
    torch.manual_seed(0)
    read = deepstd.torchio.read
    subjects = [
        torchio.Subject(
            image=torchio.ScalarImage(case["image"], reader=read),
            label=torchio.LabelMap(case["label"], reader=read),
        )
        for case in cases
    ]
    dataset = torchio.SubjectsDataset(subjects, torchio.RescaleIntensity((0, 1)))
    queue = torchio.Queue(dataset, 4, 2, torchio.UniformSampler(16), num_workers=0)
    loader = torchio.SubjectsLoader(queue, batch_size=2, num_workers=0)
    network = torch.nn.Conv3d(1, 2, 3, padding=1)
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    steps = 0
    for batch in loader:
        image, label = batch["image"][torchio.DATA], batch["label"][torchio.DATA]
        assert image.shape == (2, 1, 16, 16, 16)
        loss = torch.nn.functional.cross_entropy(network(image.float()), label[:, 0].long())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        steps += 1
    assert steps == 2
    assert torch.isfinite(network.weight).all()


def test_shapes_of_images_and_frames(tmp_path, phantom) -> None:  # noqa: ANN001
    for shape, expected in (((9, 7), (1, 9, 7, 1)), ((6, 7, 8, 3), (3, 6, 7, 8))):
        deepstd.compress(phantom(shape), tmp_path / "a.dstd", lossless=True, overwrite=True)
        values, affine = deepstd.torchio.read(tmp_path / "a.dstd")
        assert values.shape == expected
        np.testing.assert_array_equal(affine, np.eye(4))
