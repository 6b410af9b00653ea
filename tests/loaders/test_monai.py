"""MONAI reads .dstd files as it reads NIfTI, and trains on them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_cases import AFFINE, Cases, restored

from deepstd.errors import ContainerError

# As Any: MONAI's annotations deny what its functions take.
torch: Any = pytest.importorskip("torch", reason="needs PyTorch: pip install 'deepstd[loaders]'")
monai: Any = pytest.importorskip("monai", reason="needs MONAI: pip install 'deepstd[loaders]'")
data: Any = pytest.importorskip("monai.data")
losses_of: Any = pytest.importorskip("monai.losses")
nets: Any = pytest.importorskip("monai.networks.nets")
transforms: Any = pytest.importorskip("monai.transforms")

from deepstd.monai import DeepSTDReader  # noqa: E402

# MONAI 1.6 warns in each LoadImage that NVIDIA's codec for DICOM is not installed.
pytestmark = pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader")


def test_metadata_are_those_of_the_nifti(cases: Cases) -> None:
    path = cases[0]["image"]
    mine, meta = transforms.LoadImage(reader=DeepSTDReader(), image_only=False)(path)
    values = restored(path)
    theirs, expected = transforms.LoadImage(image_only=False)(path.with_suffix(".again.nii.gz"))
    np.testing.assert_allclose(np.asarray(mine), values, rtol=1e-6)
    np.testing.assert_allclose(np.asarray(mine), np.asarray(theirs), rtol=1e-6)
    for key in ("affine", "original_affine", "spatial_shape", "space", "original_channel_dim"):
        np.testing.assert_array_equal(meta[key], expected[key], err_msg=key)
    np.testing.assert_allclose(meta["affine"], AFFINE)


def test_several_files_are_channels(cases: Cases) -> None:
    path = cases[0]["image"]
    load = transforms.LoadImage(reader=DeepSTDReader(), ensure_channel_first=True)
    assert load([path, path]).shape == (2, 36, 34, 20)
    assert load(path).shape == (1, 36, 34, 20)
    reader = DeepSTDReader()
    different = reader.read([path, cases[1]["image"]])
    with pytest.raises(ValueError, match="channels of shapes"):
        reader.get_data(different)


def test_suffixes_and_damage(cases: Cases) -> None:
    reader = DeepSTDReader()
    assert reader.verify_suffix("a.DSTD")
    assert not reader.verify_suffix(["a.dstd", Path("b.nii.gz")])
    cases[0]["image"].write_bytes(b"no scan")
    with pytest.raises(ContainerError, match=r"0\.dstd"):
        reader.read(cases[0]["image"])


def test_two_steps_of_a_network(cases: Cases) -> None:
    torch.manual_seed(0)
    keys = ["image", "label"]
    transform = transforms.Compose(
        [
            transforms.LoadImaged(keys, reader=DeepSTDReader(), ensure_channel_first=True),
            transforms.ScaleIntensityd("image"),
            transforms.RandSpatialCropd(keys, (16, 16, 16), random_size=False),
        ]
    )
    loader = data.DataLoader(data.Dataset(cases, transform), batch_size=2)
    network = nets.UNet(3, 1, 2, channels=(4, 8, 8), strides=(2, 2), norm="instance")
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    loss_of = losses_of.DiceCELoss(to_onehot_y=True, softmax=True)
    losses = []
    for _ in range(2):
        for batch in loader:
            loss = loss_of(network(batch["image"]), batch["label"])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
    assert len(losses) == 2
    assert np.isfinite(losses).all()
    assert losses[0] != losses[1]


def test_without_monai_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "deepstd.monai")
    monkeypatch.setitem(sys.modules, "monai", None)
    with pytest.raises(ImportError, match=r"deepstd\[loaders\]"):
        import deepstd.monai  # noqa: F401
