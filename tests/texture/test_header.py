"""The head of a texture: what a reader refuses before it takes memory."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepstd.coding.bytes import Cursor
from deepstd.errors import DamagedError
from deepstd.texture.coded import CodedTexture
from deepstd.texture.header import TextureHeader
from deepstd.texture.scaling import OFFSET_CODE_MAX, RANGE_CODE_MAX, Scaling
from deepstd.texture.tiling import tile_regions
from deepstd.texture.wavelet.check import check_texture, tile_count
from deepstd.texture.wavelet.lifting import grid_shapes, split_plan

SHAPES = st.lists(st.integers(1, 1200), min_size=2, max_size=2) | st.lists(
    st.integers(1, 300), min_size=3, max_size=3
)


def head(range_code: int = 90, offset_code: int = -7) -> TextureHeader:
    return TextureHeader(Scaling(range_code, offset_code), 3000, (0, 0, 2))


@given(
    st.integers(-RANGE_CODE_MAX // 2, RANGE_CODE_MAX // 2),
    st.integers(-OFFSET_CODE_MAX, OFFSET_CODE_MAX),
    st.integers(-4096, 16384),
    st.lists(st.integers(0, 15), min_size=3, max_size=3).map(tuple),
)
def test_a_head_comes_back(range_code: int, offset: int, step: int, coarse: tuple) -> None:
    packed = TextureHeader(Scaling(range_code, offset), step, coarse)
    assert TextureHeader.read(Cursor(packed.pack(), "x", "texture"), 3) == packed


@pytest.mark.parametrize("codes", [(RANGE_CODE_MAX + 1, 0), (RANGE_CODE_MAX, OFFSET_CODE_MAX)])
def test_grey_values_beyond_floats_are_damage(codes: tuple[int, int]) -> None:
    with pytest.raises(DamagedError, match="out of range"):
        TextureHeader.read(Cursor(head(*codes).pack(), "x", "texture"), 3)


@given(SHAPES.map(tuple), st.integers(0, 3))
def test_tiles_are_counted_as_they_are_coded(shape: tuple[int, ...], coarse: int) -> None:
    plan = split_plan(shape, (0,) * (len(shape) - 1) + (coarse,))
    tiles = list(tile_regions(grid_shapes(shape, plan)[1], len(shape))) if plan else []
    assert tile_count(plan, shape) == (len(tiles) if len(tiles) > 1 else 0)


def test_a_huge_scan_without_its_tiles_is_refused_without_memory() -> None:
    tracemalloc.start()
    try:
        with pytest.raises(DamagedError, match=r"expected \d+ texture tiles, found 1"):
            check_texture(CodedTexture(head().pack(), [b""], (4096, 4096, 4096), "x"))
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
