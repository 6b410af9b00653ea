"""The bundle of a file is found by its hash, whatever else is installed or lies around."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from deepstd import api
from deepstd import bundle as bundles
from deepstd.errors import BundleError, BundleMismatchError, BundleNotFoundError


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The package's folder of bundles and the user's, both empty."""
    found = [tmp_path / "package", tmp_path / "home" / "bundles"]
    for folder in found:
        folder.mkdir(parents=True)
    monkeypatch.setattr("deepstd.bundle.store.folders", lambda: found)
    return found


@pytest.fixture
def scan(tmp_path: Path, phantom: Callable[..., np.ndarray]) -> Path:
    np.save(tmp_path / "scan.npy", phantom((12, 10, 8)))
    return tmp_path / "scan.npy"


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    return tmp_path / "scan.dstd"


def with_version(bundle: Path, folder: Path, version: str) -> Path:
    """A copy that is another bundle: its description, and so its hash, is another."""
    shutil.copytree(bundle, folder)
    described = json.loads((folder / "bundle.json").read_text())
    (folder / "bundle.json").write_text(json.dumps({**described, "version": version}))
    return folder


def damage(bundle: Path) -> None:
    weights = bundle / "texture-3d.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\xff")


def compressed(scan: Path, packed: Path, model: str = "auto") -> str:
    """Name and version of the bundle taken."""
    report = api.compress(scan, packed, ratio=16, model=model, effort="fast", overwrite=True)
    return report.bundle


def restored(packed: Path) -> bool:
    volume = api.decompress(packed, packed.with_name("back.npy"), overwrite=True)
    return volume.shape == (12, 10, 8)


def test_its_folder_may_be_called_anything(
    scan: Path, packed: Path, folders: list[Path], tiny_bundle: Path
) -> None:
    shutil.copytree(tiny_bundle, folders[1] / "knee-t2-v2")
    assert compressed(scan, packed) == "tiny 1"
    assert restored(packed)
    assert api.verify(packed).stated is not None


@pytest.mark.parametrize("older", [0, 1])
def test_two_versions_in_folders_of_one_name(
    scan: Path, packed: Path, folders: list[Path], tiny_bundle: Path, older: int
) -> None:
    shutil.copytree(tiny_bundle, folders[older] / "tiny")
    newer = with_version(tiny_bundle, folders[1 - older] / "tiny", "2")
    for bundle, name in ((folders[older] / "tiny", "tiny 1"), (newer, "tiny 2")):
        assert compressed(scan, packed, str(bundle)) == name
        assert restored(packed)


def test_a_folder_here_does_not_stand_for_an_installed_bundle(
    scan: Path,
    packed: Path,
    folders: list[Path],
    tiny_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shutil.copytree(tiny_bundle, folders[0] / "tiny")
    with_version(tiny_bundle, tmp_path / "here" / "tiny", "2")
    monkeypatch.chdir(tmp_path / "here")
    assert compressed(scan, packed) == "tiny 1"
    assert restored(packed)
    with pytest.raises(BundleMismatchError):
        # A user means it as a path.
        api.decompress(packed, tmp_path / "back.npy", model="tiny", overwrite=True)


def test_broken_bundles_beside_it(
    scan: Path, packed: Path, folders: list[Path], tiny_bundle: Path
) -> None:
    shutil.copytree(tiny_bundle, folders[1] / "tiny")
    compressed(scan, packed)
    for number, text in enumerate((b"", b"\xff{", b"[" * 100000, b"{}")):
        (folders[0] / f"broken{number}").mkdir()
        (folders[0] / f"broken{number}" / "bundle.json").write_bytes(text)
    (folders[0] / "folder" / "bundle.json").mkdir(parents=True)
    damage(with_version(tiny_bundle, folders[0] / "tiny", "2"))
    assert restored(packed)


def test_a_whole_copy_beside_a_damaged_one(
    scan: Path, packed: Path, folders: list[Path], tiny_bundle: Path
) -> None:
    damage(shutil.copytree(tiny_bundle, folders[0] / "tiny"))
    shutil.copytree(tiny_bundle, folders[1] / "copy")
    compressed(scan, packed)
    assert restored(packed)
    shutil.rmtree(folders[1] / "copy")
    with pytest.raises(BundleError, match=r"texture-3d\.safetensors: the file is damaged"):
        restored(packed)


def test_no_weights_of_others_are_read(
    folders: list[Path], tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in "23":
        with_version(tiny_bundle, folders[0] / f"tiny{version}", version)
    shutil.copytree(tiny_bundle, folders[1] / "tiny")
    wanted = bundles.load(tiny_bundle).reference
    read: list[Path] = []
    read_bytes = Path.read_bytes

    def noted(path: Path) -> bytes:
        read.append(path)
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", noted)
    assert bundles.load_exact(wanted).folder == folders[1] / "tiny"
    assert {path.name for path in read if path.is_relative_to(folders[0])} == {"bundle.json"}


def test_what_is_said_where_it_is_missing(
    scan: Path, packed: Path, folders: list[Path], tiny_bundle: Path
) -> None:
    shutil.copytree(tiny_bundle, folders[1] / "tiny")
    compressed(scan, packed)
    shutil.rmtree(folders[1] / "tiny")
    with pytest.raises(BundleMismatchError, match="There is: none") as caught:
        restored(packed)
    assert isinstance(caught.value.__cause__, BundleNotFoundError)
    assert str(caught.value).startswith(f"{packed}: its bundle tiny 1 (")
    assert f"into {folders[1]}, under any name" in str(caught.value)
    (folders[0] / "torn").mkdir()
    (folders[0] / "torn" / "bundle.json").write_text("{")
    with_version(tiny_bundle, folders[0] / "tiny", "2")
    there = f"There is: tiny 2 ({bundles.load(folders[0] / 'tiny').reference.digest.hex()})."
    with pytest.raises(BundleMismatchError) as caught:
        restored(packed)
    assert there in str(caught.value)
    assert f"Damaged: {folders[0] / 'torn'}." in str(caught.value)
    assert caught.value.exit_code == 4
    api.decompress(packed, packed.with_name("back.npy"), model=str(tiny_bundle))
