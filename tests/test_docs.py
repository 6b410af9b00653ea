"""The documentation names what exists: classes of the glossary, files, links, layers, pages."""

from __future__ import annotations

import importlib
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"
