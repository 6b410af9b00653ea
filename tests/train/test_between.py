"""Training of the network for slices between others: batches, start, and a bundle that uses it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from textures import finished, smooth, trainable

from deepstd import bundle
from deepstd.codec.codec import Codec
from deepstd.errors import InputError
from deepstd.texture.conditioning import Hint
from deepstd.texture.kinds import BETWEEN
from deepstd.texture.networks.network import TextureNetwork
from deepstd.texture.scaling import Scaling
from deepstd.texture.wavelet.encoder import TextureEncoder, encode_together
from deepstd.texture.wavelet.network import TextureConfig
from deepstd.train.between import draw_batch
from deepstd.train.cache import CachedScan
from deepstd.train.config import TrainConfig
from deepstd.train.data import Example, draw
from deepstd.train.finish import write_bundle
from deepstd.train.run import train
from deepstd.train.start import Start, thinned
from deepstd.volume import Volume


def volume(shape: tuple[int, ...], coarse: tuple[int, ...]) -> Example:
    waves = [300 * np.cos(np.arange(n) / 20) for n in shape]
    values = np.add.outer(np.add.outer(waves[0], waves[1]), waves[2]).astype(np.float32)
    return Example(torch.from_numpy(values)[None, None], coarse, Scaling(128, 0), None)


@settings(deadline=None, max_examples=25)
@given(
    case=st.sampled_from(
        [((30, 28, 9), (0, 0, 5)), ((20, 17, 25), (0, 0, 0)), ((3, 40, 20), (6, 0, 1))]
    ),
    seed=st.integers(0, 2**32 - 1),
)
def test_batches_are_slices_with_what_their_neighbours_tell(
    case: tuple[tuple[int, ...], tuple[int, ...]], seed: int
) -> None:
    torch.manual_seed(0)
    network = TextureNetwork(TextureConfig(2, (4,), True, 4, 1))
    config = TrainConfig("x", ndims=(3,), widths_between=(4,), batch=3)
    random, generator = np.random.default_rng(seed), torch.Generator().manual_seed(0)
    batch, coarse = draw_batch(network, [volume(*case)], config, random, generator, largest=16)
    assert batch.hint is not None
    assert batch.units.shape == batch.hint.units.shape
    assert len(batch.units) == len(batch.rates) == 3
    assert max(batch.units.shape[2:]) <= 16
    assert len(coarse) == 2
    assert min(coarse) == 0
    assert torch.equal(batch.hint.units, torch.floor(batch.hint.units))
    assert batch.hint.places.abs().max() <= 64
    missed = (batch.units - batch.hint.units).square().mean()
    assert missed < 0.2 * batch.units.square().mean() + 64**2


def test_a_thinned_network_that_is_as_wide_codes_as_before(
    phantom: Callable[..., np.ndarray],
) -> None:
    images = trainable(Start.of(bundle.load(bundle.find("generic"))).networks[2])
    sizes = images.config
    config = TextureConfig(2, sizes.widths, True, sizes.filter_width, sizes.filter_blocks)
    between = thinned(images, config).eval().requires_grad_(False)
    values = phantom((44, 37)).astype(np.float64)
    nothing = Hint(np.zeros((1, 1, 44, 37)), np.zeros((1, 2, 44, 37)))
    alone, hinted = (TextureEncoder(finished(net), values, None) for net in (images, between))
    (coded,) = encode_together([hinted], 2500, [0.08], nothing)
    assert coded.payload == alone.encode(2500, 0.08).payload
    with pytest.raises(InputError, match="no level may be wider"):
        thinned(images, TextureConfig(2, (sizes.widths[0] + 1,), True, 8, 1))


def test_a_run_that_keeps_networks_adds_one_for_slices_between_others(tmp_path: Path) -> None:
    generic = Start.of(bundle.load(bundle.find("generic")))
    without = {part: network for part, network in generic.networks.items() if part != BETWEEN}
    start = Start("generic", generic.shape, without)
    values = {
        **start.sizes([3, 2]),
        "name": "mine",
        "ndims": [3, 2],
        "kept": ["2", "3"],
        "widths_between": [8, 8],
        "filter_between": [8, 1],
        "crop_2d": 24,
        "batch": 2,
    }
    values = {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}
    config = TrainConfig.from_dict(values, "x")
    scans = [
        CachedScan(f"{n}", f"{n}", split, np.rint(smooth((30, 28, 12), n)), np.diag([1, 1, 3, 1]))
        for n, split in enumerate(["train", "train", "validation"])
    ]
    scans.append(CachedScan("flat", "4", "train", np.rint(smooth((30, 28))), None, 1))
    with pytest.raises(InputError, match="--from"):
        train(scans, config, tmp_path / "ck", total_seconds=4)
    trained = train(scans, config, tmp_path / "ck", total_seconds=4, start=start)
    assert trained.finished
    assert set(trained.seconds) == {BETWEEN}
    again = train(scans, config, tmp_path / "ck", total_seconds=4, start=start, resume=True)
    assert again.seconds[BETWEEN] == trained.seconds[BETWEEN]
    elsewhere = train(scans, config, tmp_path / "ck", total_seconds=4, resume=True)
    assert set(elsewhere.networks) == {BETWEEN}
    write_bundle(trained, config, scans, tmp_path / "mine")
    codec = Codec.load(str(tmp_path / "mine"), device="cpu")
    assert "taken over" in codec.bundle.card
    for part in (2, 3):
        kept = generic.networks[part].to_tensors()
        for name, array in codec.bundle.textures[str(part)].items():
            np.testing.assert_array_equal(array, kept[name])
    networks = codec.model.codec_for((30, 28, 12))[0].slices
    assert networks is not None
    assert networks.predicted is not None
    scan = Volume(np.rint(smooth((30, 28, 12))).astype(np.int16), np.diag([1.0, 1.0, 3.0, 1.0]))
    data = codec.compress(scan, bpv=1.0, effort="fast")
    error = codec.decompress(data).voxels.astype(float) - scan.voxels
    assert error.std() < 0.2 * scan.voxels.std()


def test_a_network_for_images_sees_slices_of_volumes(tmp_path: Path) -> None:
    """One that volumes are coded with slice by slice; a template is for whole scans only."""
    volume = CachedScan("v", "1", "train", np.rint(smooth((30, 28, 6))), np.diag([1, 1, 5, 1]))
    image = CachedScan("i", "2", "train", np.rint(smooth((30, 28), 1)), None, 1)
    seen: set[int] = set()

    def drawn(examples: list[Example], count: int, random: np.random.Generator) -> list[Example]:
        found = draw(examples, count, random)
        seen.update(example.source for example in found if len(example.shape) == 2)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("deepstd.train.loop.draw", drawn)
        config = TrainConfig(
            "x", ndims=(2, 3), widths_2d=(4,), widths_3d=(4,), crop_2d=16, crop_3d=8
        )
        train([volume, image], config, tmp_path, total_seconds=4)
    assert seen == {~0, 1}


@pytest.mark.parametrize(
    ("entries", "problem"),
    [
        ({"ndims": [2], "widths_between": [8]}, "3 among ndims"),
        ({"ndims": [3], "widths_between": [8], "template": True}, "without a template"),
        ({"ndims": [3], "kept": ["2"]}, "no network of the run"),
    ],
)
def test_descriptions_that_make_no_sense(entries: dict[str, object], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        TrainConfig.from_dict({"name": "x", **entries}, "run.toml")
