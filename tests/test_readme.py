"""Examples in README.md, the guide and the page of formats work as they are written there."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

from deepstd.cli.app import main

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "docs/guide.md", "docs/formats.md")
TEXT = "".join((ROOT / page).read_text(encoding="utf-8") for page in PAGES)
BLOCKS = re.findall(r"(<!-- not run -->\n)?```(\w+)\n(.*?)```", TEXT, flags=re.DOTALL)
SHELL = [code for skipped, kind, code in BLOCKS if kind == "sh" and not skipped]
PYTHON = [code for skipped, kind, code in BLOCKS if kind == "python" and not skipped]


@pytest.fixture
def folder(
    tmp_path: Path,
    phantom: Callable[..., np.ndarray],
    make_bundle: Callable[[Path, str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A working folder with the scans, descriptions and bundles that the README speaks of."""
    make_bundle(tmp_path / "home", "generic")
    monkeypatch.setattr("deepstd.bundle.store.folders", lambda: [tmp_path / "home"])
    monkeypatch.setattr("deepstd.train.job._TABLE_BATCHES", 3)
    save(tmp_path / "brain.nii.gz", phantom((40, 48, 36)))
    arrays = {"image": phantom((40, 48, 36)), "spacing": np.ones(3), "mask": np.ones((3, 4))}
    np.savez_compressed(tmp_path / "slices.npz", **arrays)
    if importlib.util.find_spec("h5py") is not None:
        import h5py

        with h5py.File(tmp_path / "study.h5", "w") as file:
            file["series1/volume"], file["series2/volume"] = arrays["image"], arrays["mask"]
    (tmp_path / "scans").mkdir()
    for number in range(4):
        save(
            tmp_path / "scans" / f"sub-{number:02d}_T2w.nii.gz", phantom((14, 16, 12), seed=number)
        )
    for _, kind, code in BLOCKS:
        if kind == "toml":
            name = re.match(r"# (\S+\.toml)\n", code)
            assert name is not None
            (tmp_path / name[1]).write_text(code)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def save(path: Path, voxels: np.ndarray) -> None:
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([1.0, 1.0, 1.2, 1.0])), path)


def test_there_are_examples() -> None:
    assert len(SHELL) >= 2
    assert len(PYTHON) >= 2


@pytest.mark.parametrize("code", SHELL, ids=lambda code: code.split("\n")[0])
@pytest.mark.usefixtures("folder")
def test_shell(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    if ".h5" in code:
        pytest.importorskip("h5py", reason="pip install 'deepstd[hdf5]'")
    for line in code.strip().splitlines():
        # Only the time is not as written: tests have no twenty minutes.
        words = shlex.split(re.sub(r"--max-time \S+", "--max-time 2s", line), comments=True)
        assert words[0] == "deepstd"
        assert main(words[1:]) == 0, capsys.readouterr().err
        assert capsys.readouterr().out


@pytest.mark.parametrize("code", PYTHON, ids=lambda code: code.split("\n")[2])
def test_python(code: str, folder: Path) -> None:
    exec(compile(code, "README.md", "exec"), {})
    names = ("brain.nii.gz", "restored.nii.gz")
    before, after = (nibabel.Nifti1Image.from_filename(folder / name) for name in names)
    assert after.shape == before.shape
    assert after.get_data_dtype() == before.get_data_dtype()
    np.testing.assert_array_equal(after.affine, before.affine)
