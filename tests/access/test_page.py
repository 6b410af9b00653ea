"""The examples of the page on regions work as they are written there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

import deepstd
from deepstd.cli.app import main

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "access.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", TEXT, flags=re.DOTALL)


@pytest.fixture
def folder(
    tmp_path: Path,
    phantom: Callable[..., np.ndarray],
    only_tiny: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A working folder with the file that the page speaks of."""
    scan = deepstd.Volume(phantom((24, 22, 32)), np.diag([1.0, 1, 1.2, 1]))
    deepstd.compress(scan, tmp_path / "brain.dstd", bpv=2, model=str(only_tiny), effort="fast")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_python(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for kind, code in BLOCKS:
        if kind == "python":
            exec(compile(code, "access.md", "exec"), {})
    assert capsys.readouterr().out.startswith("(24, 22, 32) int16 (1.0, 1.0, 1.2")
    image = nibabel.Nifti1Image.from_filename(folder / "crop.nii.gz")
    assert image.shape == (10, 22, 1)
    assert image.affine is not None
    np.testing.assert_allclose(image.affine[:3, 3], (10, 0, 36))


def test_shell(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line for kind, code in BLOCKS if kind == "sh" for line in code.splitlines()]
    assert len(lines) == 2
    for line in lines:
        words = shlex.split(line, comments=True)
        assert words[0] == "deepstd"
        assert main(words[1:]) == 0, capsys.readouterr().err
    shapes = [
        nibabel.Nifti1Image.from_filename(folder / f"{n}.nii.gz").shape for n in ("part", "last")
    ]
    assert shapes == [(10, 22, 1), (24, 22, 4)]
