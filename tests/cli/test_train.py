"""From a folder of scans to a bundle that compresses, in a few seconds."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from deepstd import api, bundle
from deepstd.cli.app import main

RUN = """
name = "quick"
ndims = [3]
widths_3d = [4]
filter_2d = [4, 1]
filter_3d = [4, 1]
crop_3d = 8
"""


@pytest.fixture(autouse=True)
def few_crops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deepstd.train.job._TABLE_BATCHES", 3)


@pytest.fixture
def scans(tmp_path: Path, phantom: Callable[..., np.ndarray]) -> Path:
    folder = tmp_path / "scans"
    folder.mkdir()
    for number in range(6):
        np.save(folder / f"p{number // 2}_{number}.npy", phantom((12, 10, 9), seed=number))
    (folder / "notes.txt").write_text("not a scan")
    return folder


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "run.toml").write_text(RUN)
    return tmp_path / "run.toml"


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def test_prepare(scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    splits = {"set": {"train": ["p0_0.npy", "p0_1.npy"], "validation": ["p1_2.npy"], "test": []}}
    (tmp_path / "split.json").write_text(json.dumps(splits))
    options = ["--split", tmp_path / "split.json", "--patient", r"(p\d)_"]
    assert run("prepare", scans, "-o", tmp_path / "cache", *options) == 0
    told = capsys.readouterr()
    assert "2 training and 1 validation scans" in told.out
    assert "left out: 3 files" in told.out
    described = json.loads((tmp_path / "cache" / "cache.json").read_text())
    assert {entry["patient"] for entry in described["scans"]} == {"p0", "p1"}
    assert run("prepare", scans, "-o", tmp_path / "cache") == 1
    assert "--overwrite" in capsys.readouterr().err
    assert run("prepare", tmp_path / "nothing", "-o", tmp_path / "other") == 1


def test_train_from_a_folder(
    scans: Path, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "quick"
    assert run("train", scans, "-o", output, "--config", config, "--max-time", "2s") == 0
    assert "quick 1" in capsys.readouterr().out
    assert (tmp_path / "quick.checkpoint" / "cache" / "cache.json").is_file()
    scan = scans / "p0_0.npy"
    made = api.compress(scan, tmp_path / "scan.dstd", ratio=6, model=str(output))
    assert made.bundle == "quick 1"
    api.decompress(tmp_path / "scan.dstd", tmp_path / "back.npy", model=str(output))
    assert run("train", scans, "-o", output, "--config", config, "--max-time", "2s") == 1
    assert "never change" in capsys.readouterr().err


def test_train_from_a_bundle(scans: Path, config: Path, tmp_path: Path) -> None:
    first, finer = tmp_path / "quick", tmp_path / "finer"
    assert run("train", scans, "-o", first, "--config", config, "--max-time", "2s") == 0
    assert run("train", scans, "-o", finer, "--from", first, "--max-time", "1s") == 0
    bundles = [json.loads((folder / "bundle.json").read_text()) for folder in (first, finer)]
    assert bundles[0]["networks"] == bundles[1]["networks"]
    assert "Begun with the networks of quick 1" in (finer / "README.md").read_text()


def test_without_settings_the_networks_of_generic_get_a_template(
    scans: Path, tmp_path: Path
) -> None:
    output = tmp_path / "mine"
    assert run("train", scans, "-o", output, "--max-time", "6s") == 0
    described = json.loads((output / "bundle.json").read_text())
    generic = json.loads((bundle.find("generic") / "bundle.json").read_text())
    assert list(described["networks"]) == ["3"]
    assert described["networks"]["3"]["template"]
    assert described["networks"]["3"]["widths"] == generic["networks"]["3"]["widths"]
    assert "template.nii.gz" in described["files"]
    card = (output / "README.md").read_text()
    assert "Begun with the networks of generic" in card
    assert "group-wise average of the training scans" in card
    made = api.compress(scans / "p0_0.npy", tmp_path / "scan.dstd", ratio=6, model=str(output))
    assert made.bundle == "mine 1"


def test_train_on_few_scans(
    scans: Path,
    tmp_path: Path,
    make_bundle: Callable[[Path, str], Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    teacher, output = make_bundle(tmp_path / "first", "taught"), tmp_path / "few"
    command = ["train", scans, "-o", output, "--teacher", teacher, "--augment", "--max-time", "4s"]
    assert run(*command, "--update", teacher) == 1
    assert "leave --teacher and --augment out" in capsys.readouterr().err
    assert run(*command) == 0
    sizes = [json.loads((folder / "bundle.json").read_text()) for folder in (teacher, output)]
    assert sizes[0]["networks"]["3"]["widths"] == sizes[1]["networks"]["3"]["widths"]
    card = (output / "README.md").read_text()
    assert "Supervised by the features of taught 1" in card
    assert '"deformation": 0.03' in card
    (tmp_path / "wide.toml").write_text('name = "wide"\nwidths_3d = [6]\n')
    wide = ["train", scans, "-o", tmp_path / "wide", "--config", tmp_path / "wide.toml"]
    assert run(*wide, "--teacher", teacher) == 1
    assert "features are compared between networks of equal sizes" in capsys.readouterr().err
    assert run(*wide, "--teacher", tmp_path / "nothing") == 1
    assert "no bundle" in capsys.readouterr().err


def test_train_in_sessions(
    scans: Path, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("prepare", scans, "-o", tmp_path / "cache") == 0
    command = ["train", tmp_path / "cache", "-o", tmp_path / "out", "--config", config]
    command += ["--checkpoint", tmp_path / "state", "--max-time", "5s"]
    assert run(*command, "--session-time", "2s") == 0
    assert "--resume" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()
    assert run(*command) == 1
    assert "--resume" in capsys.readouterr().err
    assert run(*command, "--resume") == 0
    assert (tmp_path / "out" / "bundle.json").is_file()


@pytest.mark.parametrize("name", ["Bad Name", ""])
def test_a_name_that_does_not_suit_is_refused_at_once(
    scans: Path, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    config.write_text(RUN.replace("quick", name))
    assert run("train", scans, "-o", tmp_path / "out", "--config", config) == 1
    assert "name" in capsys.readouterr().err


def test_the_loop_runs_where_little_is_installed(
    scans: Path, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text(RUN + "deformation = 0.02\n")
    assert (
        run("train", scans, "-o", tmp_path / "first", "--config", config, "--max-time", "1s") == 0
    )
    assert run("prepare", scans, "-o", tmp_path / "cache") == 0
    blocked = "nibabel pydantic typer rich constriction PIL platformdirs matplotlib click"
    code = f"""
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked.split()}:
            raise ImportError(name + " is not installed here")

sys.meta_path.insert(0, Blocker())
import deepstd.train.job
deepstd.train.job._TABLE_BATCHES = 3
from deepstd.train.__main__ import main
sys.exit(main(sys.argv[1:]))
"""
    given = [tmp_path / "cache", "--config", config, "--checkpoint", tmp_path / "state"]
    given += ["--teacher", tmp_path / "first"]
    command = [sys.executable, "-c", code, *given, "--max-time", "1s", "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "state" / "checkpoint.safetensors").is_file()
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 1
    assert "--resume" in again.stderr
    finish = ["train", tmp_path / "cache", "-o", tmp_path / "out", "--config", config]
    finish += ["--checkpoint", tmp_path / "state", "--max-time", "1s", "--resume"]
    assert run(*finish, "--teacher", tmp_path / "first") == 0
    assert "quick 1" in capsys.readouterr().out


def test_an_update_from_a_ledger(
    scans: Path,
    tmp_path: Path,
    make_bundle: Callable[[Path, str], Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    first, ledger = make_bundle(tmp_path / "first", "quick"), tmp_path / "out" / "ledger.jsonl"
    asked = ["--ratio", "8", "--min-psnr", "80", "--on-miss", "flag", "-m", first]
    assert run("batch", scans, tmp_path / "out", *asked) in (0, 3)
    (scans / "p0_0.npy").unlink()
    np.save(scans / "other.npy", np.load(scans / "p1_2.npy"))
    capsys.readouterr()
    command = ["train", ledger, "--update", first, "-o", tmp_path / "second"]
    assert run(*command) == 1
    assert "--scans SRC_DIR" in capsys.readouterr().err
    assert run(*command, "--scans", scans, "--session-time", "1s") == 0
    told = capsys.readouterr()
    assert "--resume" in told.out
    assert f"{scans / 'p0_0'}: no longer there" in told.err
    cached = json.loads((tmp_path / "second.checkpoint" / "cache" / "cache.json").read_text())
    assert sorted(scan["name"] for scan in cached["scans"]) == [
        f"p{n // 2}_{n}" for n in range(1, 6)
    ]


def test_an_update_takes_its_settings_from_its_bundle(
    scans: Path, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", scans, "-o", tmp_path / "second"]
    assert run(*command, "--update", "generic", "--config", config) == 1
    assert "leave --config and --from out" in capsys.readouterr().err
    assert run(*command, "--update", "generic", "--scans", scans) == 1
    assert "no ledger" in capsys.readouterr().err
    assert run(*command, "--old", scans) == 1
    assert "--update" in capsys.readouterr().err
