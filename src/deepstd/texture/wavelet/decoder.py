"""Decoder of wavelet textures.

payload, tiles ─ level loop (DecoderSource) ─▶ reconstruction ─ post-filter ─▶ values
                          └ fewer levels ─▶ preview
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from deepstd.conditioning import Conditioning
from deepstd.devices import CPU, Workers
from deepstd.texture.coded import CodedTexture, DecodedTexture
from deepstd.texture.conditioning import Hint, hint_of
from deepstd.texture.entropy.symbols import DecoderSource, Together, as_hashed, hash_of
from deepstd.texture.filters.postfilter import restore
from deepstd.texture.header import TextureHeader
from deepstd.texture.runtime import Arithmetic, replicas
from deepstd.texture.scaling import log_rate
from deepstd.texture.tiling import Region
from deepstd.texture.wavelet.bitstream import EncodedTile
from deepstd.texture.wavelet.check import CheckedTexture, check_texture, tile_count
from deepstd.texture.wavelet.levels import Level, ScanBatch, code_levels
from deepstd.texture.wavelet.lifting import split_plan
from deepstd.texture.wavelet.network import TextureNetwork, condition_of
from deepstd.texture.wavelet.preview import preview_steps, subsampling


def decode_texture(
    network: TextureNetwork,
    coded: CodedTexture,
    conditioning: Conditioning | None = None,
    *,
    workers: Workers = CPU,
    network_dtype: torch.dtype | None = None,
    level: int = 0,
) -> DecodedTexture:
    """Decode the texture of one frame.

    Args:
        network: network that the texture was coded with.
        coded: payload of a wavelet, and its tiles; tiles are not read for a preview.
        conditioning: warped template and coordinates, or None.
        workers: devices that share the work; the network is on the first of them.
        network_dtype: type of the context model's activations; symbols do not depend on it.
        level: number of finest levels that a preview leaves out; 0 for the whole scan.

    Raises:
        DamagedError: the bytes make no sense.
        InputError: the scan has fewer levels.
    """
    checked = check_texture(coded, level)
    head = checked.head
    factors = subsampling(checked.plan, level, len(checked.shape))
    hint = hint_of(conditioning, head.step_code, workers.first)
    low, latents = decode_streams(
        network, checked, hint, workers=workers, network_dtype=network_dtype, level=level
    )
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

    low: torch.Tensor
    latents: bytes


def post_filtered(
    network: TextureNetwork,
    head: TextureHeader,
    low: torch.Tensor,
    hint: Hint | None,
    workers: Workers,
) -> np.ndarray:
    """Apply the post-filter; return the values in steps, (*shape) float32.

    Args:
        network: network of the texture, on the first device of the workers.
        head: header of the texture.
        low: reconstruction in 1/64 step, (1, 1, *shape).
        hint: prediction of the scan, or None.
        workers: devices that share the tiles.
    """
    filters = {device: copy.postfilter for device, copy in replicas(network, workers).items()}
    condition = condition_of(network, head.step_code, split_plan(low.shape[2:], head.coarse))
    return restore(filters, low, None if hint is None else hint.units, condition, workers)


def decode_streams(
    network: TextureNetwork,
    checked: CheckedTexture,
    hint: Hint | None,
    *,
    workers: Workers = CPU,
    network_dtype: torch.dtype | None = None,
    level: int = 0,
) -> DecodedStream:
    """Decode the streams of a texture to the reconstruction before the post-filter.

    Args:
        network: network that the texture was coded with.
        checked: header and streams; tiles are not read for a preview.
        hint: prediction of the scan, or None.
        workers: devices that share the tiles; the network is on the first of them.
        network_dtype: type of the context model's activations; symbols do not depend on it.
        level: number of finest levels that a preview leaves out; 0 for the whole scan.

    Raises:
        DamagedError: the bytes make no sense.
    """
    head, plan, shape, stream, tiles = checked
    batch = ScanBatch(shape, plan, [log_rate(head.step_code)], hint)
    arithmetic = Arithmetic.on(workers.first, network_dtype)
    if not tile_count(plan, shape):
        return decode_together(network, batch, [stream], arithmetic, level=level)[0]
    copies = replicas(network, workers)
    source = DecoderSource(network.tables, stream)
    symbols = hashlib.sha256()

    def finest(finest_level: Level) -> torch.Tensor:
        def decode(device: torch.device, part: tuple[Region, bytes]) -> EncodedTile:
            region, tile = part
            read = DecoderSource(network.tables, tile)
            model, _ = copies[device].context.level(0)
            high = finest_level.code(region, read, model).float().to(workers.first)
            return EncodedTile(tile, read.symbols_coded, high, 0.0)

        symbols.update(b"".join(map(as_hashed, source.symbols_coded)))
        source.symbols_coded.clear()
        regions = list(finest_level.regions())
        low = finest_level.low
        high = low.new_zeros((1, len(finest_level.mask), *finest_level.grid), dtype=torch.float32)
        parts = workers.map(decode, zip(regions, tiles, strict=True))
        for region, tile in zip(regions, parts, strict=True):
            high[(..., *region)] = tile.high
            symbols.update(b"".join(map(as_hashed, tile.symbols)))
        return finest_level.merged(high, workers)

    low = code_levels(network.context, batch, source, arithmetic, last_level=level, finest=finest)
    symbols.update(b"".join(map(as_hashed, source.symbols_coded)))
    return DecodedStream(low, symbols.digest())


def decode_together(
    network: TextureNetwork,
    batch: ScanBatch,
    streams: Sequence[bytes],
    arithmetic: Arithmetic,
    *,
    level: int = 0,
) -> list[DecodedStream]:
    """Decode a batch of untiled scans of one shape; batches are faster for small scans.

    Args:
        network: network that the scans were coded with.
        batch: shape, rates and prediction of the scans.
        streams: stream of each scan.
        arithmetic: number types, and the device of the network.
        level: number of finest levels that previews leave out; 0 for whole scans.

    Raises:
        DamagedError: the bytes make no sense.
    """
    sources = [DecoderSource(network.tables, stream) for stream in streams]
    low = code_levels(network.context, batch, Together(sources), arithmetic, last_level=level)
    return [
        DecodedStream(own, hash_of(source.symbols_coded))
        for own, source in zip(low.split(1), sources, strict=True)
    ]
