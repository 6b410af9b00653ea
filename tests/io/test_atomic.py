"""Output files appear whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deepstd.errors import InputError, OutputExistsError
from deepstd.io import atomic_path


def test_the_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "scan.v1.nii.gz"
    with atomic_path(path) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.name.endswith(".nii.gz")
        temporary.write_bytes(b"whole")
        assert not path.exists()
    assert path.read_bytes() == b"whole"
    assert list(tmp_path.iterdir()) == [path]


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    with atomic_path(tmp_path / "a.nii"):
        pass
    assert (tmp_path / "a.nii").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_a_failure_leaves_the_old_file(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "a.nii"
    path.write_bytes(b"old")

    def write() -> None:
        with atomic_path(path, overwrite=True) as temporary:
            temporary.write_bytes(b"half")
            raise error

    with pytest.raises(error):
        write()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"

    def write() -> None:
        with atomic_path(path) as temporary:
            temporary.write_bytes(b"mine")
            path.write_bytes(b"theirs")

    with pytest.raises(OutputExistsError, match=r"a\.nii"):
        write()
    assert path.read_bytes() == b"theirs"
    assert list(tmp_path.iterdir()) == [path]


def test_a_symbolic_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "link.nii").symlink_to(tmp_path / "a.nii")
    with atomic_path(tmp_path / "link.nii") as temporary:
        temporary.write_bytes(b"x")
    assert (tmp_path / "link.nii").is_symlink()
    assert (tmp_path / "a.nii").read_bytes() == b"x"


def test_folders_and_devices_are_not_replaced(tmp_path: Path) -> None:
    for target in (tmp_path, Path(os.devnull)):
        with (
            pytest.raises(InputError, match="not an ordinary file"),
            atomic_path(target, overwrite=True),
        ):
            pass
    assert not Path(os.devnull).is_file()
