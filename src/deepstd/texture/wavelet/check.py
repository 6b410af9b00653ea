"""Checks of a wavelet texture's payload before memory is taken for its scan.

payload ─ header ─▶ split plan, number of tiles ─▶ stream of the coarse levels, or DamagedError
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from deepstd.errors import DamagedError
from deepstd.texture.coded import CodedTexture
from deepstd.texture.header import TextureHeader
from deepstd.texture.tiling import tile_size
from deepstd.texture.wavelet.lifting import Plan, grid_shapes, split_plan


class CheckedTexture(NamedTuple):
    """A texture whose header and tiles fit its frame.

    Attributes:
        head: header of the texture.
        plan: axes split at each level, finest first.
        shape: voxels along each axis.
        stream: first stream.
        tiles: streams of the tiles; they may be missing for a preview.
    """

    head: TextureHeader
    plan: Plan
    shape: tuple[int, ...]
    stream: bytes
    tiles: Sequence[bytes]


def check_texture(coded: CodedTexture, level: int = 0) -> CheckedTexture:
    """Check a texture before memory is taken.

    Args:
        coded: payload of a wavelet, and its tiles.
        level: number of finest levels that a preview leaves out; above 0 it needs no tiles.

    Raises:
        DamagedError: the header makes no sense, or the tiles do not fit the shape.
    """
    head, cursor = coded.read_header()
    if head.sliced is not None:
        raise cursor.error("slices where their bundle cannot have any")
    plan = split_plan(coded.shape, head.coarse)
    expected = tile_count(plan, coded.shape)
    if not level and len(coded.tiles) != expected:
        raise DamagedError(
            f"{coded.name} is damaged: expected {expected} texture tiles, found {len(coded.tiles)}"
        )
    return CheckedTexture(head, plan, coded.shape, cursor.take(cursor.remaining), coded.tiles)


def tile_count(plan: Plan, shape: tuple[int, ...]) -> int:
    """Return the number of tiles with a stream of their own.

    The finest level has such tiles where it has more than one.
    """
    if not plan:
        return 0
    size = tile_size(len(shape))
    count = math.prod(-(-n // size) for n in grid_shapes(shape, plan)[1])
    return count if count > 1 else 0
