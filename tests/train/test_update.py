"""Updating a bundle: what is kept, what is learned, and when there is a new version."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from textures import trainable

from deepstd import bundle
from deepstd.errors import InputError
from deepstd.texture.networks.integer import thawed
from deepstd.texture.trainable import Trainable, untrained
from deepstd.texture.wavelet.network import TextureConfig
from deepstd.train import update
from deepstd.train.cache import CachedScan
from deepstd.train.coding import batch_of
from deepstd.train.config import TrainConfig
from deepstd.train.data import make_example
from deepstd.train.finish import write_bundle
from deepstd.train.retention import divergence
from deepstd.train.run import train
from deepstd.train.start import Start
from deepstd.train.synthetic import synthetic_scans

Phantom = Callable[..., np.ndarray]
MakeBundle = Callable[[Path, str], Path]


def cached(values: np.ndarray, patient: str, split: str = "train") -> CachedScan:
    return CachedScan(f"{patient}.npy", patient, split, values, None)


@pytest.fixture
def scans(phantom: Phantom) -> list[CachedScan]:
    return [cached(phantom((16, 14, 12), seed=n), f"p{n}") for n in range(5)]


@pytest.mark.parametrize(("ndim", "level"), [(2, 0), (3, 0), (3, 1)])
def test_the_divergence_is_nothing_but_for_other_weights(
    phantom: Phantom, ndim: int, level: int
) -> None:
    before = trainable(Start.of(bundle.load(bundle.find("generic"))).networks[ndim])
    example = make_example(cached(phantom((24, 22, 20)[:ndim]), "p"), None, None)
    batch = batch_of([example, example], [1000, 3000])

    def of(network: Trainable) -> torch.Tensor:
        generator = torch.Generator().manual_seed(0)
        return divergence(before, trainable(network), batch, example.coarse, 0.08, generator, level)

    assert float(of(before)) == 0.0
    other = thawed(deepcopy(before))
    weight = other.context.get_parameter(f"levels.{level}.head.0.weight")
    with torch.no_grad():
        weight.mul_(1.2)
    found = of(other)
    assert float(found.detach()) > 1e-4
    found.backward()
    assert weight.grad is not None
    assert float(weight.grad.abs().max()) > 0


def test_synthetic_scans_are_reproducible_and_like_the_template() -> None:
    for ndim in (2, 3):
        one, again = synthetic_scans(ndim, None, 3), synthetic_scans(ndim, None, 3)
        assert all(np.array_equal(a.voxels, b.voxels) for a, b in zip(one, again, strict=True))
        assert {s.voxels.ndim for s in one} == {ndim}
        assert not np.array_equal(one[0].voxels, synthetic_scans(ndim, None, 4)[0].voxels)
        assert {s.split for s in one} == {"train", "validation"}
    shape = Start.of(bundle.load(bundle.find("hippocampus-t1"))).shape
    assert shape is not None
    for scan in synthetic_scans(3, shape, 0):
        alike = np.corrcoef(scan.voxels.ravel(), shape.template.ravel())[0, 1]
        assert 0.5 < alike < 0.999


def test_bits_at_equal_psnr() -> None:
    curve = {"bpv_0.0": 0.1, "bpv_2.0": 0.4, "bpv_4.0": 1.6}
    curve |= {"psnr_0.0": 20.0, "psnr_2.0": 26.0, "psnr_4.0": 32.0}
    assert update.growth(curve, curve) == 0.0
    dearer = {k: 1.1 * v if k.startswith("bpv") else v for k, v in curve.items()}
    assert update.growth(curve, dearer) == pytest.approx(0.1)
    finer = {k: v + 6.0 if k.startswith("psnr") else v for k, v in curve.items()}
    assert update.growth(curve, finer) == pytest.approx(-0.75)


@pytest.mark.parametrize(
    ("version", "following"), [("10", "11"), ("1.9", "1.10"), ("2-beta", "3-beta")]
)
def test_versions(version: str, following: str) -> None:
    assert update.next_version(version) == following


def test_a_patient_is_held_out_where_the_split_has_none(scans: list[CachedScan]) -> None:
    found = update.with_validation(scans)
    assert [s.split for s in found].count("validation") == 1
    assert [s.split for s in update.with_validation(scans[::-1])] == [s.split for s in found][::-1]
    kept = [*scans, cached(scans[0].voxels, "q", "validation")]
    assert update.with_validation(kept) == kept
    with pytest.raises(InputError, match="one patient"):
        update.with_validation(scans[:1])


@pytest.mark.parametrize("replays", [False, True])
def test_an_update_improves_and_keeps_the_networks_without_scans(
    scans: list[CachedScan],
    tmp_path: Path,
    make_bundle: MakeBundle,
    monkeypatch: pytest.MonkeyPatch,
    replays: bool,
) -> None:
    monkeypatch.setattr("deepstd.train.loop._WARM_UP", 1)
    folder = make_bundle(tmp_path / "first", "quick")
    found = bundle.load(folder)
    old = update.told_apart(scans) if replays else []
    start = Start.of(found)
    flat = [cached(scan.voxels[..., 6], scan.patient) for scan in scans]
    config = update.config_of(found.manifest, start, flat, old)
    assert config.kept == ("3",)
    new = update.with_validation(flat)
    done = train(
        new, config, tmp_path / "run", total_seconds=6.0, session_seconds=2.0, start=start, old=old
    )
    assert not done.finished
    done = train(
        new, config, tmp_path / "run", total_seconds=6.0, resume=True, start=start, old=old
    )
    written = write_bundle(done, config, new, tmp_path / "second")
    assert done.verdicts[2].is_fit
    assert (written.manifest.name, written.manifest.version) == ("quick", "2")
    assert written.textures["3"].keys() == found.textures["3"].keys()
    for name, array in found.textures["3"].items():
        assert np.array_equal(array, written.textures["3"][name])
    assert bundle.load(folder).digest == found.digest
    assert "Updated from quick 1" in written.card
    assert "4 new scans of 4 patients" in written.card


def test_no_version_without_a_gain(
    scans: list[CachedScan], tmp_path: Path, make_bundle: MakeBundle
) -> None:
    found = bundle.load(make_bundle(tmp_path / "first", "quick"))
    start = Start.of(found)
    config = update.config_of(found.manifest, start, scans, [])
    config = TrainConfig.from_dict({**config.to_dict(), "learning_rate": 0.0}, "test")
    new = update.with_validation(scans)
    done = train(new, config, tmp_path / "run", total_seconds=2.0, start=start, old=[])
    with pytest.raises(InputError, match=r"no new version.*3-D network \+0.00 % on new scans"):
        write_bundle(done, config, new, tmp_path / "second")
    assert not (tmp_path / "second").exists()


def test_weights_that_forget_are_not_taken(scans: list[CachedScan]) -> None:
    start = Start.of(bundle.load(bundle.find("generic")))
    before = trainable(start.networks[3])
    torch.manual_seed(0)
    other = untrained(TextureConfig.from_dict(before.config.to_dict()))
    examples = [make_example(scans[0], None, None)]
    config = TrainConfig("x", varied=False)
    chosen, verdict = update.judged(3, before, other, examples, examples, config)
    assert chosen is before
    assert not verdict.is_fit
    assert verdict.on_old > 0.01
