"""Every function of the native engine on random valid input.

random shapes, types, threads, instructions ─▶ function ─▶ no fault
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.sanitize.scenes import (
    TABLES,
    Random,
    network,
    post_filter,
    scene,
    smooth,
)
from deepstd import lossless
from deepstd.coding.native import NativeDecoder, NativeEncoder, search_trellis
from deepstd.coding.tables import PLAIN, SCALE_COUNT
from deepstd.conditioning import Conditioning
from deepstd.devices import CPU
from deepstd.engine.library import LIMITS
from deepstd.lossless.native import decode_slabs, encode_slabs
from deepstd.texture.coded import CodedTexture
from deepstd.texture.entropy.features import signed_log
from deepstd.texture.entropy.symbols import DecoderSource
from deepstd.texture.filters.wiener import Knots, WienerFilter, half_neighbourhood
from deepstd.texture.slices.motion import halfway
from deepstd.texture.wavelet.decoder import decode_texture
from deepstd.texture.wavelet.encoder import TextureEncoder
from deepstd.texture.wavelet.lifting import (
    decompose,
    grid_shapes,
    merge,
    split_plan,
    synthesis_adjoint,
)
from deepstd.threads import limited_to


def _shape(random: Random, ndim: int, most: int) -> tuple[int, ...]:
    return tuple(random.integers(1, most + 1, ndim).tolist())


def _lifting(engine: Any, random: Random) -> None:
    ndim = int(random.integers(2, 4))
    # Some are large enough to be shared by threads.
    shape = _shape(random, ndim, 600 if ndim == 2 else 72)
    plan = split_plan(shape, tuple(random.integers(0, 5, ndim).tolist()))
    dtype = np.float32 if random.random() < 0.5 else np.float64
    x = np.floor(smooth(random, (int(random.integers(1, 3)), 1, *shape))).astype(dtype)
    lows, highs = decompose(x.astype(np.float64), plan, whole=True)
    low = lows[-1] if plan else x
    for axes, high, fine in reversed(
        list(zip(plan, highs, grid_shapes(shape, plan)[:-1], strict=True))
    ):
        low = merge(low, high, axes, fine)
    decompose(x, plan)
    synthesis_adjoint(x, plan, len(plan))


def _motion(engine: Any, random: Random) -> None:
    shape = (int(random.integers(1, 5)), 1, *_shape(random, 2, 90))
    size = 10.0 ** random.integers(0, 8)
    halfway(*(np.floor(smooth(random, shape) * size) for _ in range(2)))


def _features(engine: Any, random: Random) -> None:
    size = 10.0 ** random.integers(0, 16)
    signed_log(np.floor(random.normal(size=_shape(random, 3, 12)) * size))


def _post_filter(engine: Any, random: Random) -> None:
    ndim, template = int(random.integers(2, 4)), bool(random.integers(0, 2))
    blocks, width = int(random.integers(1, 4)), int(random.choice([1, 3, 16, 24, 33]))
    net = post_filter(random, ndim, width, blocks, template=template)
    shape = _shape(random, ndim, 60 if ndim == 2 else 16)
    low, hint = (np.floor(smooth(random, (1, 1, *shape)) * 64) for _ in range(2))
    condition = np.full((1, net.condition.weight.shape[1], *[1] * ndim), 32.0, np.float32)
    net(low, hint if template else None, condition)
    begins = [int(random.integers(0, n)) for n in shape]
    inner = tuple(slice(b, n) for b, n in zip(begins, shape, strict=True))
    truth = (low / 64 + 1).astype(np.float32)
    net.gradient(low, hint if template else None, condition, truth, inner)


def _wiener(engine: Any, random: Random) -> None:
    ndim, count = int(random.integers(2, 4)), int(random.integers(1, 17))
    knots = Knots(count, int(random.integers(-128, 128)), int(random.integers(0, 256)))
    coefficients = random.integers(-2048, 2049, (count, len(half_neighbourhood(ndim))))
    # Rows of more than 128 voxels are filtered in several runs.
    steps = smooth(random, _shape(random, ndim, 300 if ndim == 2 else 20)).astype(np.float32)
    WienerFilter(int(random.integers(0, 8)), knots, coefficients).apply(steps)


def _trellis(engine: Any, random: Random) -> None:
    count = int(random.integers(1, 3000))
    scales = np.sort(random.integers(8, SCALE_COUNT, count)).astype(np.uint8)
    lanes = max(1, -(-count // 128))
    residual = random.normal(size=count) * 10.0 ** random.integers(-2, 5)
    symbols, quantizers = search_trellis(
        engine, residual, scales, lanes, TABLES, float(random.uniform(0, 1))
    )
    encoder = NativeEncoder(engine)
    encoder.encode(symbols, scales, TABLES, quantizers, lanes)
    found = NativeDecoder(engine, encoder.finish()).decode_lanes(scales, lanes, TABLES)
    _same((symbols, quantizers), found)


def _symbols(engine: Any, random: Random) -> None:
    count = int(random.integers(0, 4000))
    scales = random.integers(0, SCALE_COUNT, count).astype(np.uint8)
    symbols = np.rint(random.standard_cauchy(count).clip(-(2**39), 2**39)).astype(np.int64)
    encoder = NativeEncoder(engine)
    encoder.encode(symbols, scales, TABLES, PLAIN)
    encoder.encode_bits(5, 3)
    encoder.encode_offset(-1)
    decoder = NativeDecoder(engine, encoder.finish())
    _same((symbols,), (decoder.decode(scales, TABLES, PLAIN),))
    if (decoder.decode_bits(3), decoder.decode_offset()) != (5, -1):
        raise RuntimeError("bits or offset are others")


def _tiles(engine: Any, random: Random) -> None:
    ndim, template = int(random.integers(2, 4)), bool(random.integers(0, 2))
    made = scene(random, ndim, template=template, most=130 if ndim == 2 else 32)
    stream = made.encoded(float(random.uniform(0, 0.3)))
    made.level.code(made.region, DecoderSource(TABLES, stream), CPU.first)


def _lossless(engine: Any, random: Random) -> None:
    shape = _shape(random, int(random.integers(1, 5)), 14)
    dtype = str(random.choice(["u1", "i2", "u2", "i4", "f4", "f8"]))
    voxels = np.abs(smooth(random, shape)).astype(dtype)
    _same((voxels,), (lossless.decode(lossless.encode(voxels), shape, voxels.dtype, "scan"),))
    # Scans of one slab have one thread.
    slabs = [random.integers(0, 200, _shape(random, 3, 9)).astype(np.int32) for _ in range(3)]
    found = [np.zeros_like(slab) for slab in slabs]
    decode_slabs(engine, encode_slabs(engine, slabs, 0, 255), found, 0, 255)
    _same(tuple(slabs), tuple(found))


def _textures(engine: Any, random: Random) -> None:
    ndim, template = int(random.integers(2, 4)), bool(random.integers(0, 2))
    shape = _shape(random, ndim, 50 if ndim == 2 else 16)
    conditioning = None
    if template:
        grey = random.integers(0, 1024, (1, 1, *shape)).astype(np.int32)
        conditioning = Conditioning(grey, np.zeros((1, ndim, *shape), np.int16))
    net = network(random, ndim, template=template)
    encoder = TextureEncoder(net, smooth(random, shape), None, conditioning)
    encoder.refine(3000, 0.1, 1)
    encoded = encoder.encode(3000, 0.1)
    coded = CodedTexture(encoded.payload, encoded.tiles, shape, "scan")
    if decode_texture(net, coded, conditioning).latents != encoded.latents:
        raise RuntimeError("the symbols are others")


def _same(ours: tuple[np.ndarray, ...], theirs: tuple[np.ndarray, ...]) -> None:
    if not all(map(np.array_equal, ours, theirs)):
        raise RuntimeError("what was encoded does not come back")


PARTS: dict[str, Callable[[Any, Random], None]] = {
    "wavelet": _lifting,
    "motion": _motion,
    "features": _features,
    "post-filter and its gradient": _post_filter,
    "Wiener filter": _wiener,
    "trellis": _trellis,
    "range coder": _symbols,
    "encoded tiles": _tiles,
    "lossless coder": _lossless,
    "whole textures, refined": _textures,
}


def run(name: str, engine: Any, rounds: int, seed: int) -> str:
    """Run a part with all instruction sets in one and two threads; return a line."""
    random = np.random.default_rng(seed)
    for number in range(rounds):
        engine.engine_limit(number % len(LIMITS))
        with limited_to(1 + number // len(LIMITS) % 2):
            PARTS[name](engine, random)
    return f"{name}: {rounds} random inputs, no fault"
