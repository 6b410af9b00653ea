"""nnU-Net v2 reads and writes .dstd files, and its network trains on them."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from training_cases import AFFINE, Cases, restored

import deepstd
from deepstd.errors import InputError

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'deepstd[loaders]'")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of what it imports
    pytest.importorskip("nnunetv2", reason="needs nnU-Net: pip install 'deepstd[nnunet]'")
    from dynamic_network_architectures.architectures.unet import PlainConvUNet  # pyright: ignore[reportMissingImports]
    from nnunetv2.imageio.nibabel_reader_writer import NibabelIO  # pyright: ignore[reportMissingImports]
    from nnunetv2.imageio.reader_writer_registry import (  # pyright: ignore[reportMissingImports]
        determine_reader_writer_from_dataset_json,
    )
    from nnunetv2.training.loss.compound_losses import DC_and_CE_loss  # pyright: ignore[reportMissingImports]
    from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss  # pyright: ignore[reportMissingImports]

from deepstd import nnunet  # noqa: E402
from deepstd.nnunet import DeepSTDIO  # noqa: E402


def test_images_are_those_that_nnunet_reads_itself(cases: Cases) -> None:
    path = cases[0]["image"]
    restored(path)
    mine, properties = DeepSTDIO().read_images((str(path), str(path)))
    theirs, expected = NibabelIO().read_images((str(path.with_suffix(".again.nii.gz")),))
    assert mine.shape == (2, 20, 34, 36)
    np.testing.assert_allclose(mine[:1], theirs)
    np.testing.assert_allclose(properties["spacing"], expected["spacing"], rtol=1e-6)


def test_segmentations_come_back_in_place(cases: Cases, tmp_path: Path) -> None:
    io = DeepSTDIO()
    seg, properties = io.read_seg(str(cases[0]["label"]))
    assert (seg.shape, seg.max()) == ((1, 20, 34, 36), 1)
    output = tmp_path / "predicted.dstd"
    io.write_seg(seg[0].astype(int), str(output), properties)
    volume = deepstd.decompress(output)
    assert volume.voxels.dtype == np.uint8
    np.testing.assert_array_equal(volume.voxels, restored(cases[0]["label"]))
    assert volume.affine is not None
    np.testing.assert_allclose(volume.affine, AFFINE, atol=1e-6)


def test_an_image_is_one_slice(tmp_path: Path, phantom) -> None:  # noqa: ANN001
    values = phantom((30, 20), "uint8")
    deepstd.compress(values, tmp_path / "x.dstd", lossless=True)
    read, properties = DeepSTDIO().read_images((str(tmp_path / "x.dstd"),))
    np.testing.assert_array_equal(read, values.T[None, None])
    assert properties["spacing"] == [999.0, 1.0, 1.0]
    DeepSTDIO().write_seg(read[0] > 100, str(tmp_path / "y.dstd"), properties)
    found = deepstd.decompress(tmp_path / "y.dstd").voxels
    np.testing.assert_array_equal(found, values > 100)


def test_scans_that_do_not_belong_together(cases: Cases) -> None:
    with pytest.raises(InputError, match=r"1\.dstd: differs from .*0\.dstd"):
        DeepSTDIO().read_images([str(case["image"]) for case in cases])


def test_nnunet_finds_the_class_that_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nnunetv2 import imageio  # pyright: ignore[reportMissingImports]

    # Its own folder, without a change to the installed package.
    folder = tmp_path / "imageio"
    folder.mkdir()
    for path in Path(imageio.__path__[0]).glob("*.py"):
        (folder / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(imageio, "__path__", [str(folder)])
    monkeypatch.setattr("nnunetv2.__path__", [str(tmp_path)])
    hook = nnunet.install()
    assert hook.parent == folder
    described = {"overwrite_image_reader_writer": "DeepSTDIO", "file_ending": ".dstd"}
    assert determine_reader_writer_from_dataset_json(described, verbose=False) is DeepSTDIO


def test_two_steps_of_its_network(cases: Cases) -> None:
    torch.manual_seed(0)
    network = PlainConvUNet(
        1, 3, (4, 8, 8), torch.nn.Conv3d, 3, (1, 2, 2), 1, 2, 1,
        norm_op=torch.nn.InstanceNorm3d, nonlin=torch.nn.LeakyReLU,
    )  # fmt: skip
    loss_of = DC_and_CE_loss(
        {"batch_dice": False, "do_bg": False, "smooth": 1e-5}, {},
        dice_class=MemoryEfficientSoftDiceLoss,
    )  # fmt: skip
    optimiser = torch.optim.SGD(network.parameters(), 1e-2, momentum=0.99, nesterov=True)
    losses = []
    for case in cases:
        image, _ = DeepSTDIO().read_images((str(case["image"]),))
        seg, _ = DeepSTDIO().read_seg(str(case["label"]))
        part = (slice(None), slice(16), slice(32), slice(32))
        values = torch.from_numpy(image[part])[None] / 1000
        loss = loss_of(network(values), torch.from_numpy(seg[part])[None])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert np.isfinite(losses).all()
    assert losses[0] != losses[1]
