"""Ray: a real cluster of several nodes, in a process of its own."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import deepstd
from deepstd.batch.case import Case
from deepstd.batch.ray_executor import RemoteWorker
from deepstd.batch.work import Worker

HERE = Path(__file__).parent
Results = dict[str, Any]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """What `ray_cluster.py` says of its runs."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip('needs Ray: pip install "deepstd[ray]"')
    path = os.pathsep.join([str(HERE), str(Path(deepstd.__file__).parents[1])])
    done = subprocess.run(
        [sys.executable, str(HERE / "ray_cluster.py"), str(tmp_path_factory.mktemp("ray"))],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path, "RAY_USAGE_STATS_ENABLED": "0"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)  # Ray's own words go to stderr


@pytest.mark.slow
def test_a_node_is_killed_nothing_is_lost_nothing_comes_twice(results: Results) -> None:
    found = results["lose"]["found"]
    assert Counter(name for name, *_ in found) == {f"case{n}": 1 for n in range(12)}
    assert [error for _, error, *_ in found if error] == []
    assert max(tries for *_, tries in found) == 2
    assert any("was lost" in text for text in results["lose"]["told"])


@pytest.mark.slow
def test_a_case_that_kills_its_actors_is_given_up(results: Results) -> None:
    found = {name: rest for name, *rest in results["crash"]["found"]}
    assert sorted(found) == ["a", "b", "die", "die-once"]
    assert "died 3 times" in found["die"][0]
    assert found["die-once"] == [None, True, 2]


@pytest.mark.slow
def test_a_node_that_does_not_see_the_scans_gets_their_bytes(results: Results) -> None:
    found = results["blind"]["found"]
    assert len(found) == 4
    errors = {name: error for name, error, *_ in found if error}
    assert list(errors) == ["case3"]
    assert "cannot be read" in errors["case3"]
    assert all(seen for _, error, seen, _ in found if not error)


@pytest.mark.slow
def test_actors_that_cannot_begin(results: Results) -> None:
    assert results["none"] == {"error": "no abacus here"}


def test_the_bytes_that_are_sent_are_what_is_read(
    cases: Callable[[Sequence[str]], list[Case]], scripted: Callable[..., Worker]
) -> None:
    (case,) = cases(["a"])
    remote = RemoteWorker(scripted())
    assert remote.start() is None
    case.scan.files[0].unlink()
    assert remote.run(case) is None
    outcome = remote.run(case, [b"sent"])
    assert outcome is not None
    assert (outcome.data, outcome.figures) == (b"a", {"seen": True})
    assert not case.scan.files[0].exists()
