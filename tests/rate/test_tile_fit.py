"""The last per cent of a size, met by some tiles alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from textures import coded, lifting

from deepstd.codec.codec import Codec
from deepstd.rate.tile_fit import fit_tiles
from deepstd.texture.codec import squared_error
from deepstd.texture.wavelet.bitstream import EncodedTexture
from deepstd.texture.wavelet.decoder import decode_texture
from deepstd.texture.wavelet.encoder import TextureEncoder
from deepstd.texture.wavelet.network import WaveletNetwork

SHAPE = (200, 190, 6)
STEP = 3000


class Counting:
    """An encoder that counts the tiles it is asked for."""

    def __init__(self, encoder: TextureEncoder) -> None:
        self.encoder, self.coded = encoder, 0

    def recode(self, encoded: EncodedTexture, weights: Mapping[int, float]) -> EncodedTexture:
        self.coded += len(weights)
        return self.encoder.recode(encoded, weights)


@pytest.fixture(scope="module")
def network(tiny_bundle: Path) -> WaveletNetwork:
    return lifting(Codec.load(str(tiny_bundle), device="cpu").model.networks[3])


@pytest.fixture(scope="module")
def values(phantom: Callable[..., np.ndarray]) -> np.ndarray:
    smooth = phantom(SHAPE, "f8")
    noise = np.random.default_rng(0).normal(size=SHAPE)  # for the finest level
    return smooth + 0.05 * np.ptp(smooth) * noise


@pytest.mark.parametrize("wanted", [0.97, 0.996, 1.005, 1.03])
def test_a_size_near_by_is_met_and_decodes(
    network: WaveletNetwork, values: np.ndarray, wanted: float
) -> None:
    encoder = TextureEncoder(network, values, None)
    first = encoder.encode(STEP, 0.1)
    most = int(first.nbytes * wanted)
    counting = Counting(encoder)
    (fitted,) = fit_tiles([counting], [first], first.nbytes, 0.997 * most, most)
    assert 0.997 * most <= fitted.nbytes <= most
    assert fitted.payload == first.payload
    if abs(wanted - 1) < 0.01:
        changed = sum(a != b for a, b in zip(fitted.tiles, first.tiles, strict=True))
        assert changed < len(first.tiles) == 4
    decoded = decode_texture(network, coded(fitted, SHAPE))
    assert decoded.latents == fitted.latents
    assert decoded.latents != first.latents
    error = np.square(decoded.steps * decoded.step + decoded.offset - values).mean()
    assert error == pytest.approx(squared_error(encoder, fitted, STEP), rel=1e-3)


@dataclass(frozen=True)
class Noise:
    """An encoding of four tiles whose bytes fall steeply with the weight, as those of noise do."""

    rate_weights: tuple[float, ...]
    jump: int = 0

    @property
    def coded(self) -> list[Noise.Tile]:
        return [self.Tile(weight, self.jump) for weight in self.rate_weights]

    @dataclass(frozen=True)
    class Tile:
        rate_weight: float
        jump: int

        @property
        def stream(self) -> bytes:
            nbytes = int(1400 * 2 ** (90 * (0.08 - self.rate_weight)))
            # Sizes nearly as large as these do not exist.
            return bytes(nbytes - nbytes % self.jump if self.jump else nbytes)

    @property
    def nbytes(self) -> int:
        return sum(len(tile.stream) for tile in self.coded)

    def recode(self, encoded: Noise, weights: dict[int, float]) -> Noise:
        changed = [weights.get(n, weight) for n, weight in enumerate(encoded.rate_weights)]
        return replace(encoded, rate_weights=tuple(changed))


@pytest.mark.parametrize("wanted", [0.5, 0.92, 1.04, 1.5])
def test_sizes_that_fall_steeply_with_the_weight_are_met(wanted: float) -> None:
    first = Noise((0.08,) * 4)
    most = int(first.nbytes * wanted)
    (fitted,) = fit_tiles([first], [first], first.nbytes, 0.997 * most, most)
    assert 0.997 * most <= fitted.nbytes <= most


def test_where_no_size_fits_the_largest_of_the_tried_that_is_allowed_remains() -> None:
    sizes: list[int] = []

    class Recording:
        def recode(self, encoded: Noise, weights: dict[int, float]) -> Noise:
            changed = encoded.recode(encoded, weights)
            sizes.append(changed.nbytes)
            return changed

    first = Noise((0.08,) * 4, jump=500)
    (fitted,) = fit_tiles([Recording()], [first], first.nbytes, 3890, 3900)
    assert fitted.nbytes == max(nbytes for nbytes in sizes if nbytes <= 3900)
    assert fitted.nbytes != sizes[-1]


def test_what_fits_is_left_alone(network: WaveletNetwork, values: np.ndarray) -> None:
    encoder = TextureEncoder(network, values, None)
    first = encoder.encode(STEP, 0.1)
    counting = Counting(encoder)
    (same,) = fit_tiles([counting], [first], first.nbytes, first.nbytes, first.nbytes + 1)
    assert same is first
    assert counting.coded == 0


def test_a_size_out_of_reach_ends(network: WaveletNetwork, values: np.ndarray) -> None:
    encoder = TextureEncoder(network, values, None)
    first = encoder.encode(STEP, 0.1)
    (fitted,) = fit_tiles([encoder], [first], first.nbytes, 9, 10)
    assert 10 < fitted.nbytes < first.nbytes


def test_bytes_go_with_the_significant_coefficients(
    network: WaveletNetwork, values: np.ndarray
) -> None:
    encoder = TextureEncoder(network, values, None)
    counts = [encoder.significant(code) for code in (2000, 3500, 5000)]
    truth = [
        sum(int((np.abs(band) * 2.0 ** (code / 1024) > 0.6).sum()) for band in encoder._highs)
        for code in (2000, 3500, 5000)
    ]
    assert counts == pytest.approx(truth, rel=0.02)
