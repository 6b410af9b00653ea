"""The bundle that is chosen for a scan, and the searches that the choice costs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from deepstd import bundle, io
from deepstd.codec import encoder
from deepstd.codec.choice import best_encoding
from deepstd.codec.encoder import Encoding
from deepstd.errors import InputError, RateError
from deepstd.progress import Progress
from deepstd.rate.target import Target
from deepstd.volume import Volume

Phantom = Callable[..., np.ndarray]


@pytest.fixture
def searched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the bundles with which a search was made."""
    names: list[str] = []
    search = Encoding.best

    def counted(job: Encoding) -> encoder.EncodedScan:
        names.append(job._model.name)
        return search(job)

    monkeypatch.setattr(Encoding, "best", counted)
    return names


@pytest.fixture
def costs(
    tmp_path: Path, make_bundle: Callable[[Path, str], Path], monkeypatch: pytest.MonkeyPatch
) -> dict[str, float]:
    """Estimated costs of two bundles, which code nothing slice by slice."""
    found = {"one 1": 3.0, "two 1": 3.0}
    for name in found:
        make_bundle(tmp_path, name.split()[0])
    monkeypatch.setattr("deepstd.bundle.store.folders", lambda: [tmp_path])
    monkeypatch.setattr(Encoding, "estimated_cost", lambda job: found[job._model.name])
    monkeypatch.setattr(Encoding, "may_be_sliced", lambda job: False)
    return found


def test_bundles_as_good_as_each_other_are_searched_by_effort(
    costs: dict[str, float], phantom: Phantom, searched: list[str]
) -> None:
    volume = Volume(phantom((40, 36)))
    asked = volume, Target(ratio=8), "auto", "cpu", Progress()
    for lead, effort, expected in (
        (0.0, "fast", 2),
        (0.02, "fast", 1),
        (0.02, "normal", 2),
        (0.05, "normal", 1),
        (0.05, "best", 2),
        (0.2, "best", 1),
    ):
        searched.clear()
        costs["two 1"] = 3.0 - lead
        chosen = best_encoding(*asked, effort=effort)
        assert len(searched) == len(chosen.tried) == expected
        assert searched[0] == ("two 1" if lead else "one 1")
        assert chosen.encoding.mean_squared_error == min(chosen.tried.values())


def test_a_bundle_that_may_code_slices_is_searched_unless_it_is_far_behind(
    costs: dict[str, float],
    monkeypatch: pytest.MonkeyPatch,
    phantom: Phantom,
    searched: list[str],
) -> None:
    monkeypatch.setattr(Encoding, "may_be_sliced", lambda job: job._model.name == "one 1")
    volume = Volume(phantom((12, 12, 12)))
    for behind, expected in ((0.2, ["two 1", "one 1"]), (0.5, ["two 1"])):
        costs["one 1"] = 3.0 + behind
        searched.clear()
        best_encoding(volume, Target(ratio=4), "auto", "cpu", Progress(), effort="fast")
        assert searched == expected


def test_where_the_best_bundle_fails_the_next_is_searched(
    costs: dict[str, float], monkeypatch: pytest.MonkeyPatch, phantom: Phantom
) -> None:
    costs["two 1"] = 9.0
    search = Encoding.best

    def failing(job: Encoding) -> encoder.EncodedScan:
        if job._model.name in fail:
            raise RateError("too small")
        return search(job)

    monkeypatch.setattr(Encoding, "best", failing)
    asked = Volume(phantom((40, 36))), Target(ratio=8), "auto", "cpu", Progress()
    fail = {"one 1"}
    assert best_encoding(*asked).bundle == "two 1"
    fail = {"one 1", "two 1"}
    with pytest.raises(RateError, match=r"no bundle can do it\. one 1: too small two 1: too small"):
        best_encoding(*asked)


def test_a_scan_that_no_bundle_suits_is_refused(
    monkeypatch: pytest.MonkeyPatch, phantom: Phantom
) -> None:
    hippocampus = bundle.find("hippocampus-t1")
    monkeypatch.setattr("deepstd.bundle.available", lambda: [hippocampus])
    with pytest.raises(InputError, match="no installed bundle compresses"):
        best_encoding(Volume(phantom((40, 36))), Target(ratio=8), "auto", "cpu", Progress())


@pytest.mark.parametrize("ratio", [16, 64])
def test_the_estimate_finds_the_bundle_of_the_anatomy(
    data_dir: Path, searched: list[str], ratio: float
) -> None:
    for scan, anatomy in (
        ("hippocampus-t1/images/hippocampus_394.nii.gz", "hippocampus-t1"),
        ("chest-xray/images/00001303_001.png", "chest-xray"),
    ):
        searched.clear()
        volume = io.read(data_dir / scan)
        progress = Progress()
        target = Target(ratio=ratio)
        chosen = best_encoding(volume, target, "auto", "cpu", progress, effort="fast")
        assert chosen.bundle.startswith(anatomy)
        assert [name.split()[0] for name in searched] == [anatomy]
        assert {"encode shape", "encode texture", "encode check"} == set(progress.seconds)
