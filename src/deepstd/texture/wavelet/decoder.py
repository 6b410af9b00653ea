"""Decoder of wavelet textures.

payload, tiles ─ level loop (DecoderSource) ─▶ reconstruction ─ post-filter ─▶ values
                          └ fewer levels ─▶ preview
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from deepstd.conditioning import Conditioning
from deepstd.devices import CPU, Device, Workers
from deepstd.texture.coded import CodedTexture, DecodedTexture
from deepstd.texture.conditioning import Hint, hint_of
from deepstd.texture.entropy.symbols import DecoderSource, Together, as_hashed, hash_of
from deepstd.texture.filters.postfilter import restore
from deepstd.texture.header import TextureHeader
from deepstd.texture.scaling import log_rate
from deepstd.texture.tiling import Region
from deepstd.texture.wavelet.bitstream import EncodedTile
from deepstd.texture.wavelet.check import CheckedTexture, check_texture, tile_count
from deepstd.texture.wavelet.levels import Level, ScanBatch, code_levels
from deepstd.texture.wavelet.lifting import split_plan
from deepstd.texture.wavelet.network import WaveletNetwork, condition_of
from deepstd.texture.wavelet.preview import preview_steps, subsampling


def decode_texture(
    network: WaveletNetwork,
    coded: CodedTexture,
    conditioning: Conditioning | None = None,
    *,
    workers: Workers = CPU,
    level: int = 0,
) -> DecodedTexture:
    """Decode the texture of one frame.

    Args:
        network: network that the texture was coded with.
        coded: payload of a wavelet, and its tiles; tiles are not read for a preview.
        conditioning: warped template and coordinates, or None.
        workers: devices that share the work.
        level: number of finest levels that a preview leaves out; 0 for the whole scan.

    Raises:
        DamagedError: the bytes make no sense.
        InputError: the scan has fewer levels.
    """
    checked = check_texture(coded, level)
    head = checked.head
    factors = subsampling(checked.plan, level, len(checked.shape))
    hint = hint_of(conditioning, head.step_code)
    low, latents = decode_streams(network, checked, hint, workers=workers, level=level)
    if level:
        steps = preview_steps(low, factors)
    else:
        steps = post_filtered(network, head, low, hint, workers)
    return DecodedTexture(steps, head.scaling.step(head.step_code), head.scaling.offset, latents)


class DecodedStream(NamedTuple):
    """Reconstruction before the post-filter, and hash of the symbols.

    Attributes:
        low: exact whole numbers in 1/64 step, (1, 1, *grid).
        latents: SHA-256 of the symbols.
    """

    low: np.ndarray
    latents: bytes


def post_filtered(
    network: WaveletNetwork,
    head: TextureHeader,
    low: np.ndarray,
    hint: Hint | None,
    workers: Workers,
) -> np.ndarray:
    """Apply the post-filter; return the values in steps, (*shape) float32.

    Args:
        network: network of the texture.
        head: header of the texture.
        low: reconstruction in 1/64 step, (1, 1, *shape).
        hint: prediction of the scan, or None.
        workers: devices that share the tiles.
    """
    condition = condition_of(network, head.step_code, split_plan(low.shape[2:], head.coarse))
    prediction = None if hint is None else hint.units
    return restore(network.filter_on, low, prediction, condition, workers)


def decode_streams(
    network: WaveletNetwork,
    checked: CheckedTexture,
    hint: Hint | None,
    *,
    workers: Workers = CPU,
    level: int = 0,
) -> DecodedStream:
    """Decode the streams of a texture to the reconstruction before the post-filter.

    Args:
        network: network that the texture was coded with.
        checked: header and streams; tiles are not read for a preview.
        hint: prediction of the scan, or None.
        workers: devices that share the tiles.
        level: number of finest levels that a preview leaves out; 0 for the whole scan.

    Raises:
        DamagedError: the bytes make no sense.
    """
    head, plan, shape, stream, tiles = checked
    batch = ScanBatch(shape, plan, [log_rate(head.step_code)], hint)
    if not tile_count(plan, shape):
        return decode_together(network, batch, [stream], workers.first, level=level)[0]
    source = DecoderSource(network.tables, stream)
    symbols = hashlib.sha256()

    def finest(finest_level: Level) -> np.ndarray:
        def decode(device: Device, part: tuple[Region, bytes]) -> EncodedTile:
            region, tile = part
            read = DecoderSource(network.tables, tile)
            high = finest_level.code(region, read, device).astype(np.float32)
            return EncodedTile(tile, read.symbols_coded, high, 0.0)

        symbols.update(b"".join(map(as_hashed, source.symbols_coded)))
        source.symbols_coded.clear()
        regions = list(finest_level.regions())
        high = np.zeros((1, *finest_level.mask.shape), np.float32)
        parts = workers.map(decode, zip(regions, tiles, strict=True))
        for region, tile in zip(regions, parts, strict=True):
            high[(..., *region)] = tile.high
            symbols.update(b"".join(map(as_hashed, tile.symbols)))
        return finest_level.merged(high)

    low = code_levels(
        network.context, batch, source, workers.first, last_level=level, finest=finest
    )
    symbols.update(b"".join(map(as_hashed, source.symbols_coded)))
    return DecodedStream(low, symbols.digest())


def decode_together(
    network: WaveletNetwork,
    batch: ScanBatch,
    streams: Sequence[bytes],
    device: Device = CPU.first,
    *,
    level: int = 0,
) -> list[DecodedStream]:
    """Decode a batch of untiled scans of one shape; batches are faster for small scans.

    Args:
        network: network that the scans were coded with.
        batch: shape, rates and prediction of the scans.
        streams: stream of each scan.
        device: device of the context model.
        level: number of finest levels that previews leave out; 0 for whole scans.

    Raises:
        DamagedError: the bytes make no sense.
    """
    sources = [DecoderSource(network.tables, stream) for stream in streams]
    low = code_levels(network.context, batch, Together(sources), device, last_level=level)
    return [
        DecodedStream(own, hash_of(source.symbols_coded))
        for own, source in zip(np.split(low, len(low)), sources, strict=True)
    ]
