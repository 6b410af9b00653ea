"""Regions of a wavelet texture with tiles.

    first stream ─ levels but the finest, whole and once ─▶ Level
    region ─ coefficients that it needs ─▶ tiles ─ merge of a window ─ post-filter ─▶ values

A window of coefficients is merged with a margin as wide as the wavelet reaches. Merging works in
whole numbers and filtering in the same tiles as that of the whole scan: not a bit is another.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from deepstd.conditioning import Conditioning
from deepstd.devices import Workers
from deepstd.texture.coded import CodedTexture
from deepstd.texture.conditioning import hint_of
from deepstd.texture.entropy.symbols import DecoderSource
from deepstd.texture.opened import Kept, OpenedTexture, OpenedWhole
from deepstd.texture.scaling import log_rate
from deepstd.texture.tiling import FILTER_TILES, Region, shared, tile_size, tiles_of_region
from deepstd.texture.wavelet.check import CheckedTexture, check_texture, tile_count
from deepstd.texture.wavelet.decoder import decode_texture
from deepstd.texture.wavelet.levels import Level, ScanBatch, code_levels
from deepstd.texture.wavelet.lifting import merge
from deepstd.texture.wavelet.network import WaveletNetwork, condition_of

# Four lifting steps reach four samples, which are two of either half.
_MARGIN = 2


def open_texture(
    network: WaveletNetwork,
    coded: CodedTexture,
    conditioning: Conditioning | None,
    workers: Workers,
    kept: Kept,
) -> OpenedTexture:
    """Open the texture of a frame for decoding parts of it.

    Args:
        network: network that the texture was coded with.
        coded: payload of a wavelet, and its tiles; a tile is read when it is needed.
        conditioning: warped template and coordinates, or None.
        workers: devices that share the work.
        kept: place of decoded parts.

    Raises:
        DamagedError: the header makes no sense, or the tiles do not fit the shape.
    """
    checked = check_texture(coded)
    if tile_count(checked.plan, checked.shape):
        return OpenedTiles(network, checked, conditioning, workers, kept)
    head = checked.head
    scale = head.scaling.step(head.step_code), head.scaling.offset
    return OpenedWhole(
        lambda: decode_texture(network, coded, conditioning, workers=workers), scale, kept
    )


@dataclass(frozen=True)
class OpenedTiles:
    """A texture whose finest level has tiles.

    Attributes:
        network: network that the texture was coded with.
        checked: header and streams.
        conditioning: warped template and coordinates, or None.
        workers: devices that share the work.
        kept: place of the coarse levels, the coefficients of tiles, and filtered tiles.
    """

    network: WaveletNetwork
    checked: CheckedTexture
    conditioning: Conditioning | None
    workers: Workers
    kept: Kept

    @property
    def scale(self) -> tuple[float, float]:
        """Quantisation step in grey values, and grey value of 0 steps."""
        head = self.checked.head
        return head.scaling.step(head.step_code), head.scaling.offset

    def steps(self, region: Region) -> np.ndarray:
        """Return restored values of a region in steps (`OpenedTexture.steps`)."""
        head, plan, shape, _, _ = self.checked
        condition = condition_of(self.network, head.step_code, plan)
        filtered = self.network.filter_on(self.workers.first)
        if not filtered.halo:  # each voxel alone
            return filtered(self._merged(region), None, condition)[0, 0]
        found = np.empty([span.stop - span.start for span in region], np.float32)
        hint = hint_of(self.conditioning, head.step_code)
        for tile in tiles_of_region(shape, filtered.halo, FILTER_TILES, region):

            def restored(tile: Any = tile) -> np.ndarray:
                part = None if hint is None else hint.units[tile.window]
                low = self._merged(tile.window[1:])
                return filtered(low, part, condition)[0, 0][tile.inner]

            values = self.kept.array(("filtered", tile.start), restored)
            here, there = shared(tile.outer, region)
            found[there] = values[here]
        return found

    def _merged(self, region: Region) -> np.ndarray:
        """Return the reconstruction of a region before the filters, (1, 1, *region)."""
        level = self._level()
        fine, axes = level.fine, level.axes
        coarse, inner, size = [], [], []
        for axis, span in enumerate(region):
            if axis not in axes:
                coarse.append(span)
                inner.append(slice(None))
                size.append(span.stop - span.start)
                continue
            start = max(span.start // 2 - _MARGIN, 0)
            stop = min(-(-span.stop // 2) + _MARGIN, level.grid[axis])
            coarse.append(slice(start, stop))
            size.append(min(2 * stop, fine[axis]) - 2 * start)
            inner.append(slice(span.start - 2 * start, span.stop - 2 * start))
        window = tuple(coarse)
        high = np.zeros((1, len(level.mask), *(s.stop - s.start for s in window)), np.float32)
        for number, tile in self._tiles(level, window):
            here, there = shared(tile, window)
            high[(..., *there)] = self._high(level, number, tile)[(..., *here)]
        low = np.ascontiguousarray(level.low[(..., *window)])
        return merge(low, high, axes, size, dtype=np.float32)[(..., *inner)]

    def _tiles(self, level: Level, window: Region) -> list[tuple[int, Region]]:
        """Return number and place of the tiles that a window of the finest grid meets."""
        edge = tile_size(len(level.grid))
        counts = [-(-n // edge) for n in level.grid]
        places = [range(span.start // edge, -(-span.stop // edge)) for span in window]
        return [
            (
                int(np.ravel_multi_index(place, counts)),
                tuple(
                    slice(p * edge, min((p + 1) * edge, n))
                    for p, n in zip(place, level.grid, strict=True)
                ),
            )
            for place in product(*places)
        ]

    def _high(self, level: Level, number: int, tile: Region) -> np.ndarray:
        """Return the high subbands of a tile in 1/64 step, (1, bands, *tile) float32."""

        def decode() -> np.ndarray:
            read = DecoderSource(self.network.tables, self.checked.tiles[number])
            return level.code(tile, read, self.workers.first).astype(np.float32)

        return self.kept.array(("tile", number), decode)

    def _level(self) -> Level:
        """Return the finest level, with all that the first stream holds decoded."""
        return self.kept.cache.get((self.kept.frame, "levels"), self._decode_levels, _bytes_of)

    def _decode_levels(self) -> Level:
        head, plan, shape, stream, _ = self.checked
        hint = hint_of(self.conditioning, head.step_code)
        batch = ScanBatch(shape, plan, [log_rate(head.step_code)], hint)
        found: list[Level] = []

        def finest(level: Level) -> np.ndarray:
            found.append(level)
            return level.low

        source = DecoderSource(self.network.tables, stream)
        code_levels(self.network.context, batch, source, self.workers.first, finest=finest)
        return found[0]


def _bytes_of(level: Level) -> int:
    """Return the bytes of what a level keeps."""
    arrays = [level.low, level.mask, *([] if level.parents is None else [level.parents])]
    if level.pyramid is not None:
        arrays += [*level.pyramid.lows, *level.pyramid.highs, *level.pyramid.places]
    return sum(array.nbytes for array in arrays)
