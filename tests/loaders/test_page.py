"""Examples of docs/loaders.md work as they are written there."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
from training_cases import Cases

PAGE = Path(__file__).resolve().parents[2] / "docs" / "loaders.md"
BLOCKS = re.findall(
    r"(<!-- not run -->\n)?```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL
)
RUN = [code for skipped, code in BLOCKS if not skipped]


def test_there_are_examples() -> None:
    assert len(RUN) == 3


@pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader", "ignore::FutureWarning")
@pytest.mark.parametrize("code", RUN, ids=lambda code: code.split()[1])
def test_example(code: str, cases: Cases, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in set(re.findall(r"(?m)^(?:import|from) (monai|torchio|torch)\b", code)):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"needs {package}")
    folder = cases[0]["image"].parent
    cases[0]["image"].rename(folder / "brain.dstd")
    cases[0]["label"].rename(folder / "brain_seg.dstd")
    monkeypatch.chdir(folder)
    exec(compile(code, PAGE.name, "exec"), {})
