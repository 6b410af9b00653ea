"""The house rules that no linter knows: who imports whom, how long a file is, who may print."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[1] / "src" / "deepstd"
FILES = sorted(SRC.rglob("*.py"))

# From top to bottom; a module imports only from lines below its own.
LAYERS = (
    ("__init__", "__main__"),
    ("cli",),
    ("network",),
    ("train", "evaluate", "batch", "viewer", "zarr", "monai", "torchio", "nnunet", "torch"),
    ("baselines", "loading"),
    ("train", "evaluate", "batch"),
    ("baselines", "datasets"),
    ("api", "registration"),
    ("layers", "verification"),
    ("access",),
    ("listing", "preflight"),
    ("codec",),
    ("inspection",),
    ("reports",),
    ("shape", "texture", "lossless"),
    ("bundle", "special_values"),
    ("container",),
    ("coding",),
    ("rate", "sources"),
    ("conditioning", "geometry", "resampling", "io", "quality", "overlap"),
    ("volume", "devices", "interrupts", "memory", "progress", "findings", "cache"),
    ("threads", "windows"),
    ("slice_images", "extras", "engine"),
    ("planes",),
    ("errors",),
)
# The same within the texture stage.
TEXTURE_LAYERS = (
    ("trainable", "models"),
    ("codec",),
    ("description",),
    ("slices", "autoencoder"),
    ("networks",),
    ("wavelet",),
    ("filters",),
    ("opened",),
    ("coded",),
    ("conditioning", "header"),
    ("scaling",),
    ("entropy",),
    ("tiling", "kinds"),
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
# Training, GPUs, the autoencoder, and registration of any two scans.
WITH_TORCH = (
    *("train/", "registration/", "shape/networks/", "texture/networks/", "texture/autoencoder/"),
    *("texture/trainable.py", "resampling.py", "devices.py", "cli/doctor.py", "cli/train.py"),
    *("torch.py", "baselines/neural/"),
)
MOST_LINES = 400


def place(path: Path) -> str:
    """The layer name of a source file: its top package or module."""
    return path.relative_to(SRC).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    """Full names of all modules that a file imports, lazily or not."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write the full name"
            assert node.module is not None
            if node.module == "deepstd":
                yield from (f"deepstd.{alias.name}" for alias in node.names)
            else:
                yield node.module


def calls(path: Path, name: str) -> list[int]:
    """Lines where a file calls a plain function of that name."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [n.lineno for n in found if isinstance(n.func, ast.Name) and n.func.id == name]


def source_id(path: Path) -> str:
    return path.relative_to(SRC).as_posix()


each_file = pytest.mark.parametrize("path", FILES, ids=source_id)


def test_there_are_files() -> None:
    assert len(FILES) > 5


@each_file
def test_imports_go_down(path: Path) -> None:
    own = place(path)
    assert own in RANK, f"{own}: give it a place in LAYERS"
    for module in imports(path):
        package, _, rest = module.partition(".")
        target = rest.partition(".")[0]
        if package != "deepstd" or target in ("", own, "__version__"):
            continue
        assert target in RANK, f"{path.name} imports {module}, which has no place in LAYERS"
        assert RANK[target] > RANK[own], f"{own} must not import {module}"


@pytest.mark.parametrize("path", sorted((SRC / "texture").rglob("*.py")), ids=source_id)
def test_imports_within_texture_go_down(path: Path) -> None:
    rank = {name: rank for rank, names in enumerate(TEXTURE_LAYERS) for name in names}
    own = path.relative_to(SRC / "texture").parts[0].removesuffix(".py")
    if own == "__init__":
        return
    assert own in rank, f"{own}: give it a place in TEXTURE_LAYERS"
    for module in imports(path):
        if module.startswith("deepstd.texture."):
            target = module.split(".")[2]
            assert target == own or rank[target] > rank[own], f"{own} must not import {module}"


@each_file
def test_few_modules_import_torch(path: Path) -> None:
    name = path.relative_to(SRC).as_posix()
    if not name.startswith(WITH_TORCH):
        assert not [m for m in imports(path) if m.partition(".")[0] == "torch"]


def test_compressing_and_restoring_need_neither_torch_nor_scipy() -> None:
    code = (
        "import sys; sys.modules.update(torch=None, scipy=None); import numpy as np, deepstd; "
        "x = np.add.outer(np.arange(40.0), np.arange(36.0)); "
        "v = deepstd.Volume(np.rint(x + 9 * np.sin(x)).astype(np.int16)); "
        "d = deepstd.Codec.load('generic').compress(v, ratio=8); "
        "assert deepstd.Codec.load('generic').decompress(d).voxels.shape == (40, 36); "
        "v = deepstd.Volume(np.rint(100 * np.random.default_rng(0).random((35, 51, 35)))); "
        "c = deepstd.Codec.load('hippocampus-t1'); c.decompress(c.compress(v, ratio=64))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_training_needs_little_installed() -> None:
    project = tomllib.loads((SRC.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    names = {re.split(r"[\s<>=!~;\[]", d)[0] for d in project["project"]["dependencies"]}
    others = names - {"torch", "numpy", "scipy", "safetensors"}
    assert "constriction" in others
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({sorted(others)})); "
        "import deepstd.train.__main__, deepstd.train.run"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@each_file
def test_a_file_is_one_idea(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MOST_LINES, f"{lines} lines: split it"


@each_file
def test_only_the_command_line_prints(path: Path) -> None:
    if place(path) != "cli":
        assert calls(path, "print") == []


@each_file
def test_no_assert_checks_input(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Assert)] == []
