"""Damaged payloads are refused, and never crash."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from deepstd.errors import DamagedError
from deepstd.lossless import decode, encode
from deepstd.lossless.fields import block, number

MUTATIONS = 2000


def sealed(body: bytes) -> bytes:
    """A payload whose checksum fits."""
    return zlib.crc32(body).to_bytes(4, "little") + body


@pytest.fixture(scope="module")
def scans() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    walk = np.cumsum(rng.integers(-2, 3, (6, 7, 8)), 0)
    table = np.cumsum(rng.integers(1, 50, 40))
    return [
        walk.astype("i2"),
        (walk * 0.3).astype("f4"),
        rng.normal(size=(9, 11)),
        table[rng.integers(0, 40, (10, 11, 12))].astype("u4"),
        walk[..., None].repeat(3, -1).astype("u1"),
    ]


def test_a_checksum_covers_every_byte(scans: list[np.ndarray]) -> None:
    for scan in scans:
        payload = encode(scan)
        for at in range(len(payload)):
            broken = bytearray(payload)
            broken[at] ^= 1 << at % 8
            with pytest.raises(DamagedError, match="some\\.dstd"):
                decode(bytes(broken), scan.shape, scan.dtype, "some.dstd")


@pytest.mark.parametrize("size", [0, 1, 4, 5, 9])
def test_short_payloads_are_refused(scans: list[np.ndarray], size: int) -> None:
    payload = encode(scans[0])
    for cut in (payload[:size], sealed(payload[4 : 4 + size]), payload[:-1], payload + b"\0"):
        with pytest.raises(DamagedError, match="some\\.dstd"):
            decode(cut, scans[0].shape, scans[0].dtype, "some.dstd")


def test_hostile_payloads_are_refused_or_decode_to_the_asked_shape(
    scans: list[np.ndarray],
) -> None:
    """Behind a checksum that fits, all is refused or gives an array of the asked shape."""
    rng = np.random.default_rng(1)
    for scan in scans:
        body = encode(scan)[4:]
        for _ in range(MUTATIONS // len(scans)):
            broken = bytearray(body)
            for _ in range(rng.integers(1, 4)):
                broken[int(rng.integers(0, min(len(broken), 40)))] = int(rng.integers(0, 256))
            try:
                found = decode(sealed(bytes(broken)), scan.shape, scan.dtype, "some.dstd")
            except DamagedError as error:
                assert "some.dstd" in str(error)  # noqa: PT017
            else:
                assert (found.shape, found.dtype) == (scan.shape, scan.dtype)


def test_another_shape_or_type_is_refused_or_read_as_such(scans: list[np.ndarray]) -> None:
    payload = encode(scans[3])
    with pytest.raises(DamagedError, match="some\\.dstd"):
        decode(payload, scans[3].shape, np.dtype("u1"), "some.dstd")
    assert decode(payload, (3, 5), np.dtype("u4"), "some.dstd").shape == (3, 5)


@pytest.mark.parametrize(
    "body",
    [
        bytes((6,)),
        bytes((0, 3)),
        bytes((0, 1)),
        bytes((0, 0)) + b"\xff" * 11,
        bytes((0, 2, 0)) + number(1 << 20),
        bytes((0, 2, 0)) + number(3) + block(zlib.compress(bytes(10**6))),
        bytes((0, 2, 0)) + number(3) + block(b"not deflated"),
        bytes((0, 0)) + number(0) + number(1) + number(1 << 24) + number(0),
        bytes((0, 0)) + number(0) + number(1) + number(9) + number(60),
        bytes((0, 0)) + number(2**63) + number(1) + number(9) + number(0),
        bytes((0, 0)) + number(0) + number(1) + number(9) + number(0) + number(9999),
    ],
)
def test_impossible_fields_are_refused(body: bytes) -> None:
    with pytest.raises(DamagedError, match="some\\.dstd"):
        decode(sealed(body), (4, 4), np.dtype("i2"), "some.dstd")
