"""Lossless files: every voxel of every type comes back bit for bit, or there is no file."""

from __future__ import annotations

import io as streams
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import deepstd
from deepstd import lossless
from deepstd.codec import exact, without_bundle
from deepstd.codec.exact import digest_of, same_bits
from deepstd.container import (
    NO_BUNDLE,
    Head,
    parse,
    read_beginning,
    write_exact_container,
)
from deepstd.errors import (
    ContainerError,
    DamagedError,
    DeepSTDError,
    InputError,
    RateError,
    TruncatedError,
)
from deepstd.progress import Progress
from deepstd.rate.target import Target
from deepstd.volume import Volume

TYPES = ("?", "u1", "i1", "<u2", ">i2", "<i4", ">u4", "<i8", ">u8", "<f2", ">f2", "<f4", ">f4")
TYPES += ("<f8", ">f8")
LOSSLESS = Target(lossless=True)
Phantom = Callable[..., np.ndarray]


def random_bits(shape: tuple[int, ...], dtype: np.dtype, seed: int) -> np.ndarray:
    """An array of random bits, so that floats have every NaN; of booleans, random values."""
    rng = np.random.default_rng(seed)
    if dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(bool)
    raw = rng.integers(0, 256, math.prod(shape) * dtype.itemsize, dtype=np.uint8)
    return raw.view(dtype).reshape(shape)


def encoded(voxels: np.ndarray) -> bytes:
    result = without_bundle.encode(Volume(voxels), LOSSLESS, Progress())
    assert result is not None
    return result.data


def decoded(data: bytes, level: int = 0) -> np.ndarray:
    return without_bundle.decode(parse(data, "scan.dstd"), level).voxels


@given(
    st.lists(st.integers(1, 7), min_size=2, max_size=4),
    st.sampled_from(TYPES),
    st.sampled_from("CF"),
    st.integers(0, 99),
)
def test_random_bits_come_back(shape: list[int], code: str, order: str, seed: int) -> None:
    voxels = np.asarray(random_bits(tuple(shape), np.dtype(code), seed), order=order)  # pyright: ignore[reportCallIssue, reportArgumentType]
    assert same_bits(voxels, decoded(encoded(voxels)))


@given(st.integers(0, 99), st.sampled_from(TYPES))
def test_views_with_steps_come_back(seed: int, code: str) -> None:
    voxels = random_bits((9, 8, 5), np.dtype(code), seed)[::-2, 1::3]
    assert same_bits(voxels, decoded(encoded(voxels)))


@given(st.sampled_from(TYPES), st.integers(0, 99))
def test_the_hash_is_of_values_not_of_their_order_in_memory(code: str, seed: int) -> None:
    voxels = random_bits((5, 4, 6, 2), np.dtype(code), seed)
    other = np.asfortranarray(voxels.astype(voxels.dtype.newbyteorder("S")))
    assert digest_of(voxels) == digest_of(other)
    assert digest_of(voxels[::-1]) != digest_of(voxels)


def test_the_hash_is_that_of_the_specification(monkeypatch: pytest.MonkeyPatch) -> None:
    import hashlib

    voxels = np.arange(60, dtype=">i2").reshape(3, 4, 5)
    expected = hashlib.sha256(voxels.astype("<i2").tobytes(order="F")).digest()
    assert digest_of(voxels) == expected
    monkeypatch.setattr(exact, "_BLOCK_BYTES", 50)
    assert digest_of(voxels) == expected


def test_zeros_and_nan_are_compared_by_their_bits() -> None:
    zeros = np.zeros((4, 4), np.float32)
    assert not same_bits(zeros, -zeros)
    nan = zeros + np.nan
    other = (nan.view(np.uint32) | 5).view(np.float32)
    assert same_bits(nan, nan)
    assert not same_bits(nan, other)
    assert not same_bits(zeros, zeros.astype(np.float64))


def test_what_the_file_says() -> None:
    voxels = np.arange(60, dtype=np.float64).reshape(3, 4, 5)
    container = parse(encoded(voxels), "scan.dstd")
    assert container.head.bundle == NO_BUNDLE
    assert container.head.quality == exact.EXACT
    assert container.smallest == np.dtype("u1")
    assert container.frames == ()
    names = [section.name for section in container.sections]
    assert names == ["preamble", "HEAD", "TYPE", "EXAC", "HASH"]
    # The scan of no finite voxel has no errors to state.
    nothing = np.full((3, 3), np.nan)
    nothing[0, 0] = -np.nan
    quality = parse(encoded(nothing), "scan.dstd").head.quality
    assert quality is not None
    assert math.isnan(quality.psnr)


def test_constant_scans_take_their_few_bytes_where_these_are_exact() -> None:
    flat = np.full((40, 30, 20), 7, np.int16)
    assert parse(encoded(flat), "x").exact is None
    assert len(encoded(flat)) < 80
    zeros = np.zeros((40, 30), np.float32)
    zeros[3, 4] = -0.0
    assert parse(encoded(zeros), "x").exact is not None
    assert same_bits(decoded(encoded(zeros)), zeros)


def test_previews_take_every_other_voxel(phantom: Phantom) -> None:
    voxels = phantom((21, 16, 13, 3))
    data = encoded(voxels)
    for level in range(6):
        kept = voxels[:: 1 << level, :: 1 << level, :: 1 << level]
        np.testing.assert_array_equal(decoded(data, level), kept)
    with pytest.raises(InputError, match="level 6 does not exist: expected 0 to 5"):
        decoded(data, 6)
    # The hash at the end may be missing.
    beginning = read_beginning(streams.BytesIO(data[:-3]), "scan.dstd")
    preview = without_bundle.decode(beginning, 1)
    np.testing.assert_array_equal(preview.voxels, voxels[::2, ::2, ::2])
    with pytest.raises(TruncatedError, match=r"scan\.dstd"):
        read_beginning(streams.BytesIO(data[:-20]), "scan.dstd")


def test_geometry_of_previews(phantom: Phantom) -> None:
    affine = np.diag([2.0, 3.0, 4.0, 1.0])
    volume = deepstd.Volume(phantom((20, 18, 16)), affine)
    result = exact.encode(volume, Progress())
    preview = exact.decode(parse(result.data, "scan.dstd"), 2)
    assert preview.affine is not None
    np.testing.assert_allclose(np.array(preview.affine), affine @ np.diag([4, 4, 4, 1]))


def test_a_coder_that_errs_writes_nothing(
    phantom: Phantom, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def wrong(*asked: object) -> np.ndarray:
        voxels = right(*asked).copy()  # pyright: ignore[reportCallIssue, reportArgumentType]
        voxels[3, 3, 3] ^= 1
        return voxels

    right = lossless.decode
    monkeypatch.setattr(lossless, "decode", wrong)
    with pytest.raises(DeepSTDError, match="not what was encoded"):
        deepstd.compress(phantom((9, 8, 7)), tmp_path / "scan.dstd", lossless=True)
    monkeypatch.setattr(exact, "digest_of", lambda voxels: bytes(4))
    with pytest.raises(DeepSTDError, match="does not come back as it should"):
        deepstd.compress(phantom((9, 8, 7)), tmp_path / "scan.dstd", lossless=True)
    assert not list(tmp_path.iterdir())


def test_voxels_that_are_not_those_of_the_hash_are_damage(phantom: Phantom) -> None:
    container = parse(encoded(phantom((9, 8, 7))), "scan.dstd")
    assert container.exact is not None
    data = write_exact_container(container.head, b"", container.exact, bytes(4))
    with pytest.raises(DamagedError, match=r"scan\.dstd is damaged: what it decodes to"):
        decoded(data)


@pytest.mark.parametrize("payload", [b"", b"\0", b"\x02abc", b"\x01abc", b"\0abc"])
def test_a_malformed_payload_is_damage(payload: bytes) -> None:
    head = Head("npy", np.dtype("<i2"), (9, 8, 7), NO_BUNDLE, exact.EXACT)
    data = write_exact_container(head, b"", payload, bytes(4))
    with pytest.raises(DamagedError, match=r"scan\.dstd"):
        decoded(data)


@given(st.data())
def test_a_changed_or_cut_file_is_never_another_scan(draw: st.DataObject) -> None:
    voxels = np.arange(60, dtype=np.int16).reshape(3, 4, 5) ** 2
    data = bytearray(encoded(voxels))
    place = draw.draw(st.integers(0, len(data) - 1))
    if draw.draw(st.booleans()):
        del data[place:]
    else:
        data[place] ^= 1 << draw.draw(st.integers(0, 7))
    with pytest.raises(ContainerError, match=r"scan\.dstd"):
        decoded(bytes(data))


def test_a_target_is_a_size_or_lossless() -> None:
    assert Target(lossless=True).bytes_for(1000, 2000) > 1 << 60
    sizes: list[dict[str, Any]] = [{"ratio": 4.0}, {"bpv": 1.0}, {"max_bytes": 9}]
    for size in sizes:
        with pytest.raises(RateError, match="give no size"):
            Target(**size, lossless=True)


def test_a_codec_restores_and_makes_lossless_files(tiny_bundle: Path, phantom: Phantom) -> None:
    codec = deepstd.Codec.load(str(tiny_bundle), device="cpu")
    voxels = phantom((12, 11, 10))
    data = codec.encode(Volume(voxels), LOSSLESS).data
    np.testing.assert_array_equal(codec.decompress(data).voxels, voxels)
    beginning = read_beginning(streams.BytesIO(data), "scan.dstd")
    np.testing.assert_array_equal(codec.preview(beginning, 1).voxels, voxels[::2, ::2, ::2])


def test_no_torch_and_no_bundle_are_needed(tmp_path: Path, phantom: Phantom) -> None:
    np.save(tmp_path / "scan.npy", phantom((12, 11, 10)))
    code = (
        "import sys; sys.modules['torch'] = None; import deepstd; import numpy as np;"
        "deepstd.compress('scan.npy', 'scan.dstd', lossless=True);"
        "deepstd.verify('scan.dstd', against='scan.npy');"
        "deepstd.decompress('scan.dstd', 'back.npy');"
        "sys.exit(not (np.load('back.npy') == np.load('scan.npy')).all())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
