"""Examples of docs/zarr.md work as they are written there."""

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

zarr = pytest.importorskip("zarr", "3.1", reason="needs zarr-python: pip install 'deepstd[zarr]'")

from zarr.registry import register_codec  # noqa: E402

from deepstd.zarr import DeepSTDCodec  # noqa: E402

PAGE = Path(__file__).resolve().parents[2] / "docs" / "zarr.md"
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_examples(
    tmp_path: Path, phantom: Callable[..., np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    register_codec("deepstd", DeepSTDCodec)
    monkeypatch.chdir(tmp_path)
    np.save("ct.npy", phantom((70, 40, 30)))
    image = nibabel.Nifti1Image(phantom((66, 70, 40)), np.diag([1.0, 1.0, 1.2, 1.0]))
    nibabel.save(image, "brain.nii.gz")
    deepstd.compress("brain.nii.gz", "brain.dstd", lossless=True)
    ran = []
    for kind, code in BLOCKS:
        ran.append(kind)
        if kind == "python":
            exec(compile(code, PAGE.name, "exec"), {})
            continue
        for line in code.strip().splitlines():
            assert main(shlex.split(line)[1:]) == 0
    assert ran.count("python") == 2
    assert ran.count("sh") == 1
    assert (Path("ct.zarr") / "c" / "1" / "0" / "0").is_file()
    for name, levels in (("brain.ome.zarr", 2), ("pyramid.ome.zarr", 3)):
        group = zarr.open_group(name, mode="r")
        assert sorted(group.array_keys()) == [str(n) for n in range(levels)]
