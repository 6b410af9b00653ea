"""Damaged payloads of files through every decoder of the native engine.

payload ─ flip, cut, lengthen ─▶ decoder ─▶ some values | DamagedError | a fault
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.sanitize.scenes import TABLES, Random, network, scene, smooth
from deepstd import lossless
from deepstd.coding.native import NativeDecoder
from deepstd.coding.tables import SCALE_COUNT
from deepstd.conditioning import Conditioning
from deepstd.devices import CPU
from deepstd.engine.library import LIMITS
from deepstd.errors import DamagedError
from deepstd.lossless.native import decode_slabs, encode_slabs
from deepstd.texture.codec import WaveletCodec
from deepstd.texture.coded import CodedTexture
from deepstd.texture.entropy.symbols import DecoderSource
from deepstd.texture.filters.wiener import Knots, WienerFilter, half_neighbourhood
from deepstd.texture.slices.decoder import SliceNetworks
from deepstd.texture.slices.encoder import SlicedEncoder

Damage = Callable[[bytes], bytes]
# Damaged payloads of one valid payload, before the next one is made.
_EACH = 50
_DTYPES = ("bool", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8")


def _tiles(engine: Any, numbers: Random, ndim: int, *, template: bool) -> Callable[[Damage], None]:
    """Decode a tile of a level, then some symbols and bits of what is left."""
    made = scene(numbers, ndim, template=template, most=24 if ndim == 2 else 8)
    stream = made.encoded()

    def decode(damage: Damage) -> None:
        made.level.code(made.region, DecoderSource(TABLES, damage(stream)), CPU.first)

    return decode


def _symbols(engine: Any, numbers: Random) -> Callable[[Damage], None]:
    """Decode symbols, trellis lanes, bits and offsets from noise."""
    scales = numbers.integers(0, SCALE_COUNT, int(numbers.integers(0, 300))).astype(np.uint8)
    lanes = int(numbers.integers(1, 9))

    def decode(damage: Damage) -> None:
        coder = NativeDecoder(engine, damage(numbers.bytes(int(numbers.integers(0, 80)))))
        coder.decode(scales, TABLES, int(numbers.integers(0, 3)))
        coder.decode_offset()
        coder.decode_bits(int(numbers.integers(0, 17)))
        coder.decode_lanes(np.sort(scales), lanes, TABLES)

    return decode


def _lossless(engine: Any, numbers: Random) -> Callable[[Damage], None]:
    """Decode the payload of a lossless file, of one to four axes and any type."""
    shape = tuple(numbers.integers(1, 8, int(numbers.integers(1, 5))).tolist())
    dtype = np.dtype(str(numbers.choice(_DTYPES)))
    values = smooth(numbers, shape) * 10.0 ** numbers.integers(-3, 4)
    with np.errstate(invalid="ignore", over="ignore"):
        if dtype.kind in "iu":
            values = values.clip(np.iinfo(dtype).min, np.iinfo(dtype).max)
        voxels = values.astype(dtype)
    payload = lossless.encode(voxels)

    def decode(damage: Damage) -> None:
        body = damage(payload[4:])
        checksum = zlib.crc32(body).to_bytes(4, "little")
        # Another shape or type is what a damaged head of a file would say.
        other = tuple(int(n) for n in numbers.integers(1, 8, len(shape)))
        asked = shape if numbers.random() < 0.8 else other
        kind = dtype if numbers.random() < 0.9 else np.dtype(str(numbers.choice(_DTYPES)))
        lossless.decode(checksum + body, asked, kind, "scan")

    return decode


def _slabs(engine: Any, numbers: Random) -> Callable[[Damage], None]:
    """Decode slabs of any shape, period and largest level from their bytes."""
    most = int(2.0 ** numbers.uniform(0, 31)) - 1
    period = int(numbers.integers(0, 4))
    shapes = numbers.integers(1, 7, (2, 3)).tolist()
    slabs = [numbers.integers(0, most + 1, shape).astype(np.int32) for shape in shapes]
    streams = encode_slabs(engine, slabs, period, most)

    def decode(damage: Damage) -> None:
        found = [np.zeros(shape, np.int32) for shape in shapes]
        decode_slabs(engine, [damage(stream) for stream in streams], found, period, most)
        if any(slab.min() < 0 or slab.max() > most for slab in found):
            raise RuntimeError(f"a level beyond {most}")

    return decode


def _wiener(engine: Any, numbers: Random) -> Callable[[Damage], None]:
    """Unpack a Wiener filter and apply it to a frame."""
    ndim = int(numbers.integers(2, 4))
    count, pairs = int(numbers.integers(1, 17)), len(half_neighbourhood(ndim))
    knots = Knots(count, int(numbers.integers(-128, 128)), int(numbers.integers(0, 256)))
    coefficients = numbers.integers(-30, 31, (count, pairs))
    payload = WienerFilter(int(numbers.integers(0, 8)), knots, coefficients).pack(TABLES)
    shape = tuple(numbers.integers(1, 9 if ndim == 3 else 30, ndim).tolist())
    steps = (smooth(numbers, shape) * 10.0 ** numbers.integers(-3, 12)).astype(np.float32)

    def decode(damage: Damage) -> None:
        WienerFilter.unpack(damage(payload), ndim, TABLES, "scan").apply(steps)

    return decode


def _texture(engine: Any, numbers: Random, *, template: bool) -> Callable[[Damage], None]:
    """Decode the texture of a frame to filtered values."""
    ndim = int(numbers.integers(2, 4))
    shape = tuple(numbers.integers(1, 24 if ndim == 2 else 11, ndim).tolist())
    net, values = network(numbers, ndim, template=template), smooth(numbers, shape)
    conditioning = None
    if template:
        grey = numbers.integers(0, 1024, (1, 1, *shape)).astype(np.int32)
        places = numbers.integers(-64, 65, (1, ndim, *shape)).astype(np.int16)
        conditioning = Conditioning(grey, places)
    step = int(numbers.integers(0, 6000))
    codec = WaveletCodec(net, CPU)
    encoded = codec.encoder(values, None, conditioning, None).encode(step, 0.1)

    def decode(damage: Damage) -> None:
        coded = CodedTexture(damage(encoded.payload), encoded.tiles, shape, "scan")
        codec.decode(coded, conditioning, 0)

    return decode


def _slices(engine: Any, numbers: Random) -> Callable[[Damage], None]:
    """Decode a texture of slices that are predicted from each other."""
    networks = SliceNetworks(
        network(numbers, 2, template=False), network(numbers, 2, template=True)
    )
    shape = (*numbers.integers(2, 20, 2).tolist(), int(numbers.integers(2, 7)))
    codec = WaveletCodec(network(numbers, 3, template=False), CPU, networks)
    octaves = int(numbers.integers(0, 4))
    encoder = SlicedEncoder(networks, smooth(numbers, shape), 2, (0, 0, 4), octaves)
    encoded = encoder.encode(int(numbers.integers(0, 6000)), 0.1)

    def decode(damage: Damage) -> None:
        codec.decode(CodedTexture(damage(encoded.payload), (), shape, "scan"), None, 0)

    return decode


PARTS: dict[str, tuple[float, Callable[[Any, Random], Callable[[Damage], None]]]] = {
    "tiles, 2-D": (0.12, lambda e, r: _tiles(e, r, 2, template=False)),
    "tiles, 2-D with template": (0.12, lambda e, r: _tiles(e, r, 2, template=True)),
    "tiles, 3-D": (0.12, lambda e, r: _tiles(e, r, 3, template=False)),
    "tiles, 3-D with template": (0.12, lambda e, r: _tiles(e, r, 3, template=True)),
    "symbols": (0.12, _symbols),
    "lossless payloads": (0.18, _lossless),
    "lossless slabs": (0.06, _slabs),
    "Wiener filters": (0.10, _wiener),
    "textures": (0.02, lambda e, r: _texture(e, r, template=False)),
    "textures with template": (0.02, lambda e, r: _texture(e, r, template=True)),
    "textures of slices": (0.02, _slices),
}
"""Parts by name: share of the payloads, and what makes a decoder of one payload."""


def run(name: str, engine: Any, payloads: int, seed: int) -> str:
    """Decode the share of a part in damaged payloads; return a line of what became of them."""
    share, make = PARTS[name]
    count, refused = round(share * payloads), 0
    numbers, generator = np.random.default_rng(seed), random.Random(seed)
    for begin in range(0, count, _EACH):
        engine.engine_limit(LIMITS.index(generator.choice(LIMITS)))
        decode = make(engine, numbers)
        for _ in range(begin, min(begin + _EACH, count)):
            try:
                decode(lambda payload: _damaged(payload, generator))
            except DamagedError:
                refused += 1
    return f"{name}: {count} damaged payloads, {refused} refused, the others decoded to some values"


def _damaged(payload: bytes, generator: random.Random) -> bytes:
    """Return a payload with some bytes changed, some bits flipped, cut short, or lengthened."""
    data = bytearray(payload)
    if generator.random() < 0.4:
        del data[generator.randrange(len(data) + 1) :]
    for _ in range(generator.randrange(4)):
        if data:
            data[generator.randrange(len(data))] = generator.randrange(256)
    if data and generator.random() < 0.5:
        data[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
    if generator.random() < 0.2:
        data += generator.randbytes(generator.randrange(64))
    return bytes(data)
