"""The language of docstrings: what they may not begin with."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[1] / "src" / "deepstd"
# Such a beginning hides the subject; ruff's D401 asks functions for a verb.
FORBIDDEN = {
    "How", "It", "Of", "So", "That", "These", "Those", "What", "Where", "Whether", "Which",
}  # fmt: skip
Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@pytest.mark.parametrize(
    "path", sorted(SRC.rglob("*.py")), ids=lambda path: path.relative_to(SRC).as_posix()
)
def test_docstrings_name_their_subject(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, Documented):
            words = (ast.get_docstring(node) or "").split()
            first = words[0].strip("`.,:;*'\"") if words else ""
            assert first not in FORBIDDEN, f"line {getattr(node, 'lineno', 1)}: {' '.join(words)}"
