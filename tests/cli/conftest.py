"""A scan, and the same compressed with whatever bundle the test allows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from deepstd import api


@pytest.fixture
def scan(tmp_path: Path, phantom: Callable[..., np.ndarray]) -> Path:
    np.save(tmp_path / "scan.npy", phantom((18, 16, 12)))
    return tmp_path / "scan.npy"


@pytest.fixture
def packed(scan: Path) -> Path:
    api.compress(scan, scan.with_name("packed.dstd"), ratio=16)
    return scan.with_name("packed.dstd")
