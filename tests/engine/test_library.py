"""The native engine is there in an installation that could build it, and can be turned off."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest

from deepstd.engine import library
from deepstd.errors import InputError


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    library.engine.cache_clear()
    yield
    library.engine.cache_clear()


def test_a_missing_library_is_said_and_costs_no_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "library_path", lambda: "/nowhere/engine.so")
    assert library.engine() is None
    assert library.describe().startswith("MISSING")


def test_a_library_of_another_interface_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "_INTERFACE", -1)
    assert library.engine() is None


@pytest.mark.parametrize("value", ["1", "yes"])
def test_the_engine_can_be_turned_off(value: str) -> None:
    code = "from deepstd.engine.library import engine; print(engine())"
    environment = {**os.environ, library.DISABLED: value}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "None"


@pytest.mark.parametrize("limit", [*library.LIMITS, ""])
def test_instructions_can_be_limited(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    best = library.engine()
    if best is None:
        pytest.skip("the native engine is not built here")
    most = best.engine_instructions()
    library.engine.cache_clear()
    monkeypatch.setenv(library.LIMIT, limit)
    expected = min(most, library.LIMITS.index(limit)) if limit else most
    assert library.engine().engine_instructions() == expected
    assert library.describe().endswith(f"limited by {library.LIMIT}={limit}") == bool(limit)


def test_another_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(library.LIMIT, "sse")
    with pytest.raises(InputError, match="'sse': expected one of plain, avx2, avx512"):
        library.engine()


def test_arrays_that_are_not_contiguous_are_refused() -> None:
    with pytest.raises(ValueError, match="contiguous"):
        library.address(np.zeros((4, 4))[:, ::2])
