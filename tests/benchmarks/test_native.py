"""Benchmarks of the native engine run, find what they should, and say what the documents say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from instructions import limited

from benchmarks import complexity
from benchmarks.paths.__main__ import Outcome, compare, difference
from benchmarks.paths.routes import routes
from benchmarks.paths.scans import sample
from benchmarks.sanitize import damaged, valid
from deepstd.codec.codec import Codec
from deepstd.engine import library
from deepstd.texture.wavelet.network import WaveletNetwork

ARCHITECTURE = Path(__file__).resolve().parents[2] / "docs" / "architecture.md"


@pytest.fixture
def engine() -> Iterator[Any]:
    with limited(library.LIMITS[-1]):
        if library.engine() is None:
            pytest.skip("the native engine is not built here")
        yield library.engine()


@pytest.mark.parametrize("part", damaged.PARTS)
def test_damaged_payloads_are_refused_or_decoded(part: str, engine: Any) -> None:
    share, _ = damaged.PARTS[part]
    assert ": 20 damaged payloads" in damaged.run(part, engine, round(20 / share), 0)


@pytest.mark.parametrize("part", valid.PARTS)
def test_valid_input_passes(part: str, engine: Any) -> None:
    assert valid.run(part, engine, 3, 0).endswith("no fault")


@pytest.mark.parametrize("number", [7, 8, 9])
def test_paths_give_the_same_files(number: int, tmp_path: Path) -> None:
    every = [route for route in routes() if route.exists and route.threads == 1]
    outcomes = [Outcome() for _ in every]
    assert compare(sample(number, tmp_path), "fast", every, outcomes)
    for found in outcomes:
        assert (found.same_files, found.restored, found.faults) == (1, 1, 0)
        assert found.largest <= 1


def test_differences_of_floats_are_shares_of_the_range() -> None:
    one = np.array([0.0, 10.0, np.nan], np.float32)
    assert difference(one + np.float32(1), one) == pytest.approx(102.4)
    assert difference(np.zeros(3, np.float32), one) == np.inf
    assert difference(np.array([3, 200], np.uint8), np.array([250, 200], np.uint8)) == 247


def test_the_table_of_multiplications_is_that_of_the_networks() -> None:
    networks = Codec.load("generic", device="cpu").model.networks
    written = re.search(r"\| post-filter \| \| ([\d.]+) \| ([\d.]+)", ARCHITECTURE.read_text())
    assert written is not None
    for part, figure in zip((2, "between"), written.groups(), strict=True):
        network = networks[part]
        assert isinstance(network, WaveletNetwork)
        assert f"{complexity.counted(network)['post-filter'] / 1000:.2f}" == figure
