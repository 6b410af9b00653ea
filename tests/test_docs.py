"""The documentation names what exists: classes of the glossary, files, links, layers, pages."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import deepstd
from deepstd.train.config import TrainConfig

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
GLOSSARY = (DOCS / "glossary.md").read_text(encoding="utf-8")
NAMES = sorted(set(re.findall(r"`(deepstd(?:\.\w+)+)`", GLOSSARY)))


@pytest.mark.parametrize("name", NAMES)
def test_names_of_the_glossary_exist(name: str) -> None:
    words = name.split(".")
    for length in range(len(words), 0, -1):
        module = ".".join(words[:length])
        try:
            spec = importlib.util.find_spec(module)
        except ModuleNotFoundError:
            continue
        if spec is not None:
            found: object = importlib.import_module(module)
            for attribute in words[length:]:
                found = getattr(found, attribute)
            return
    raise AssertionError(f"{name} is not there")


def test_the_reference_has_every_public_name() -> None:
    page = (DOCS / "api.md").read_text(encoding="utf-8")
    described = {name.rpartition(".")[2] for name in re.findall(r"(?m)^::: (deepstd\S+)$", page)}
    errors = {name for name in deepstd.__all__ if name.endswith("Error")}
    assert "errors" in described  # in the section of their module
    assert set(deepstd.__all__) - errors <= described


def test_every_key_of_a_run_is_described() -> None:
    page = (DOCS / "training.md").read_text(encoding="utf-8")
    told: dict[str, object] = {}
    for line in (row for row in page.splitlines() if row.startswith("| `")):
        keys = re.findall(r"`(\w+)`", line.split("|")[1])
        defaults = tomllib.loads("all = [" + re.sub("`", "", line.split("|")[2]) + "]")["all"]
        told |= dict(zip(keys, defaults or [None] * len(keys), strict=True))
    settings = {
        field.name: list(field.default) if isinstance(field.default, tuple) else field.default
        for field in dataclasses.fields(TrainConfig)
    }
    settings["name"] = None
    assert told == settings


def test_named_files_exist() -> None:
    places = [path.relative_to(ROOT).as_posix() for path in tracked()]
    folders = {place.rpartition("/")[0] + "/" for place in places}
    for page in PAGES:
        if page.name == "CHANGELOG.md" or page.parent.name == "decisions":
            continue  # records of their day
        text = page.read_text(encoding="utf-8")
        for name in set(re.findall(r"`([\w./-]+(?:\.(?:py|c|h|toml|json)|/))`", text)):
            known = folders if name.endswith("/") else places
            found = any(f"/{one}".endswith(f"/{name}") for one in known)
            assert found, f"{page.name} names {name}"


def tracked() -> list[Path]:
    """Return the files of the checkout, without environments and caches."""
    tops = [path for path in ROOT.iterdir() if not path.name.startswith(".")]
    files = [path for top in tops for path in ([top] if top.is_file() else top.rglob("*"))]
    return [path for path in files if path.is_file() and "__pycache__" not in path.parts]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_layers_are_those_of_the_import_test() -> None:
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    block = text.partition("<!-- layers -->")[2].partition("<!-- end of layers -->")[0]
    lines = [tuple(line.split(", ")) for line in re.findall(r"(?m)^    (.*)$", block)]
    spec = importlib.util.spec_from_file_location("layers", ROOT / "tests" / "test_imports.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert lines == [*module.LAYERS, *module.TEXTURE_LAYERS]


def test_site_builds_strictly(tmp_path: Path) -> None:
    for package in ("mkdocs", "mkdocstrings", "mkdocstrings_handlers"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed: pip install 'deepstd[docs]'")
    command = (sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path))
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "compress" in (tmp_path / "api" / "index.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_notebook_runs(tmp_path: Path) -> None:
    for package in ("nbclient", "ipykernel", "nilearn", "matplotlib"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed: pip install 'deepstd[dev]'")
    notebook = DOCS / "notebooks" / "first_steps.ipynb"
    # In a process of its own: the kernel's client warns of what is not ours.
    command = (sys.executable, "-m", "jupyter", "execute", "--timeout=240", "--kernel_name=python3")
    output = f"--output={tmp_path / 'executed'}"
    done = subprocess.run(
        (*command, output, str(notebook)), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
