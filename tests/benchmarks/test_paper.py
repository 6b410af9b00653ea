"""The page of the paper: every figure is there, as the results have it; laws of the simulation."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks.paper import neural, ours, rates, scale, scaled, simulation
from benchmarks.paper.item import NOT, STATUSES, Compared, Item
from benchmarks.paper.page import ITEMS, PAGE, page
from benchmarks.paper.simulation import ARCHIVES, WORKERS, Archive, Farm
from benchmarks.standing.studies import STUDIES
from deepstd.datasets.paper import PAPER

# Every figure and table that the paper's main text names.
NAMED = (
    *(f"Fig. 1{letter}" for letter in "abcde"),
    *(f"Fig. {number}{letter}" for number in "23" for letter in "abcdefghi"),
    *(f"Fig. 4{letter}" for letter in "abcdef"),
    "Supplementary Fig. 5",
    "Supplementary Fig. 6",
    "Supplementary Fig. 6 (b)",
    "Supplementary Fig. 7",
    "Supplementary Fig. 8",
    "Supplementary Fig. 9 (a)",
    "Supplementary Fig. 9 (b)",
    "Supplementary Fig. 10",
    "Supplementary Fig. 11 (a)",
    "Supplementary Fig. 12 (a)",
    "Supplementary Fig. 12 (b)",
    "Supplementary Table 2",
)
FARM = Farm(voxel_s=1e-6, job_s=0.5, driver_s=0.02, start_s=2.0)


def test_the_page_is_that_of_the_results() -> None:
    assert PAGE.read_text(encoding="utf-8") == page()


def test_every_figure_of_the_paper_is_there_once() -> None:
    names = [item.name for item in ITEMS]
    assert len(set(names)) == len(names)
    assert set(NAMED) <= set(names)
    text = page()
    for name in NAMED:
        assert f"\n### {name}: " in text
    places = {figure.where for data_set in PAPER.values() for figure in data_set.figures.values()}
    for place in places:
        assert place.startswith("Results") or place in names


def test_every_item_says_how_it_stands_and_what_measures_it() -> None:
    for item in ITEMS:
        assert item.status in STATUSES
        assert item.why.endswith((".", "]"))
        assert item.status == NOT or item.commands or "Method" in item.why
        assert not any("not measured" in one.what for one in item.compared)


def test_what_is_missing_is_called_not_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ours, "FOLDER", tmp_path)
    monkeypatch.setattr(scale, "PATH", tmp_path / "scale.json")
    assert ours.template("random") == ours.NOT_MEASURED
    assert rates.trained_without("x", "y") == ours.NOT_MEASURED
    assert neural.against("BRIEF", neural.CT_STUDIES) == ours.NOT_MEASURED
    assert neural.codecs(neural.CT_STUDIES) == ["BRIEF", "3DGS", "DVC", "TCM"]
    assert scaled.hours("CTSpine1K", 8) == ours.NOT_MEASURED
    assert ours.mean_of("hippocampus", "9", "ssim", "{}") == ours.NOT_MEASURED
    item = Item("Fig. 9", "t", "s", NOT, "w.", (Compared("a", "1", lambda: "2"),), ("measure it",))
    assert "| a | 1 | 2 |" in item.lines()
    assert "Would be measured by `measure it`." in item.lines()


def test_neural_peers_are_set_beside_the_same_scan_and_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = STUDIES["head-neck"].scans[0]

    def row(codec: str, bpv: float, seconds: float, psnr: float) -> dict[str, object]:
        times = {"nbytes": 9, "ssim": 0.9, "encode_s": seconds, "decode_s": 1.0}
        return {
            "study": "head-neck",
            "scan": scan,
            "codec": codec,
            "bpv": bpv,
            "psnr": psnr,
        } | times

    rows = [
        row("DeepSTD", 0.5, 2.0, 40.0),
        row("BRIEF (own)", 0.49, 100.0, 35.0),
        row("BRIEF (own)", 0.1, 100.0, 35.0),
    ]
    (tmp_path / "neural.json").write_text(json.dumps(rows))
    monkeypatch.setattr(ours, "FOLDER", tmp_path)
    assert neural.codecs(neural.CT_STUDIES) == ["BRIEF (own)", "3DGS", "DVC", "TCM"]
    told = neural.against("BRIEF (own)", neural.CT_STUDIES)
    assert told == "50 to 50 times, median 50; PSNR of DeepSTD +5.00 dB; 1 scans"
    assert neural.against("BRIEF (own)", neural.MR_STUDIES) == ours.NOT_MEASURED


def test_the_words_of_items_hold_in_the_results() -> None:
    def dice(method: str, study: str = "hippocampus") -> float:
        return float(ours.registration(method, study).split()[0])

    assert dice("IDIR (own, small)") > dice("DeepSTD")
    assert dice("DeepSTD", "cardiac") > dice("DeepSTD, no degradation", "cardiac")
    assert dice("DeepSTD") == dice("DeepSTD, no degradation")
    seconds = [
        float(ours.registration(name).split()[-2])
        for name in ("DeepSTD", "DeepSTD, fields one after the other")
    ]
    assert seconds[0] < seconds[1]
    means = [
        float(ours.template(name).split()[-1])
        for name in ("mean after affine alignment", "group-wise average", "widest range", "random")
    ]
    assert min(means[:2]) > max(means[2:])


def test_few_scans_are_judged_by_their_runs() -> None:
    few = rates.FewScans("some", {"plain": 5.0, "augment": 4.0, "both": 6.0}, {})
    assert few.regaining == ["augment"]
    assert rates.FewScans("none", {"augment": 4.0}, {}).regaining == []


def test_a_line_goes_through_its_points() -> None:
    sizes = [10**6, 4 * 10**6, 16 * 10**6]
    line = simulation.fitted(sizes, [2 + 3e-6 * size for size in sizes])
    assert line.slope == pytest.approx(3e-6)
    assert line.start == pytest.approx(2)
    assert line.deviation < 1e-9
    assert line.at(1e9) == pytest.approx(3002)
    steep = simulation.fitted(sizes, [3e-6 * size - 1 for size in sizes])
    assert steep.start == 0
    assert steep.slope > 0


@pytest.mark.parametrize("archive", ARCHIVES, ids=lambda archive: archive.name)
def test_more_workers_are_never_slower(archive: Archive) -> None:
    times = [FARM.seconds(archive, workers) for workers in range(1, 65)]
    assert all(later <= earlier for earlier, later in pairwise(times))
    speeds = [FARM.voxels_per_second(archive, workers) for workers in WORKERS]
    assert speeds == sorted(speeds)
    assert all(speed <= n * speeds[0] for n, speed in zip(WORKERS, speeds, strict=True))


def test_disk_and_driver_limit_many_workers() -> None:
    archive = Archive("made up", 1000, 10**6, 16, 64)
    assert FARM.limit(archive, 1) == "workers"
    slow = Farm(1e-6, 0.5, 0.0, 0.0, disk=1e6)
    assert slow.limit(archive, 64) == "the shared disk"
    assert slow.seconds(archive, 64) == slow.seconds(archive, 640) == archive.nbytes / 1e6
    assert FARM.limit(archive, 1000) == "the process that hands out scans"


@pytest.mark.parametrize("archive", ARCHIVES, ids=lambda archive: archive.name)
def test_storage_is_bytes_over_ratio(archive: Archive) -> None:
    exact = archive.nbytes / archive.ratio
    assert exact - archive.scans < archive.compressed_bytes <= exact


def test_archives_are_those_of_the_paper() -> None:
    spine, amos = ARCHIVES[:2]
    assert round(spine.nbytes / 2**30) == 194  # which the paper calls GB
    assert round(amos.nbytes / 2**30) == 13
    known = {data_set.ratio for data_set in PAPER.values()} - {None}
    assert {archive.ratio for archive in ARCHIVES} == known


def test_kept_costs_are_complete() -> None:
    kept = scale.load()
    assert kept is not None
    assert [cost.voxels for cost in kept.costs] == [side * side * 275 for side in scale.SIDES]
    for cost in kept.costs:
        assert 0.997 <= cost.nbytes / (2 * cost.voxels // scale.RATIO) <= 1
    assert re.search(r"14 times the largest measured scan", page())
