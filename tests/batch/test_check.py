"""A check of a data set: by sums, decoded, against its originals, resumed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from batch_runs import quiet
from bids_sets import ball, save, write

from deepstd import api
from deepstd.batch.check.run import CheckSummary, check
from deepstd.batch.dataset.names import SUMS, TABLE
from deepstd.cli.app import main
from deepstd.errors import InputError

SCAN = "sub-01/anat/sub-01_T1w.dstd"
Check = Callable[..., CheckSummary]


@pytest.fixture
def out(compressed_bids: Path, tmp_path: Path, in_process: list[str]) -> Path:
    """The folder of a BIDS data set, "bids", that is compressed without loss."""
    shutil.copytree(compressed_bids, tmp_path, dirs_exist_ok=True)
    return tmp_path / "out"


@pytest.fixture
def again(out: Path) -> Check:
    return lambda **options: check(out, quiet, lambda name, why: None, **options)


def test_all_is_well(again: Check, tmp_path: Path) -> None:
    for options in ({}, {"decode": True}, {"against": tmp_path / "bids"}):
        done = again(**options)
        assert (done.problems, done.exit_code, done.scans) == ({}, 0, 4)
    assert done.others == 17  # with table, README and report
    assert done.absent == []


def test_every_problem_is_named(again: Check, out: Path) -> None:
    (out / SCAN).write_bytes((out / SCAN).read_bytes()[:-1])
    (out / "README").unlink()
    (out / "CHANGES").write_text("other")
    shutil.copy(out / "sub-02/anat/sub-02_T1w.dstd", out / "new.dstd")
    done = again()
    assert done.exit_code == 3
    assert done.problems == {
        SCAN: "changed: its SHA-256 is not the one in SHA256SUMS",
        "README": "missing: SHA256SUMS lists it",
        "CHANGES": "changed: its SHA-256 is not the one in SHA256SUMS",
        "new.dstd": "SHA256SUMS does not list it",
    }


def test_without_sums_the_checksums_of_scans_are_used(again: Check, out: Path) -> None:
    (out / SUMS).unlink()
    done = again()
    assert (done.problems, done.has_sums, done.others) == ({}, False, 0)
    data = bytearray((out / SCAN).read_bytes())
    data[len(data) // 2] ^= 1
    (out / SCAN).write_bytes(data)
    assert list(again().problems) == [SCAN]


def test_decoding_finds_voxels_of_another_scan(again: Check, out: Path) -> None:
    (out / SUMS).unlink()
    save(out.parent / "other.nii.gz", ball(77))
    api.compress(out.parent / "other.nii.gz", out / SCAN, lossless=True, overwrite=True)
    assert again().problems == {}
    assert "deepstd.tsv states" in again(decode=True).problems[SCAN]


def test_against_the_originals(again: Check, out: Path, tmp_path: Path) -> None:
    source = tmp_path / "bids"
    save(source / "sub-01/anat/sub-01_T1w.nii.gz", ball(55))
    (source / "sub-02/anat/sub-02_T1w.nii.gz").unlink()
    save(source / "sub-03/anat/sub-03_T1w.nii.gz", ball(3))
    write(source / "README", b"new")
    write(source / "sub-03/anat/sub-03_T1w.json", b"{}")
    done = again(against=source)
    assert set(done.problems) == {
        SCAN,
        "sub-02/anat/sub-02_T1w.dstd",
        "sub-03/anat/sub-03_T1w.dstd",
        "README",
    }
    assert "made of another scan" in done.problems[SCAN]
    assert "no such scan" in done.problems["sub-02/anat/sub-02_T1w.dstd"]
    assert "there is an original" in done.problems["sub-03/anat/sub-03_T1w.dstd"]
    assert done.problems["README"] == "differs from the original"
    assert done.absent == ["sub-03/anat/sub-03_T1w.json"]
    with pytest.raises(InputError, match="no such folder"):
        again(against=tmp_path / "nowhere")


def test_a_ledger_passes_over_what_was_checked(
    again: Check, out: Path, tmp_path: Path, in_process: list[str]
) -> None:
    ledger = tmp_path / "checked.jsonl"
    whole = (out / SCAN).read_bytes()
    (out / SCAN).write_bytes(whole[:-1])
    assert list(again(ledger=ledger).problems) == [SCAN]
    in_process.clear()
    assert list(again(ledger=ledger).problems) == [SCAN]
    assert in_process == [SCAN]
    (out / SCAN).write_bytes(whole)
    assert again(ledger=ledger).exit_code == 0
    in_process.clear()
    done = again(ledger=ledger)
    assert (done.checked, done.before, in_process) == (0, 21, [])
    assert len(again(ledger=ledger, decode=True).problems) == 0
    assert len(in_process) == 21  # more thoroughly than before
    in_process.clear()
    assert again(ledger=ledger).checked == 0


def test_a_hostile_table_is_refused(again: Check, out: Path) -> None:
    (out / TABLE).write_text("file\toriginal\n../x.dstd\ty\n")
    with pytest.raises(InputError, match=r"deepstd\.tsv"):
        again()


def test_the_command(out: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["verify", str(out)]) == 0
    assert "4 scans, not decoded, and 17 other files; SHA-256 sums; 0 problems" in (
        capsys.readouterr().out
    )
    (out / "README").unlink()
    write(tmp_path / "bids" / "more.json", b"{}")
    assert main(["verify", str(out), "--against", str(tmp_path / "bids")]) == 3
    told = capsys.readouterr()
    assert told.out.splitlines()[0] == "README: missing: SHA256SUMS lists it"
    assert "are not here: README, more.json" in told.err
    assert main(["verify", str(out / SCAN), "--decode"]) == 2
    assert main(["verify", str(out), "--series", "1a"]) == 2
    assert main(["restore", str(out), str(tmp_path / "back")]) == 0
    told = capsys.readouterr().out
    assert "4 of 4 scans restored; 12 other files copied; 0 failed" in told
    assert "not here, though SHA256SUMS lists them: 1 files: README" in told
