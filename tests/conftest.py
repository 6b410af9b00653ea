"""What all tests share: where the scans are, and limits on threads and examples."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Before torch is imported: it reads this once. More threads than cores only slow small tests.
os.environ.setdefault("OMP_NUM_THREADS", "2")

settings.register_profile(
    "quick",
    max_examples=40,
    deadline=None,  # the first example pays for imports
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("quick")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of real scans: $DEEPSTD_DATA, or shared/data beside the checkout."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("DEEPSTD_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"needs real scans: {folder} does not exist; set DEEPSTD_DATA to a folder")
    return folder


@pytest.fixture(scope="session")
def mni152_t1() -> Path:
    """The MNI152 T1 brain that an ordinary install of nilearn brings along."""
    spec = importlib.util.find_spec("nilearn")
    if spec is None or spec.origin is None:
        pytest.skip("needs nilearn: pip install 'deepstd[demo]'")
    folder = Path(spec.origin).parent / "datasets" / "data"
    return folder / "mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"
