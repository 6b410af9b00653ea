"""The study in five commands of docs/loaders.md works as it is written there."""

from __future__ import annotations

import importlib.util
import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest

import deepstd
from deepstd.cli.app import main

DOCS = Path(__file__).resolve().parents[2] / "docs"
CASES = 2


@pytest.fixture
def study(tmp_path: Path, data_dir: Path) -> Path:
    """Folder of hippocampus crops and labels, as the page wants it."""
    crops = data_dir / "hippocampus-t1"
    paths = sorted((crops / "images").glob("*.nii.gz"))[:CASES]
    for kind in ("images", "labels"):
        (tmp_path / "study" / kind).mkdir(parents=True)
        for number, path in enumerate(paths, 1):
            shutil.copy(crops / kind / path.name, tmp_path / f"study/{kind}/case{number}.nii.gz")
    return tmp_path


def commands() -> list[list[str]]:
    """Words of the five commands of the page."""
    page = (DOCS / "loaders.md").read_text(encoding="utf-8")
    block = page.partition("## A study in five commands")[2].partition("```sh\n")[2]
    return [shlex.split(line) for line in block.partition("```")[0].strip().splitlines()]


def test_a_study_in_five_commands(
    study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for package in ("torch", "monai", "imagecodecs"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"needs {package}")
    monkeypatch.chdir(study)
    shutil.copy(DOCS / "examples" / "train_monai.py", study)
    given = commands()
    assert len(given) == 5
    for words in given:
        if words[0] == "python":
            trained = subprocess.run(
                [sys.executable, *words[1:]], capture_output=True, text=True, check=False
            )
            assert trained.returncode == 0, trained.stderr
            assert trained.stdout.startswith("epoch 1: loss ")
            assert "epoch 2: loss " in trained.stdout
        else:
            assert main(words[1:]) == 0, capsys.readouterr().err

    label = nibabel.Nifti1Image.from_filename("study/labels/case1.nii.gz")
    exact = deepstd.decompress("small/labels/case1.dstd").voxels
    np.testing.assert_array_equal(exact, np.asanyarray(label.dataobj))
    whole = deepstd.decompress("small/images/case1.dstd").voxels
    region = nibabel.Nifti1Image.from_filename("region.nii.gz")
    np.testing.assert_array_equal(np.asanyarray(region.dataobj), whole[8:24, 8:24, :])
    for folder, measured in (("comparison", 3 * CASES), ("evaluation", 2 * CASES)):
        lines = Path(folder, "results.jsonl").read_text(encoding="utf-8").splitlines()
        assert sum("psnr" in json.loads(line) for line in lines) == measured
        assert Path(folder, "report.html").is_file()
