"""Order of slices that lie between others, and what their neighbours tell."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from textures import smooth

from deepstd.texture.header import OCTAVES_MAX
from deepstd.texture.slices.motion import halfway
from deepstd.texture.slices.schedule import coding_order, hint_after, hint_between, non_reference


@given(st.integers(1, 300), st.integers(0, OCTAVES_MAX))
def test_every_slice_is_coded_once_after_its_references(count: int, octaves: int) -> None:
    known: set[int] = set()
    for layer in coding_order(count, octaves):
        for node in layer:
            assert node.index not in known
            assert node.lambda_factor > 0
            assert known.issuperset(node.references)
        known |= {node.index for node in layer}
    assert known == set(range(count))
    nodes = [node for layer in coding_order(count, octaves) for node in layer]
    keys = sum(not node.bidirectional for node in nodes)
    assert sum(not node.references for node in nodes) == (1 if octaves == OCTAVES_MAX else keys)
    assert keys <= count // 2**octaves + octaves + 1


@given(st.integers(1, 300), st.integers(1, OCTAVES_MAX))
def test_slices_wait_for_their_references_alone(count: int, octaves: int) -> None:
    """So that devices have work while the key slices are coded one after the other."""
    before: set[int] = set()
    for number, layer in enumerate(coding_order(count, octaves)):
        if number:
            assert all(before.intersection(node.references) for node in layer)
        before = {node.index for node in layer}


@given(st.integers(1, 300), st.integers(0, OCTAVES_MAX))
def test_non_reference_slices(count: int, octaves: int) -> None:
    layers = coding_order(count, octaves)
    needed = {side for layer in layers for node in layer for side in node.references}
    assert set(non_reference(layers)) == set(range(count)) - needed
    if octaves == 0:
        assert non_reference(layers) == list(range(count))


def whole(image: np.ndarray) -> np.ndarray:
    return np.rint(image)[None, None]


@pytest.mark.parametrize("move", [(0, 0), (2, -1), (-3, 3)])
def test_what_moves_is_found_half_way(move: tuple[int, int]) -> None:
    scene = 20 * smooth((90, 100))
    before, middle, after = (
        whole(scene[20 + k * move[0] : 68 + k * move[0], 20 + k * move[1] : 76 + k * move[1]])
        for k in (-1, 0, 1)
    )
    expected, difference = halfway(before, after)
    inner = (..., slice(8, -8), slice(8, -8))
    error = np.abs(expected - middle)[inner].mean()
    plain = np.abs((before + after) / 2 - middle)[inner].mean()
    assert error <= 0.35 * plain + 1
    assert np.abs(difference[inner]).mean() <= 0.35 * np.abs(before - after)[inner].mean() + 1


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_hints_are_the_same_whole_numbers_in_any_type(height: int, width: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    pair = [random.integers(-4000, 4000, (1, 1, height, width)).astype(float) for _ in range(2)]
    hint = hint_between(pair[0], pair[1], 2)
    again = hint_between(pair[0].astype(np.float32), pair[1].astype(np.float32), 2)
    for one, other in ((hint.units, again.units), (hint.places, again.places)):
        assert np.array_equal(one, other)
        assert np.array_equal(one, np.floor(one))
    assert np.abs(hint.places).max() <= 64
    assert np.unique(hint.places[0, 0]).tolist() == [0]


def test_two_alike_tell_what_lies_between() -> None:
    image = whole(smooth((33, 20)))
    hint = hint_between(image, image, 4)
    assert np.array_equal(hint.units, image)
    assert not hint.places[:, 1].any()


def test_one_slice_tells_the_next_that_it_looks_alike() -> None:
    image = whole(smooth((33, 20)))
    places = set()
    for distance in (1, 2, 4, 8):
        hint = hint_after(image, distance)
        assert np.array_equal(hint.units, image)
        assert np.abs(hint.places).max() <= 64
        places.add(hint.places[0, 0, 0, 0].item())
    assert len(places) == 4
    assert not places & {hint_between(image, image, d).places[0, 0, 0, 0].item() for d in (1, 2, 4)}
