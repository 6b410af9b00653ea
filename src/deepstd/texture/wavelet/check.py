"""Checks of a wavelet texture's payload before memory is taken for its scan.

payload ─ header ─▶ split plan, number of tiles ─▶ stream of the coarse levels, or DamagedError
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from deepstd.coding.bytes import Cursor
from deepstd.errors import DamagedError
from deepstd.texture.header import TextureHeader
from deepstd.texture.tiling import tile_size
from deepstd.texture.wavelet.lifting import Plan, grid_shapes, split_plan


def check_texture(
    payload: bytes, tiles: Sequence[bytes] | None, shape: tuple[int, ...], name: str
) -> tuple[TextureHeader, Plan, bytes]:
    """Check a texture before memory is taken; return its header, split plan and first stream.

    Args:
        payload: header and first stream.
        tiles: streams of the tiles, or None where they are not needed.
        shape: voxels along each axis.
        name: name of the file, for messages.

    Raises:
        DamagedError: the header makes no sense, or the tiles do not fit the shape.
    """
    cursor = Cursor(payload, name, "texture")
    head = TextureHeader.read(cursor, len(shape))
    if head.sliced is not None:
        raise cursor.error("slices where their bundle cannot have any")
    plan = split_plan(shape, head.coarse)
    expected = tile_count(plan, shape)
    if tiles is not None and len(tiles) != expected:
        raise DamagedError(
            f"{name} is damaged: expected {expected} texture tiles, found {len(tiles)}"
        )
    return head, plan, cursor.take(cursor.remaining)


def tile_count(plan: Plan, shape: tuple[int, ...]) -> int:
    """Return the number of tiles with a stream of their own.

    The finest level has such tiles where it has more than one.
    """
    if not plan:
        return 0
    size = tile_size(len(shape))
    count = math.prod(-(-n // size) for n in grid_shapes(shape, plan)[1])
    return count if count > 1 else 0
