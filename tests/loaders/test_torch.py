"""Crops of compressed scans for PyTorch."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from training_cases import Cases, restored

import deepstd
from deepstd.errors import InputError

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'deepstd[loaders]'")

from torch.utils.data import DataLoader  # noqa: E402

from deepstd import loading  # noqa: E402
from deepstd.torch import CropDataset  # noqa: E402


def test_crops_are_parts_of_the_scans(cases: Cases) -> None:
    found = CropDataset(cases, (12, 16, 20), crops=3)
    assert len(found) == 6
    values, labels = restored(cases[1]["image"]), restored(cases[1]["label"])
    windows = np.lib.stride_tricks.sliding_window_view(values, (12, 16, 20)).astype(np.float32)
    for item in (found[3], found[5]):
        assert item["case"] == 1
        assert (item["image"].dtype, item["label"].dtype) == (torch.float32, torch.int64)
        assert item["image"].shape == item["label"].shape == (1, 12, 16, 20)
        same = (windows == item["image"][0].numpy()).all(axis=(-3, -2, -1))
        ((x, y, z),) = np.argwhere(same)
        part = labels[x : x + 12, y : y + 16, z : z + 20]
        np.testing.assert_array_equal(item["label"][0], part)
    with pytest.raises(IndexError):
        found[6]


def test_crops_reach_every_side_and_no_further(cases: Cases) -> None:
    torch.manual_seed(0)
    found = CropDataset([cases[0]["image"]], (35, 33, 19), crops=30)
    values = restored(cases[0]["image"]).astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(values, found.size).reshape(8, *found.size)
    seen = set()
    for index in range(len(found)):
        item = found[index]["image"][0].numpy()
        (place,) = (number for number, window in enumerate(windows) if (window == item).all())
        seen.add(place)
    assert len(seen) > 4


def test_places_repeat_with_the_seed_alone(cases: Cases) -> None:
    found = CropDataset(cases, (8, 8, 8))
    items = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        items.append(found[0]["image"].numpy())
    np.testing.assert_array_equal(items[0], items[1])
    assert (items[0] != items[2]).any()


def test_small_scans_are_padded(cases: Cases) -> None:
    item = CropDataset(cases[:1], (40, 34, 24))[0]
    values = restored(cases[0]["image"])
    np.testing.assert_array_equal(item["image"][0, :36, :, :20], values)
    assert (item["image"][0, 36:] == values.min()).all()
    assert (item["label"][0, :, :, 20:] == 0).all()


def test_scans_are_restored_once_while_they_fit(
    cases: Cases, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []

    def counted(path: Path, model: str) -> tuple[np.ndarray, None]:
        asked.append(path)
        return loading.load(path, model)[0], None

    monkeypatch.setattr("deepstd.torch.load", counted)
    images = [case["image"] for case in cases]
    found = CropDataset(images, (8, 8, 8), crops=2)
    for index in (0, 1, 2, 3, 0):
        assert found[index]["image"].shape == (1, 8, 8, 8)
    assert asked == images
    small = CropDataset(images, (8, 8, 8), crops=2, cache_bytes=1)
    for index in (0, 1, 2, 3, 0):
        small[index]
    assert asked[2:] == [*images, images[0]]
    assert not pickle.loads(pickle.dumps(small))._cache


def test_two_steps_of_a_network_with_a_worker(cases: Cases) -> None:
    torch.manual_seed(0)
    loader = DataLoader(CropDataset(cases, (16, 16, 16), crops=2), batch_size=2, num_workers=1)
    network = torch.nn.Sequential(
        torch.nn.BatchNorm3d(1), torch.nn.Conv3d(1, 8, 3, padding=1), torch.nn.ReLU(),
        torch.nn.Conv3d(8, 2, 3, padding=1),
    )  # fmt: skip
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    losses = []
    for batch in loader:
        loss = torch.nn.functional.cross_entropy(network(batch["image"]), batch["label"][:, 0])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert len(losses) == 2
    assert losses[1] < losses[0]


def test_requests_that_make_no_sense(cases: Cases, tmp_path: Path) -> None:
    for bad in ([], [cases[0], {"image": "b.dstd"}], [{}]):
        with pytest.raises(InputError):
            CropDataset(bad, (8, 8, 8))
    with pytest.raises(InputError, match="voxel"):
        CropDataset(cases, (8, 0, 8))
    with pytest.raises(InputError, match="3 axes, and crops have 1"):
        CropDataset([cases[0]["image"]], (8,))[0]
    with pytest.raises(InputError, match="differ in shape"):
        CropDataset([{"image": cases[0]["image"], "label": cases[1]["label"]}], (8, 8, 8))[0]
    flat = tmp_path / "flat.dstd"
    deepstd.compress(np.arange(600, dtype=np.uint16).reshape(20, 30), flat, lossless=True)
    assert CropDataset([flat], (8, 9))[0]["image"].shape == (1, 8, 9)
