"""The commands of docs/datasets.md do what the page says, on a BIDS data set with labels."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import nibabel
import numpy as np
import pytest
from batch_runs import files_in
from bids_sets import make_bids

from deepstd.cli.app import main

PAGE = Path(__file__).resolve().parents[1] / "docs" / "datasets.md"
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    for line in block.splitlines()
]


@pytest.mark.slow
def test_five_commands(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = make_bids(tmp_path / "bids")
    monkeypatch.chdir(tmp_path)
    assert len(COMMANDS) == 5
    for line in COMMANDS:
        words = shlex.split(line)
        assert words[0] == "deepstd"
        assert main(words[1:]) == 0, (line, capsys.readouterr())
        assert capsys.readouterr().out
    before, after = files_in(source), files_in(tmp_path / "restored")
    del before[".secret"], after[".deepstd-restore.jsonl"]
    assert set(before) == set(after)
    for name, data in before.items():
        if not name.endswith(".nii.gz"):
            assert after[name] == data
        if name.endswith("_dseg.nii.gz"):
            restored = voxels(tmp_path / "restored" / name)
            np.testing.assert_array_equal(voxels(source / name), restored)


def voxels(path: Path) -> np.ndarray:
    return np.asanyarray(nibabel.Nifti1Image.from_filename(path).dataobj)
