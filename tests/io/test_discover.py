"""Which scans a folder holds, and what they are called."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from deepstd import io
from deepstd.errors import InputError
from deepstd.io import declared, discover, read_scan


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"12345")


def names(folder: Path) -> list[str]:
    return [scan.name for scan in discover(folder).scans]


def test_what_is_a_scan(tmp_path: Path) -> None:
    touch(tmp_path, "a.nii.gz", "b/c.NII", "b/d.npy", "e.png", "f.tif", "g.TIFF")
    touch(tmp_path, ".hidden.nii", ".cache/x.nii", "a.dstd", "notes.txt", "ledger.jsonl", "h.gz")
    assert names(tmp_path) == ["a", "b/c", "b/d", "e", "f", "g"]
    first = discover(tmp_path).scans[0]
    assert (first.files, first.series, first.nbytes) == ((tmp_path / "a.nii.gz",), None, 5)


def test_scans_that_differ_by_their_suffix_keep_it(tmp_path: Path) -> None:
    touch(tmp_path, "a.nii.gz", "a.png", "b.nii", "x/a.npy", "c.png.npy", "c.png")
    assert names(tmp_path) == ["a.nii.gz", "a.png", "b", "c", "c.png.npy", "x/a"]


parts = st.sampled_from(["a", "b", ".nii", ".gz", ".npy", ".png", ".tif"])
file_names = st.lists(parts, min_size=1, max_size=4).map("".join)


@given(st.sets(file_names, max_size=12))
def test_no_two_scans_have_one_name(files: set[str]) -> None:
    with TemporaryDirectory() as folder:
        touch(Path(folder), *files)
        found = discover(Path(folder)).scans
        assert len({scan.name for scan in found}) == len(found)
        wanted = {f for f in files if f.endswith(io.discover.__globals__["SUFFIXES"])}
        assert {scan.files[0].name for scan in found} == {f for f in wanted if f[0] != "."}


def test_links(tmp_path: Path) -> None:
    touch(tmp_path, "real/a.npy", "elsewhere/b.npy", "scans/c.npy")
    (tmp_path / "scans" / "loop").symlink_to(tmp_path / "scans", target_is_directory=True)
    (tmp_path / "scans" / "linked").symlink_to(tmp_path / "real", target_is_directory=True)
    (tmp_path / "scans" / "again").symlink_to(tmp_path / "real", target_is_directory=True)
    (tmp_path / "scans" / "b.npy").symlink_to(tmp_path / "elsewhere" / "b.npy")
    (tmp_path / "scans" / "gone.npy").symlink_to(tmp_path / "nowhere.npy")
    assert names(tmp_path / "scans") == ["again/a", "b", "c", "gone"]
    with pytest.raises(InputError, match="no such file"):
        read_scan(discover(tmp_path / "scans").scans[-1])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.nii")
    assert names(tmp_path) == []


def test_a_folder_that_cannot_be_listed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "a.npy", "closed/b.npy")
    scandir = os.scandir

    def guarded(path: str) -> object:
        if path.endswith("closed"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr("os.scandir", guarded)
    found = discover(tmp_path)
    assert [scan.name for scan in found.scans] == ["a"]
    assert found.unreadable == [tmp_path / "closed"]


def test_a_single_file(tmp_path: Path) -> None:
    touch(tmp_path, "a.nii.gz", "odd")
    assert names(tmp_path / "a.nii.gz") == ["a"]
    assert names(tmp_path / "odd") == ["odd"]
    with pytest.raises(InputError, match="no such"):
        discover(tmp_path / "nothing")


def test_what_a_header_declares(tmp_path: Path, phantom: Callable[..., np.ndarray]) -> None:
    nibabel.save(nibabel.Nifti1Image(phantom((5, 6, 7)), np.eye(4)), tmp_path / "a.nii.gz")
    big = nibabel.Nifti2Image(phantom((5, 6), "float32").astype(">f4"), np.eye(4))
    nibabel.save(big, tmp_path / "b.nii")
    np.save(tmp_path / "c.npy", phantom((3, 4, 5, 2), "uint8"))
    Image.fromarray(phantom((8, 9), "uint16")).save(tmp_path / "d.png")
    Image.fromarray(phantom((8, 9), "uint8")).save(tmp_path / "e.tif")
    for scan in discover(tmp_path).scans:
        voxels = read_scan(scan).voxels
        assert declared(scan.files[0]) == (voxels.shape, voxels.dtype)


def test_a_header_that_lies(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.zeros((4, 4, 4), np.int16), np.eye(4))
    data = bytearray(image.to_bytes())
    data[42:44] = (30000).to_bytes(2, "little")
    (tmp_path / "a.nii").write_bytes(data)
    with pytest.raises(InputError, match=r"a\.nii: .*cut short"):
        declared(tmp_path / "a.nii")
