"""Public data sets on the command line: prepare --layout and evaluate --protocol."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import dataset_trees as trees
import numpy as np
import pytest

from deepstd import datasets, io
from deepstd.cli.app import main
from deepstd.train.cache import read_cache


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def test_prepare_takes_the_training_scans(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, cache = trees.ctspine1k(tmp_path / "data"), tmp_path / "cache"
    assert run("prepare", folder, "--layout", "ctspine1k", "-o", cache) == 0
    told = capsys.readouterr().out
    assert "10 training scans of ctspine1k, no validation scans" in told
    assert "note: 12 of the 787 volumes are there" in told
    assert "2 test scans: `deepstd evaluate" in told
    scans = read_cache(cache)
    wanted = datasets.find("ctspine1k", folder).of(datasets.TRAIN)
    assert [scan.name for scan in scans] == [item.name for item in wanted]
    assert len({scan.patient for scan in scans}) == 10
    assert np.array_equal(scans[0].voxels, io.read(wanted[0].path).voxels)
    assert run("prepare", folder, "--layout", "ctspine1k", "-o", cache) == 1
    assert "--overwrite" in capsys.readouterr().err
    few = ["prepare", folder, "--layout", "ctspine1k", "-o", tmp_path / "few", "--most", 3]
    assert run(*few) == 0
    assert [scan.name for scan in read_cache(tmp_path / "few")] == [i.name for i in wanted[:3]]


def test_prepare_resamples_and_names_what_cannot_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = trees.amos(tmp_path / "data")
    first = datasets.find("amos", folder).of(datasets.TRAIN)[0]
    first.path.write_bytes(first.path.read_bytes()[:-40])  # its header is intact
    assert run("prepare", folder, "--layout", "amos", "-o", tmp_path / "cache") == 0
    told = capsys.readouterr().out
    assert "5 training scans of amos" in told
    assert "left out: 1 files" in told
    assert first.path.name in told
    for scan in read_cache(tmp_path / "cache"):
        assert scan.affine is not None
        assert sorted(np.linalg.norm(scan.affine[:3, :3], axis=0)) == pytest.approx([2, 2, 10])


@pytest.mark.parametrize("name", ["chexpert-small", "fastmri-knee"])
def test_prepare_reads_every_format(tmp_path: Path, name: str) -> None:
    if name == "chexpert-small":
        folder = trees.chexpert(tmp_path / "data")
    else:
        h5py = pytest.importorskip("h5py")
        folder = tmp_path / "data"
        for part in ("singlecoil_train", "singlecoil_val"):
            (folder / part).mkdir(parents=True)
            with h5py.File(folder / part / f"file10000{len(part)}.h5", "w") as file:
                images = np.random.default_rng(0).random((5, 32, 32), np.float32)
                file["reconstruction_esc"] = images
    assert run("prepare", folder, "--layout", name, "-o", tmp_path / "cache") == 0
    assert read_cache(tmp_path / "cache")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--layout", "lidc"), "expected one of ctspine1k"),
        (("--layout", "amos"), "no AMOS below this folder"),
        (("--layout", "ctspine1k", "--patient", "x"), "leave --split and --patient out"),
        (("--most", "3"), "--most goes with --layout"),
    ],
)
def test_prepare_refuses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], told: str
) -> None:
    folder = trees.ctspine1k(tmp_path / "data")
    assert run("prepare", folder, *options, "-o", tmp_path / "cache") == 1
    assert told in capsys.readouterr().err
    assert not (tmp_path / "cache").exists()


def test_prepare_refuses_what_memory_cannot_hold(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = trees.ctspine1k(tmp_path / "data")
    monkeypatch.setattr("deepstd.train.layout.free_memory", lambda: 8 * 9 * 8 * 7)
    command = ["prepare", folder, "--layout", "ctspine1k", "-o", tmp_path / "cache"]
    assert run(*command) == 1
    assert "take fewer, with --most 2" in capsys.readouterr().err
    assert run(*command, "--most", 2) == 0


THRESHOLD = """
import sys, nibabel, numpy as np
image = nibabel.load(sys.argv[1])
labels = (np.asarray(image.dataobj) > -500).astype(np.uint8)
nibabel.save(nibabel.Nifti1Image(labels, image.affine), sys.argv[2])
"""


def test_evaluate_prints_the_papers_measures(
    tmp_path: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "data"
    for number in range(6):
        trees.nifti(folder / "volumes" / f"liver_{number}.nii.gz", (24, 22, 20), seed=number)
    (tmp_path / "segment.py").write_text(THRESHOLD)
    segmenter = f"{sys.executable} {tmp_path / 'segment.py'} {{scan}} {{labels}}"
    command = ["evaluate", folder, "--protocol", "ctspine1k", "-o", tmp_path / "out"]
    command += ["--ratios", 12, "-m", tiny_bundle, "-d", "cpu", "--segmenter", segmenter]
    assert run(*command) == 0
    told = capsys.readouterr()
    assert "note: 6 of the 787 volumes are there" in told.err
    table = told.out.partition("measure")[2]
    lines = {line.split("  ")[0].strip(): line for line in table.splitlines()}
    assert "6.8" in lines["MAE, HU"]
    assert "Fig. 2b" in lines["MAE, HU"]
    assert "90.55" in lines["Dice, %"]
    assert "–" not in lines["Dice, %"]
    assert "1,604,963" in lines["voxels encoded a second"]
    assert "157 test scans" in table
    assert run(*command, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["paper_ratio"] == 256
    measured = {one["key"]: one for one in found["measures"]}
    row = found["rows"][0]
    assert measured["ssim"]["ours"] == {"12×": pytest.approx(row["ssim"])}
    assert measured["bytes"]["ours"]["12×"] == row["nbytes"]
    assert measured["dice"]["ours"]["12×"] == pytest.approx(100 * row["overlaps"]["1"]["dice"])
    speed = row["voxels"] / row["encode_s"]
    assert measured["voxels_per_second"]["ours"]["12×"] == pytest.approx(speed)
    assert measured["mae"]["paper"] == {"value": 6.8, "where": "Fig. 2b"}
    assert len(found["rows"]) == 1  # the test scans alone


def test_evaluate_resamples_test_scans_once(
    tmp_path: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, output = trees.amos(tmp_path / "data"), tmp_path / "out"
    command = [
        "evaluate",
        folder,
        "--protocol",
        "amos",
        "-o",
        output,
        "-m",
        tiny_bundle,
        "--ratios",
        4,
    ]
    assert run(*command, "-d", "cpu", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    (made,) = (output / "scans").iterdir()
    assert [row["scan"] for row in found["rows"]] == [made.name]
    assert sorted(io.read(made).spacing or ()) == pytest.approx([2, 2, 10])
    time = made.stat().st_mtime_ns
    assert run(*command, "-d", "cpu", "--json") == 0
    assert made.stat().st_mtime_ns == time


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--protocol", "synapse"), "the paper states no ratio for synapse"),
        (("--protocol", "nothing"), "expected one of ctspine1k"),
        (("--protocol", "amos", "--ratios", "8"), "no AMOS below this folder"),
        (("--most", "3"), "--most goes with --protocol"),
    ],
)
def test_evaluate_refuses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], told: str
) -> None:
    folder = trees.synapse(tmp_path / "data", numbers=(1, 2))
    assert run("evaluate", folder, *options, "-o", tmp_path / "out") == 1
    assert told in capsys.readouterr().err
