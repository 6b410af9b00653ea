"""Output files appear whole or not at all."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deepstd.errors import InputError, OutputExistsError
from deepstd.io import atomic_folder, atomic_path, needing


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


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_with_the_output_and_what_it_needs(tmp_path: Path, number: int) -> None:
    path = tmp_path / "scan.nii"

    def write() -> None:
        with atomic_path(path) as temporary, needing(12345):
            temporary.write_bytes(bytes(100))
            raise OSError(number, os.strerror(number))

    with pytest.raises(InputError, match=r"scan\.nii: cannot be written .*12,345 bytes") as caught:
        write()
    assert os.strerror(number) in str(caught.value)
    if number == errno.EDQUOT:  # what the disk has free is not what we may use
        assert "room for 100." in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_under_a_folder(tmp_path: Path) -> None:
    def write() -> None:
        with atomic_folder(tmp_path / "slices", ours=lambda name: True) as temporary:
            (temporary / "slice_0001.png").write_bytes(bytes(77))
            raise OSError(errno.EDQUOT, "Disk quota exceeded")

    with pytest.raises(InputError, match=r"slices: cannot be written .* room for 77\."):
        write()
    assert list(tmp_path.iterdir()) == []


def test_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    def write() -> None:
        with atomic_path(tmp_path / "a.nii"), needing(10):
            raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(OSError, match="Input/output error") as caught:
        write()
    assert not isinstance(caught.value, InputError)


@pytest.mark.skipif(sys.platform == "win32", reason="limits of files are POSIX")
def test_a_scan_that_is_larger_than_a_file_may_be(tmp_path: Path) -> None:
    code = (
        "import resource, sys, numpy, deepstd\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: deepstd.write(deepstd.Volume(numpy.ones((30, 40))), sys.argv[1])\n"
        "except deepstd.DeepSTDError as error: print(error)\n"
    )
    for name in ("scan.npy", "scan.nii"):
        done = subprocess.run(
            [sys.executable, "-c", code, tmp_path / name],
            capture_output=True,
            text=True,
            check=True,
        )
        assert (
            f"{name}: cannot be written (File too large). It needs up to 9,600 bytes" in done.stdout
        )
        assert "room for 1,000." in done.stdout
    assert list(tmp_path.iterdir()) == []
