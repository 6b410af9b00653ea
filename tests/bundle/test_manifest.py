"""A description that is none is told in one line, without what it holds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deepstd import bundle as bundles
from deepstd.bundle.manifest import on_one_line
from deepstd.cli.app import main
from deepstd.errors import BundleError

Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def copied(tiny_bundle: Path, tmp_path: Path) -> Path:
    shutil.copytree(tiny_bundle, tmp_path / "copied")
    return tmp_path / "copied"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda told: told.update(rate_weight=7), "(rate_weight: input should be less than 0.5)"),
        (lambda told: told.update(schema_version=2), "(schema_version: input should be 1)"),
        (lambda told: told.pop("modality"), "(modality: field required)"),
        (
            lambda told: told.update({name: 1 for name in "abcde"}),
            "(a: extra inputs are not permitted; b: extra inputs are not permitted; "
            "c: extra inputs are not permitted; and 2 more)",
        ),
        (lambda told: told["networks"].update({"4": {}}), "(networks.4.[key]: input should be"),
    ],
)
def test_faults_of_a_description(
    copied: Path, change: Change, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = copied / "bundle.json"
    described = json.loads(path.read_text())
    change(described)
    path.write_text(json.dumps(described))
    with pytest.raises(BundleError) as caught:
        bundles.load(copied)
    message = str(caught.value)
    assert message.startswith(f"{path}: not a bundle's description {told}")
    assert "\n" not in message
    assert "pydantic" not in message
    assert main(["model", "show", str(copied)]) == 1
    assert capsys.readouterr().err == f"error: {message}\n"


def test_no_json(copied: Path) -> None:
    (copied / "bundle.json").write_text("{")
    with pytest.raises(BundleError, match="description \\(invalid JSON: EOF"):
        bundles.load(copied)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("one\n  two"), "one two"),
        (KeyError(), "KeyError"),
        (ValueError("a" * 300), "a" * 200 + "…"),
    ],
)
def test_messages_of_libraries_become_one_line(error: Exception, words: str) -> None:
    assert on_one_line(error) == words
