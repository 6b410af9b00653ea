"""A file changed behind good checksums is refused, or decodes to the same scan."""

from __future__ import annotations

import random

import pytest

from deepstd.codec.codec import Codec
from deepstd.codec.exact import same_bits
from deepstd.container import parse
from deepstd.container.format import ChunkType
from deepstd.errors import DeepSTDError
from tests.golden.record import FOLDER
from tests.golden.test_golden import NAMES, codec_of, codecs
from tests.helpers.chunks import changed, chunks_of, joined

__all__ = ["codecs"]  # a fixture

CHANGES = 12  # of each chunk of each file


@pytest.mark.parametrize("name", NAMES)
def test_no_change_gives_another_scan(name: str, codecs: dict[str, Codec]) -> None:
    data = (FOLDER / f"{name}.dstd").read_bytes()
    codec = codec_of(name, data, codecs)
    expected = codec.decode(parse(data, name))
    generator = random.Random(name)
    chunks = chunks_of(data)
    assert joined(chunks) == data
    for number, (kind, payload) in enumerate(chunks):
        for _ in range(CHANGES):
            others = chunks.copy()
            others[number] = kind, changed(payload, generator)
            try:
                found = codec.decode(parse(joined(others), name))
            except DeepSTDError:
                continue
            assert same_bits(found.voxels, expected.voxels), kind
            assert found.source == expected.source, kind
            if others[number] != chunks[number]:
                assert kind in (ChunkType.HEAD, ChunkType.NOTE, ChunkType.TYPE)


def test_a_changed_filter_is_refused_by_the_hash(codecs: dict[str, Codec]) -> None:
    data = (FOLDER / "autoencoder-image.dstd").read_bytes()
    codec = codec_of("autoencoder-image", data, codecs)
    chunks = chunks_of(data)
    number = [kind for kind, _ in chunks].index(ChunkType.WIEN)
    payload = bytearray(chunks[number][1])
    payload[1] ^= 1  # activity of the first knot
    chunks[number] = ChunkType.WIEN, bytes(payload)
    with pytest.raises(DeepSTDError, match="is damaged: what it decodes to is not what was"):
        codec.decode(parse(joined(chunks), "autoencoder-image"))
