"""Training that begins with a bundle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from textures import finished, trainable

from deepstd import bundle
from deepstd.errors import InputError
from deepstd.texture.codec import squared_error
from deepstd.texture.networks.context import condition_vector
from deepstd.texture.trainable import Trainable, untrained
from deepstd.texture.wavelet.encoder import TextureEncoder
from deepstd.texture.wavelet.network import TextureConfig
from deepstd.train.cache import CachedScan
from deepstd.train.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from deepstd.train.config import TrainConfig
from deepstd.train.loop import new_state
from deepstd.train.run import train
from deepstd.train.start import Start, grow


@pytest.fixture(scope="module")
def generic() -> Start:
    found = Start.of(bundle.load(bundle.find("generic")))
    return Start("generic", found.shape, found.networks)


@pytest.mark.parametrize("ndim", [2, 3])
def test_a_grown_network_codes_as_the_one_it_grew_from(
    generic: Start, phantom: Callable[..., np.ndarray], ndim: int
) -> None:
    small = trainable(generic.networks[ndim])
    before = small.config
    widths = tuple(width + 8 for width in before.widths)
    config = TextureConfig(ndim, widths, False, before.filter_width + 5, before.filter_blocks + 1)
    values = phantom((40, 44, 37)[:ndim]).astype(np.float64)
    encoded = []
    for network in (small, grow(small, config)):
        encoder = TextureEncoder(finished(network), values, None)
        texture = encoder.encode(2500, 0.08)
        encoded.append((texture.payload, squared_error(encoder, texture, 2500)))
    assert encoded[0][0] == encoded[1][0]
    assert encoded[0][1] == pytest.approx(encoded[1][1], rel=1e-5)


def test_a_post_filter_can_be_left_out_or_added(generic: Start) -> None:
    small = trainable(generic.networks[2])
    sizes = small.config.to_dict()
    without = grow(small, TextureConfig.from_dict({**sizes, "filter_width": 0, "filter_blocks": 0}))
    assert without.to_tensors().keys() < small.to_tensors().keys()
    again = grow(without, small.config)
    low = torch.randn(1, 1, 20, 22) * 300
    condition = torch.zeros(1, small.context.config.conditions, 1, 1)
    torch.testing.assert_close(
        again.postfilter(low, None, condition), without.postfilter(low, None, condition)
    )


def test_new_channels_learn(generic: Start) -> None:
    small = trainable(generic.networks[2]).config
    config = TextureConfig(
        2, tuple(w + 4 for w in small.widths), False, small.filter_width, small.filter_blocks
    )
    level = grow(trainable(generic.networks[2]), config).context.levels[0]
    new = level.get_parameter("first.weight")[small.widths[0] :]
    assert float(new.detach().abs().max()) > 0


def test_a_network_that_gets_a_template_makes_no_use_of_it_at_first(
    generic: Start, phantom: Callable[..., np.ndarray]
) -> None:
    small = trainable(generic.networks[3])
    large = grow(small, TextureConfig.from_dict({**small.config.to_dict(), "template": True}))
    random = np.random.default_rng(3)
    (plain, _), (level, _) = small.context.level(0), large.context.level(0)
    grid, config = (6, 7, 5), small.context.config
    features = torch.from_numpy(random.integers(-40, 40, (1, config.features, *grid))).float()
    template = torch.from_numpy(random.integers(-40, 40, (1, config.bands + 4, *grid))).float()
    condition = condition_vector(config, 64, (0, 1, 2), 0)
    known = torch.zeros(1, config.bands, *grid)
    for index in range(config.passes):
        hidden = plain.hidden(features, condition)
        expected = plain.predict(index, hidden, known)
        same = level.hidden(torch.cat([features, template], 1), condition)
        torch.testing.assert_close(same, hidden)
        found = level.predict(index, same, known)
        torch.testing.assert_close(found.mean, expected.mean)
        torch.testing.assert_close(found.scale, expected.scale)
        assert found.gate is not None
        assert float(found.gate.detach().abs().max()) == 0

    with pytest.raises(InputError, match="a template cannot be given up"):
        grow(large, small.config)


@pytest.mark.parametrize(
    "change",
    [{"widths": (8, 8)}, {"filter_width": 4}, {"filter_blocks": 1}],
)
def test_what_cannot_grow_is_refused(generic: Start, change: dict[str, object]) -> None:
    small = trainable(generic.networks[2])
    sizes = {**small.config.to_dict(), **change}
    with pytest.raises(InputError, match="cannot grow"):
        grow(small, TextureConfig.from_dict(sizes))


def test_a_run_begins_where_the_bundle_ended(
    generic: Start,
    phantom: Callable[..., np.ndarray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("deepstd.train.job._TABLE_BATCHES", 3)
    scans = [
        CachedScan(f"{n}", f"{n}", "train", phantom((18, 18, 16), seed=n), None) for n in (1, 2)
    ]
    config = TrainConfig.from_dict({"name": "few", **generic.sizes([3])}, "test")
    assert config.network(3) == generic.networks[3].config
    # So short that there is hardly more than one step.
    begun = train(scans, config, tmp_path, total_seconds=0.01, start=generic)
    assert begun.start == "generic"
    scratch = train(scans, config, tmp_path / "scratch", total_seconds=0.01)

    def nbytes(trained: Trainable) -> int:
        network = trainable(trained)
        values = phantom((24, 24, 20), seed=9).astype(np.float64)
        return TextureEncoder(finished(network), values, None).encode(2500, 0.08).nbytes

    assert nbytes(begun.networks[3]) < 0.5 * nbytes(scratch.networks[3])


def test_tables_of_the_bundle_outlast_an_interruption(generic: Start, tmp_path: Path) -> None:
    config = TrainConfig.from_dict({"name": "few", **generic.sizes([3])}, "test")
    network = generic.network(3, config.network(3))
    save_checkpoint(tmp_path, config, Checkpoint(states={3: new_state(3, network, config)}))
    kept = load_checkpoint(tmp_path, config, "cpu").states[3].network.tables
    np.testing.assert_array_equal(kept.to_array(), generic.networks[3].tables.to_array())


def test_a_bundle_without_such_a_network_is_refused(generic: Start) -> None:
    only_flat = Start("flat", None, {2: generic.networks[2]})
    with pytest.raises(InputError, match="flat has no 3-D network"):
        only_flat.sizes([3])


def test_a_run_goes_on_where_the_bundle_is_not(tmp_path: Path) -> None:
    """Even if the first session did not come to train every network."""
    config = TrainConfig("x", ndims=(3, 2), widths_2d=(4,), widths_3d=(4,), crop_2d=8, crop_3d=8)
    torch.manual_seed(1)
    start = Start("x 1", None, {part: untrained(config.network(part)) for part in (3, 2)})
    rng = np.random.default_rng(0)
    scans = [
        CachedScan(f"{shape}", "0", "train", rng.normal(0, 99, shape).round(), None)
        for shape in ((12, 12, 12), (12, 12))
    ]
    begun = train(scans, config, tmp_path, total_seconds=4, session_seconds=1e-3, start=start)
    assert not begun.finished
    kept = load_checkpoint(tmp_path, config, "cpu").states
    for part, network in start.networks.items():
        for name, parameter in kept[part].network.named_parameters():
            assert torch.equal(parameter, network.get_parameter(name))
    assert train(scans, config, tmp_path, total_seconds=4, resume=True).finished


def test_a_run_never_begins_anew_for_want_of_its_bundle(tmp_path: Path) -> None:
    config = TrainConfig("x", ndims=(3,), widths_3d=(4,))
    save_checkpoint(tmp_path, config, Checkpoint(start="other 2"))
    scan = CachedScan("a", "0", "train", np.zeros((8, 8, 8)), None)
    with pytest.raises(InputError, match=r"other 2.*--from"):
        train([scan], config, tmp_path, total_seconds=4, resume=True)


def test_a_network_of_another_transform_begins_at_random_on_the_template_of_the_bundle() -> None:
    start = Start.of(bundle.load(bundle.find("hippocampus-t1")))
    config = TrainConfig(
        "other", template=True, ndims=(3,), transform="autoencoder", widths_3d=(16,)
    ).network(3)
    assert start.network(3, config).config == config
    assert start.shape is not None
    assert not start.gives(3, config)
    assert start.gives(3, start.networks[3].config)
