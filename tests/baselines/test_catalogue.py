"""Reference codecs by name: the neural ones, and those without a knob."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from deepstd import baselines
from deepstd.baselines import catalogue

pytest.importorskip("torch", reason="needs PyTorch: pip install 'deepstd[neural]'")


def test_neural_codecs_are_found_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert set(baselines.NEURAL) == {"brief", "gaussians", "dvc", "tcm"}
    for name, codec in baselines.NEURAL.items():
        assert baselines.lossy(name) is codec
        assert baselines.title(name) == codec.name
    for variable in ("DEEPSTD_DVC", "DEEPSTD_TCM"):
        monkeypatch.delenv(variable, raising=False)
    assert baselines.missing("brief") is None
    assert "DEEPSTD_TCM" in str(baselines.missing("tcm"))
    foreign = tmp_path / "foreign.safetensors"
    foreign.write_bytes(b"no weights")
    monkeypatch.setenv("DEEPSTD_DVC", str(foreign))
    assert "foreign.safetensors" in str(baselines.missing("dvc"))


def test_a_codec_without_a_knob_is_asked_for_the_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "NEURAL", {"brief": baselines.Brief(steps=20)})
    scan = np.add.outer(np.arange(20), np.arange(24)).astype(np.uint8)
    found = baselines.encode_at("brief", scan, 300)
    assert 0 < found.nbytes <= 300
    assert math.isnan(found.knob)
    assert (found.restored.shape, found.restored.dtype) == (scan.shape, scan.dtype)
