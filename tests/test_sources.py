"""Scans are given as paths, volumes or arrays, and options only where they apply."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deepstd import sources
from deepstd.errors import InputError
from deepstd.io import Metadata
from deepstd.volume import Volume

ARRAY = np.zeros((4, 5, 6), np.int16)
VOLUME = Volume(ARRAY, np.eye(4))


def test_what_is_in_memory() -> None:
    assert sources.in_memory(ARRAY)
    assert sources.in_memory(VOLUME)
    for paths in ("a.nii", Path("a.nii"), np.str_("a.nii"), ["a.dcm", "b.dcm"], ()):
        assert not sources.in_memory(paths)


def test_paths() -> None:
    assert sources.paths_of("a.nii") == ["a.nii"]
    assert sources.paths_of(("a.dcm", Path("b.dcm"))) == ["a.dcm", Path("b.dcm")]
    assert sources.paths_of(ARRAY) == sources.paths_of(VOLUME) == []


def test_names() -> None:
    assert sources.name_of("https://me:secret@host/a.nii?key=1") == "https://host/a.nii"
    assert sources.name_of(["a.dcm", "b.dcm", "c.dcm"]) == "a.dcm and 2 more"
    assert sources.name_of(ARRAY) == "the array"
    assert sources.name_of(VOLUME) == "the volume"


def test_loading(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", ARRAY)
    assert sources.load(tmp_path / "a.npy").voxels.dtype == ARRAY.dtype
    assert sources.load(VOLUME) is VOLUME
    np.testing.assert_array_equal(sources.load(ARRAY, np.eye(4)).affine, np.eye(4))
    with pytest.raises(InputError, match="no scan is given"):
        sources.load([])


def test_options_that_do_not_apply_are_refused() -> None:
    with pytest.raises(InputError, match=r"a\.nii: .*affine"):
        sources.check_options("a.nii", np.eye(4), None)
    for source, name in ((ARRAY, "the array"), (VOLUME, "the volume")):
        with pytest.raises(InputError, match=f"{name}: .*series"):
            sources.check_options(source, None, "15b3d37f")
        for metadata in (Metadata.ALL, Metadata.NONE):
            with pytest.raises(InputError, match=rf"{name}: .*deepstd\.read"):
                sources.check_options(source, None, None, metadata)
    sources.check_options(ARRAY, np.eye(4), None)
    sources.check_options("a.nii", None, "15b3d37f", Metadata.ALL)
