"""TCM and DVC: what comes back, sizes by knob, weights that are missing, a step of training."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

pytest.importorskip("torch", reason="pip install 'deepstd[train]'")

import torch

from benchmarks.neural_training import DataSet, Trainer
from deepstd import quality
from deepstd.baselines import fit_to_bytes
from deepstd.baselines.neural import learned
from deepstd.baselines.neural.learned import Dvc, Tcm
from deepstd.baselines.neural.running import KINDS, save
from deepstd.baselines.neural.symbols import RATE_WEIGHT
from deepstd.baselines.neural.weights import Training
from deepstd.errors import InputError, MissingExtraError
from deepstd.texture.autoencoder.config import AutoencoderConfig

TINY = AutoencoderConfig(2, (16, 16, 16), 16, 4, 4, template=False)
CODECS = {"tcm": Tcm, "dvc": Dvc}
each_kind = pytest.mark.parametrize("kind", CODECS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of untrained networks."""
    found = tmp_path_factory.mktemp("weights")
    for kind, network in KINDS.items():
        torch.manual_seed(0)
        training = Training(kind, TINY.to_dict(), "none", 0.25, 3)
        save(found / f"{kind}.safetensors", network(TINY), training)
    return found


def codec_of(kind: str, folder: Path) -> Tcm | Dvc:
    return CODECS[kind](folder / f"{kind}.safetensors")


def scan(shape: tuple[int, ...], dtype: type | str = np.int16) -> np.ndarray:
    smooth = gaussian_filter(np.random.default_rng(0).normal(size=shape), 2.0)
    return (smooth / smooth.std() * 300 - 1000).astype(dtype)


@each_kind
@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((19, 26, 5), np.int16),
        ((16, 24), np.float32),
        ((7, 9, 2, 3), ">i2"),
        ((1, 5, 1), np.float64),
    ],
)
def test_scan_comes_back(kind: str, shape: tuple[int, ...], dtype: type, folder: Path) -> None:
    codec, original = codec_of(kind, folder), scan(shape, dtype)
    encoded = codec.encode(original, 6.0)
    restored = codec.decode(encoded)
    assert (restored.dtype, restored.shape) == (original.dtype, original.shape)
    assert np.array_equal(restored, codec.decode(encoded))
    assert quality.measure(original, restored).psnr > 30


@each_kind
def test_decoder_repeats_what_the_encoder_restored(kind: str, folder: Path) -> None:
    # A decoder that drifted from the encoder would read other symbols and be far off.
    codec, original = codec_of(kind, folder), scan((33, 41, 12), np.float32)
    errors = [quality.rmse(original, codec.decode(codec.encode(original, k))) for k in (3.0, 8.0)]
    assert errors[1] < errors[0] / 8


@each_kind
@pytest.mark.parametrize("value", [0, -7, 300])
def test_constant_scan_comes_back_exactly(kind: str, value: int, folder: Path) -> None:
    codec, original = codec_of(kind, folder), np.full((9, 12, 3), value, np.int16)
    assert np.array_equal(codec.decode(codec.encode(original, 0.0)), original)


@each_kind
def test_values_that_are_not_finite_are_coded(kind: str, folder: Path) -> None:
    codec, original = codec_of(kind, folder), scan((12, 12, 2), np.float32)
    original[3, 4, 1], original[0, 0, 0] = np.nan, np.inf
    assert np.isfinite(codec.decode(codec.encode(original, 4.0))).all()
    original[:] = np.nan
    assert codec.decode(codec.encode(original, 4.0)).shape == original.shape


@each_kind
def test_bytes_grow_with_the_knob(kind: str, folder: Path) -> None:
    codec, original = codec_of(kind, folder), scan((40, 48, 6))
    sizes = [codec.encode(original, knob).nbytes for knob in (-4.0, 1.0, 3.0, 5.0, 7.0, 10.0)]
    assert sizes == sorted(sizes)
    assert sizes[-1] > 5 * sizes[0]


@each_kind
def test_scan_fits_into_bytes(kind: str, folder: Path) -> None:
    codec, original = codec_of(kind, folder), scan((40, 48, 6))
    allowed = original.size // 8
    found = fit_to_bytes(codec, original, allowed)
    assert 0.9 * allowed < found.nbytes <= allowed
    assert found.restored.shape == original.shape


@each_kind
def test_name_tells_the_minutes(kind: str, folder: Path) -> None:
    assert codec_of(kind, folder).name == f"{kind.upper()} (0.25 min)"
    assert CODECS[kind](folder / "none").name == kind.upper()


@each_kind
def test_weights_are_found_by_the_variable(
    kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec = CODECS[kind]()
    monkeypatch.delenv(codec.variable, raising=False)
    with pytest.raises(MissingExtraError, match=rf"neural_training {kind}.*{codec.variable}"):
        codec.check()
    monkeypatch.setenv(codec.variable, str(folder / f"{kind}.safetensors"))
    codec.check()


@each_kind
def test_foreign_weights_are_refused(kind: str, folder: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.safetensors"
    foreign.write_bytes(b"no safetensors")
    other = folder / ("dvc.safetensors" if kind == "tcm" else "tcm.safetensors")
    for path in (foreign, other):
        with pytest.raises(InputError, match=CODECS[kind].variable):
            CODECS[kind](path).check()


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.safetensors"
    training = Training("tcm", {**TINY.to_dict(), "hyper_width": 8}, "none", 1, 1)
    save(path, KINDS["tcm"](TINY), training)
    with pytest.raises(InputError, match="do not fit"):
        Tcm(path).encode(scan((8, 8)), 3.0)


@each_kind
def test_training_lowers_the_cost(kind: str) -> None:
    torch.manual_seed(0)
    scans = [scan((32, 32, 8), np.float32) for _ in range(2)]
    chosen = DataSet("", "", (16, 16), 4, 2, (-1.0, 5.0))
    trainer = Trainer(KINDS[kind](TINY), scans, chosen)
    crops = trainer.draw()

    def cost(knob: float) -> float:
        """Return bits a pixel and error in squared steps that they are worth."""
        with torch.no_grad():
            _, bits, error, _ = trainer.loss(crops, knob)
        return bits + error * 4.0**knob / RATE_WEIGHT

    knobs = (0.0, 2.0, 4.0)
    before = [cost(knob) for knob in knobs]
    for number in range(20):
        trainer.step(number / 20)
    assert np.mean(np.log([cost(knob) for knob in knobs])) < np.mean(np.log(before))


def test_the_codecs_need_no_torch_to_be_imported() -> None:
    code = f"import sys, {learned.__name__}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
