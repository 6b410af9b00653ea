"""A data set comes back: names, side-cars, kills, files that are in the way, hostile tables."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from batch_runs import Killed, files_in, killed, quiet
from bids_sets import ball, dicom_slice, make_bids, save, write

from deepstd import api, io
from deepstd.batch import run as batches
from deepstd.batch.dataset.names import SUMS, TABLE
from deepstd.batch.ledger import ledgers_in, rows_of
from deepstd.batch.restore.run import LEDGER, RestoreSummary, restore
from deepstd.batch.run import Job
from deepstd.errors import InputError
from deepstd.rate.target import Target


@pytest.fixture
def bids(compressed_bids: Path, tmp_path: Path, in_process: list[str]) -> Path:
    """A BIDS data set that is compressed without loss to "out"."""
    shutil.copytree(compressed_bids, tmp_path, dirs_exist_ok=True)
    return tmp_path / "bids"


@pytest.fixture
def again(bids: Path, tmp_path: Path) -> Callable[..., RestoreSummary]:
    """again(**options): restore "out" to "back"."""
    return lambda **options: restore(tmp_path / "out", tmp_path / "back", quiet, **options)


def voxels(path: Path) -> np.ndarray:
    return np.asanyarray(nibabel.Nifti1Image.from_filename(path).dataobj)


@contextmanager
def killed_at_rename(where: str) -> Iterator[None]:
    """End a run before or after a restored scan gets its place."""
    move = os.replace

    def moving(source: Path, target: Path) -> None:
        is_it = Path(target).name == "sub-01_T1w.nii.gz" and Path(target).parent.name == "anat"
        if is_it and where == "after rename":
            move(source, target)
        if is_it:
            raise Killed
        move(source, target)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "replace", moving)
        with pytest.raises(Killed):
            yield


def same_set(bids: Path, back: Path) -> None:
    before, after = files_in(bids), files_in(back)
    del before[".secret"], after[LEDGER]
    assert set(before) == set(after)
    for name, data in before.items():
        if name.endswith(".nii.gz"):
            np.testing.assert_array_equal(voxels(bids / name), voxels(back / name))
        else:
            assert after[name] == data, name


def test_a_bids_data_set_comes_back(
    bids: Path, again: Callable[..., RestoreSummary], tmp_path: Path
) -> None:
    done = again()
    assert (done.found, done.done, done.sidecars, done.exit_code) == (4, 4, 13, 0)
    same_set(bids, tmp_path / "back")
    assert ledgers_in(tmp_path / "back") == {}


def test_a_set_without_a_bidsignore_comes_back_without(tmp_path: Path, in_process: object) -> None:
    source = make_bids(tmp_path / "bids", 1)
    (source / ".bidsignore").unlink()
    batches.run(Job(source, tmp_path / "out", Target(lossless=True)), quiet)
    restore(tmp_path / "out", tmp_path / "back", quiet)
    same_set(source, tmp_path / "back")


def test_nothing_is_done_twice(
    again: Callable[..., RestoreSummary], in_process: list[str], tmp_path: Path
) -> None:
    again()
    before = files_in(tmp_path / "back")
    in_process.clear()
    done = again()
    assert (done.done, done.before, done.exit_code, in_process) == (4, 4, 0, [])
    assert files_in(tmp_path / "back") == before


@pytest.mark.parametrize(
    "where", ["before writing", "after writing", "before rename", "after rename", "before done"]
)
def test_killed_and_resumed(
    bids: Path,
    again: Callable[..., RestoreSummary],
    in_process: list[str],
    tmp_path: Path,
    where: str,
) -> None:
    name = "sub-01/anat/sub-01_T1w.dstd"
    with killed_at_rename(where) if "rename" in where else killed(where, name):
        again()
    in_process.clear()
    done = again()
    assert (done.done, done.exit_code) == (4, 0)
    is_there = where in ("after rename", "before done")
    assert (name in in_process) == (not is_there)
    same_set(bids, tmp_path / "back")
    rows = [row for row in rows_of(tmp_path / "back" / LEDGER) if row["status"] == "done"]
    assert sorted(row["name"] for row in rows).count(name) == 1


def test_files_of_another_origin_stay_unless_allowed(
    bids: Path, again: Callable[..., RestoreSummary], tmp_path: Path
) -> None:
    scan, text = "sub-01/anat/sub-01_T1w.nii.gz", "README"
    for name in (scan, text):
        write(tmp_path / "back" / name, b"precious")
    done = again()
    assert set(done.failures) == {"sub-01/anat/sub-01_T1w.dstd", text}
    assert (done.done, done.exit_code) == (3, 3)
    assert (tmp_path / "back" / scan).read_bytes() == b"precious"
    assert (tmp_path / "back" / text).read_bytes() == b"precious"
    assert again(overwrite=True).exit_code == 0
    same_set(bids, tmp_path / "back")


def test_a_file_that_appears_meanwhile_stays(
    again: Callable[..., RestoreSummary], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = tmp_path / "back" / "sub-01/anat/sub-01_T1w.nii.gz"
    decompress = api.decompress

    def interfere(*arguments: Any, **options: Any) -> Any:
        write(scan, b"precious")
        return decompress(*arguments, **options)

    monkeypatch.setattr(api, "decompress", interfere)
    assert "did not write it" in again().failures["sub-01/anat/sub-01_T1w.dstd"]
    assert scan.read_bytes() == b"precious"


def test_a_changed_scan_is_restored_again(
    bids: Path, again: Callable[..., RestoreSummary], tmp_path: Path
) -> None:
    again()
    save(bids / "sub-01/anat/sub-01_T1w.nii.gz", ball(9))
    batches.run(Job(bids, tmp_path / "out", Target(lossless=True)), quiet)
    assert again().exit_code == 0
    same_set(bids, tmp_path / "back")


def test_damage_fails_alone(again: Callable[..., RestoreSummary], tmp_path: Path) -> None:
    scan = tmp_path / "out" / "sub-01/anat/sub-01_T1w.dstd"
    whole = scan.read_bytes()
    scan.write_bytes(whole[:-9])
    (tmp_path / "out" / "README").write_text("changed")
    done = again()
    assert set(done.failures) == {"sub-01/anat/sub-01_T1w.dstd", "README"}
    assert all("SHA-256" in why for why in done.failures.values())
    assert not (tmp_path / "back" / "README").exists()
    scan.write_bytes(whole)
    done = again()
    assert (done.done, list(done.failures)) == (4, ["README"])
    (tmp_path / "out" / SUMS).unlink()
    scan.write_bytes(whole[:-9])
    assert "cut off" in again().failures["sub-01/anat/sub-01_T1w.dstd"]


def test_a_part_of_a_data_set_is_restored_and_the_rest_is_named(
    again: Callable[..., RestoreSummary], tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path / "out" / "sub-02")
    done = again()
    assert (done.exit_code, done.done) == (0, 3)
    assert "sub-02/anat/sub-02_T1w.dstd" in done.missing


@pytest.mark.parametrize("original", ["../b.npy", "/tmp/stolen.npy", "a/b.npy", ".b.npy"])
def test_a_table_leads_nowhere_else(tmp_path: Path, original: str) -> None:
    (tmp_path / "out").mkdir()
    np.save(tmp_path / "a.npy", ball(0))
    api.compress(tmp_path / "a.npy", tmp_path / "out" / "a.dstd", lossless=True)
    (tmp_path / "out" / TABLE).write_text(f"file\toriginal\na.dstd\t{original}\n")
    if original in ("a/b.npy", ".b.npy"):  # not beside the file, or hidden: the format decides
        restore(tmp_path / "out", tmp_path / "back", quiet)
        assert set(files_in(tmp_path / "back")) == {"a.npy", LEDGER}
        return
    with pytest.raises(InputError, match=r"deepstd\.tsv: names a file outside"):
        restore(tmp_path / "out", tmp_path / "back", quiet)
    assert not (tmp_path / "b.npy").exists()


def test_two_scans_of_one_name_do_not_meet(tmp_path: Path, in_process: object) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    np.save(tmp_path / "a.npy", ball(0))
    for name in ("a", "b"):
        api.compress(tmp_path / "a.npy", folder / f"{name}.dstd", lossless=True)
    (folder / TABLE).write_text("file\toriginal\na.dstd\tx.npy\nb.dstd\tx.npy\n")
    done = restore(folder, tmp_path / "back", quiet)
    assert (done.done, done.exit_code) == (1, 3)
    assert "where a.dstd belongs already" in done.failures["b.dstd"]


def test_pseudonyms_come_back_with_the_right_suffixes(
    bids: Path, tmp_path: Path, in_process: object
) -> None:
    job = Job(bids, tmp_path / "hidden", Target(lossless=True), key_file=tmp_path / "names")
    batches.run(job, quiet)
    done = restore(job.output, tmp_path / "back", quiet)
    names = set(files_in(tmp_path / "back")) - {LEDGER}
    assert len(names) == done.done == 4
    assert all(name.startswith("scan-") and name.endswith(".nii.gz") for name in names)


def test_what_cannot_be_restored_at_all(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with pytest.raises(InputError, match="no such folder"):
        restore(folder, tmp_path / "back", quiet)
    folder.mkdir()
    with pytest.raises(InputError, match="no compressed scan"):
        restore(folder, tmp_path / "back", quiet)


@pytest.mark.parametrize("name", [".", "back", "sub-01/../new/back", "link"])
def test_an_output_among_the_compressed_scans_is_refused(
    bids: Path, tmp_path: Path, name: str
) -> None:
    out = tmp_path / "out"
    (out / "back").mkdir()
    (tmp_path / "link").symlink_to(out / "back")
    before = files_in(out)
    output = tmp_path / "link" if name == "link" else out / name
    with pytest.raises(InputError, match="lies in the folder of the compressed scans"):
        restore(out, output, quiet)
    assert files_in(out) == before
    assert not (out / "new").exists()


def test_an_output_that_a_link_leads_to_is_no_part_of_the_compressed_scans(
    bids: Path, tmp_path: Path
) -> None:
    (tmp_path / "back").mkdir()
    (tmp_path / "out" / "link").symlink_to(tmp_path / "back")
    for _ in range(2):
        assert restore(tmp_path / "out", tmp_path / "back", quiet).exit_code == 0
    same_set(bids, tmp_path / "back")


@pytest.mark.usefixtures("only_tiny", "in_process")
def test_layered_files_come_back_exactly(tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.nii.gz", ball(3))
    job = Job(tmp_path / "in", tmp_path / "out", Target(ratio=16), with_residual=True)
    batches.run(replace(job, effort="fast"), quiet)
    assert "\ttrue\t" in (job.output / TABLE).read_text()
    restore(job.output, tmp_path / "back", quiet)
    np.testing.assert_array_equal(voxels(tmp_path / "back" / "a.nii.gz"), ball(3))


def test_a_dicom_series_becomes_a_folder_and_a_slice_a_file(
    tmp_path: Path, in_process: object
) -> None:
    pytest.importorskip("pydicom")
    for number in range(3):
        write(tmp_path / "in" / "study" / f"IM{number}", dicom_slice(number))
    write(tmp_path / "in" / "one", dicom_slice(7, series="1.2.6"))
    job = Job(tmp_path / "in", tmp_path / "out", Target(lossless=True))
    batches.run(job, quiet)
    assert 'pip install "deepstd[dicom]"' in (job.output / "README.deepstd.md").read_text()
    back = tmp_path / "back"
    done = restore(job.output, back, quiet)
    assert (done.done, done.exit_code) == (2, 0)
    one, *slices = sorted(set(files_in(back)) - {LEDGER})
    assert one == "one.dcm"
    assert [Path(name).name for name in slices] == [f"slice_000{n}.dcm" for n in (1, 2, 3)]
    (series,) = {Path(name).parent for name in slices}
    before, after = (io.read(folder).voxels for folder in (tmp_path / "in/study", back / series))
    np.testing.assert_array_equal(before, after)
    assert restore(job.output, back, quiet).before == 2
    (back / LEDGER).unlink()
    assert restore(job.output, back, quiet, overwrite=True).exit_code == 0
    (back / series / "letter.txt").touch()
    (back / LEDGER).unlink()
    why = restore(job.output, back, quiet, overwrite=True).failures
    assert [text.partition(" ")[2][:32] for text in why.values()] == [
        "holds other files than slices of"
    ]
    assert (back / series / "letter.txt").exists()
