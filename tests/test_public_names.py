"""``deepstd`` offers the names it says it does, no more, and loads them only when used."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import deepstd


def test_all_names_are_there_and_sorted() -> None:
    assert deepstd.__all__ == sorted(deepstd.__all__)
    for name in deepstd.__all__:
        assert getattr(deepstd, name).__module__.startswith("deepstd.")
    assert set(deepstd.__all__) <= set(dir(deepstd))


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(deepstd.__file__).read_text(encoding="utf-8"))
    blocks = [node for node in tree.body if isinstance(node, ast.If)]
    assert len(blocks) == 1
    imports = [node for node in blocks[0].body if isinstance(node, ast.ImportFrom)]
    names = [alias.asname or alias.name for node in imports for alias in node.names]
    assert sorted(names) == deepstd.__all__


def test_nothing_else_is_public() -> None:
    public = {
        name
        for name, value in vars(deepstd).items()
        if not name.startswith("_") and getattr(value, "__module__", "").startswith("deepstd")
    }
    assert public <= set(deepstd.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(deepstd, "no_such_name")


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import sys, deepstd; sys.exit(any(m in sys.modules for m in ('torch', 'numpy')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
