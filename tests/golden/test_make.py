"""Golden files are made once, and what a comparison forgives is the rounding of floats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.golden import make
from tests.golden.cases import CASES
from tests.golden.record import read_list
from tests.golden.test_golden import assert_near


def test_a_file_that_exists_is_left_alone() -> None:
    with pytest.raises(SystemExit, match="there already: constant"):
        make.main(["constant"])
    with pytest.raises(SystemExit, match="no such golden file: nothing"):
        make.main(["nothing"])


def test_a_new_file_comes_with_its_voxels_and_an_entry(tmp_path: Path) -> None:
    (case,) = (case for case in CASES if case.name == "constant")
    made, scratch = tmp_path / "made", tmp_path / "scratch"
    made.mkdir()
    make.make(case, scratch, made)
    assert {path.name for path in made.iterdir()} == {
        "constant.dstd", "constant.npz", "golden.json",
    }  # fmt: skip
    with np.load(made / "constant.npz") as kept:
        assert np.array_equal(kept["voxels"], np.full((9, 8, 7), -3, "<i4"))
    assert read_list(made)["constant"]["voxels_sha256"] == read_list()["constant"]["voxels_sha256"]


@pytest.mark.parametrize(
    ("dtype", "changes", "forgiven"),
    [
        ("i2", [], True),
        ("i2", [1] * 10, True),
        ("i2", [1] * 11, False),
        ("i2", [2], False),
        ("u8", [1], True),
        ("f4", [1e-3], True),
        ("f4", [2e-2], False),
        ("f4", [np.nan], False),
    ],
)
def test_only_rounding_is_forgiven(dtype: str, changes: list[float], forgiven: bool) -> None:
    kept = np.arange(1000, dtype=dtype)
    voxels = kept.copy()
    voxels[: len(changes)] += np.array(changes, dtype)
    if forgiven:
        assert_near(voxels, kept)
        return
    with pytest.raises(AssertionError):
        assert_near(voxels, kept)
