"""What all tests share: scans real and made up, a small bundle, limits on threads and examples."""

from __future__ import annotations

import importlib.util
import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

# Before torch is imported: it reads this once. More threads than cores only slow small tests.
os.environ.setdefault("OMP_NUM_THREADS", "2")

# A shell that starts the tests in the background has them ignore Ctrl-C, which some of them send.
signal.signal(signal.SIGINT, signal.default_int_handler)

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


@pytest.fixture(scope="session")
def phantom() -> Callable[..., np.ndarray]:
    """phantom(shape, dtype): a bright ball in a slope with a little noise, 0 to 250."""

    def make(shape: tuple[int, ...], dtype: str = "int16", *, seed: int = 0) -> np.ndarray:
        axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
        distance = np.sqrt(sum(np.square(x) for x in axes[:3]))
        values = 160 / (1 + np.exp(10 * (distance - 0.7))) + 20 * axes[0] + 40
        values += np.random.default_rng(seed).normal(0, 4, shape)
        return np.rint(np.clip(values, 0, 250)).astype(dtype)

    return make


@pytest.fixture(scope="session")
def make_bundle() -> Callable[[Path, str], Path]:
    """make_bundle(folder, name): an untrained 2-D and 3-D bundle without template, all of 60 kB.

    Its context model knows one thing: most symbols are zero. That is enough to reach the usual
    ratios.
    """

    def make(folder: Path, name: str) -> Path:
        import torch

        from deepstd import bundle
        from deepstd.texture.networks.context import LevelContext
        from deepstd.texture.networks.network import TextureNetwork
        from deepstd.texture.wavelet.network import TextureConfig

        torch.manual_seed(0)
        networks = {n: TextureNetwork(TextureConfig(n, (4, 4), False, 4, 1)) for n in (2, 3)}
        for ndim, network in networks.items():
            for level in network.context.levels:
                assert isinstance(level, LevelContext)
                for head in level.head:
                    torch.nn.init.zeros_(head.weight)  # pyright: ignore[reportArgumentType]
                    with torch.no_grad():
                        head.bias[2**ndim - 1 :] = -0.75  # pyright: ignore[reportIndexIssue]
        description = {
            "name": name,
            "version": "1",
            "modality": "any",
            "body_part": "any",
            "description": "For tests.",
            "licence": "none",
            "networks": {str(n): network.config.to_dict() for n, network in networks.items()},
            "rate_weight": 0.1,
            "shape": None,
        }
        arrays = {str(n): network.to_tensors() for n, network in networks.items()}
        bundle.save(folder / name, description, arrays, None, None, f"# {name}\n\nFor tests.\n")
        return folder / name

    return make


@pytest.fixture(scope="session")
def tiny_bundle(
    tmp_path_factory: pytest.TempPathFactory, make_bundle: Callable[[Path, str], Path]
) -> Path:
    """Folder of an untrained bundle named "tiny", for 2-D and 3-D, without template."""
    return make_bundle(tmp_path_factory.mktemp("home") / "bundles", "tiny")


@pytest.fixture
def only_tiny(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`tiny_bundle`, and no other bundle can be found by name."""
    monkeypatch.setattr("deepstd.bundle.store.folders", lambda: [tiny_bundle.parent])
    return tiny_bundle
