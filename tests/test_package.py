"""The package as it is built: one version, types for type checkers, and its declared files."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

import deepstd

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
# The pattern by which hatchling finds a version in a source file.
HATCH_VERSION = re.compile(
    r"""^(__version__|VERSION)(?: ?: ?str)? *= *(['"])v?(?P<version>.+?)\2""", re.MULTILINE
)


def test_the_build_takes_the_version_from_the_package() -> None:
    project = PROJECT["project"]
    assert "version" not in project
    assert project["dynamic"] == ["version"]
    source = (ROOT / PROJECT["tool"]["hatch"]["version"]["path"]).read_text(encoding="utf-8")
    found = HATCH_VERSION.findall(source)
    assert [version for _, _, version in found] == [deepstd.__version__]


def test_the_installed_version_is_that_of_the_package() -> None:
    try:
        installed = metadata.version("deepstd")
    except metadata.PackageNotFoundError:
        pytest.skip("needs DeepSTD installed: pip install -e .")
    assert installed == deepstd.__version__


def test_type_checkers_use_the_annotations() -> None:
    marker = Path(deepstd.__file__).with_name("py.typed")
    assert marker.read_bytes() == b""
    assert "Typing :: Typed" in PROJECT["project"]["classifiers"]
    # Hatchling packs every file of the package that git does not ignore.
    assert PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == ["src/deepstd"]
