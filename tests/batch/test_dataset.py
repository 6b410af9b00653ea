"""A data set: what a batch keeps beside scans, the sums and the table that it writes."""

from __future__ import annotations

import csv
import hashlib
import os
import re
import shutil
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
from batch_runs import PUBLISHED, files_in, quiet
from bids_sets import IGNORED, ball, make_bids, save, write
from hypothesis import given
from hypothesis import strategies as st

from deepstd.batch import run as batches
from deepstd.batch.case import voxel_digest
from deepstd.batch.check.run import check
from deepstd.batch.dataset.bids import with_ours, without_ours
from deepstd.batch.dataset.names import SUMS, is_plain, original_by_format, original_of
from deepstd.batch.dataset.sidecars import DATES, IDENTITY, LINKS, TOO_LARGE
from deepstd.batch.dataset.sums import read_sums, write_sums
from deepstd.batch.restore.run import restore
from deepstd.batch.run import Job
from deepstd.batch.shard import Shard
from deepstd.cli.batch_words import summary as in_words
from deepstd.errors import InputError
from deepstd.io import Deidentification, Metadata, ScanSource, discover
from deepstd.io.formats import SUFFIXES, WRITTEN_SUFFIXES
from deepstd.rate.target import Target


@pytest.fixture
def bids(tmp_path: Path, in_process: list[str]) -> Job:
    """A BIDS data set, without loss, in this process."""
    return Job(make_bids(tmp_path / "bids"), tmp_path / "out", Target(lossless=True))


def sidecars(folder: Path) -> dict[str, bytes]:
    found = files_in(folder)
    return {name: data for name, data in found.items() if not name.endswith((".nii.gz", ".dstd"))}


def test_everything_of_a_bids_data_set_comes_along(bids: Job) -> None:
    summary = batches.run(bids, quiet)
    assert summary.exit_code == 0
    before, after = sidecars(bids.source), sidecars(bids.output)
    assert before.pop(".secret")
    own = {"ledger.jsonl", *PUBLISHED, "derivatives/manual/.bidsignore"}
    assert set(after) == set(before) | own
    assert after[".bidsignore"].startswith(before.pop(".bidsignore"))
    assert {name: after[name] for name in before} == before
    assert b"\n*.dstd\n" in after[".bidsignore"]
    assert without_ours(after[".bidsignore"]) == IGNORED
    assert summary.sidecars.copied == len(before) + 2
    assert "side-cars copied beside the scans: 14" in in_words(summary)
    assert [one.kind for one in summary.passed_over] == ["hidden files and folders"]


def test_a_forecast_says_it_and_copies_nothing(bids: Job) -> None:
    told = batches.forecast(bids)
    assert told.sidecars.copied == 13
    assert not bids.output.exists()


def test_sha256sum_agrees(bids: Job) -> None:
    batches.run(bids, quiet)
    names = set(files_in(bids.output)) - {SUMS, "ledger.jsonl"}
    assert set(read_sums(bids.output)) == names
    program = shutil.which("sha256sum")
    if program is None:
        pytest.skip("needs sha256sum")
    command = [program, "--check", "--strict", SUMS]
    done = subprocess.run(command, cwd=bids.output, capture_output=True, check=False)
    assert done.returncode == 0
    (bids.output / "README").write_text("other")
    done = subprocess.run(command, cwd=bids.output, capture_output=True, text=True, check=False)
    assert "README: FAILED" in done.stdout


def test_the_table_names_originals_and_hashes_of_their_voxels(bids: Job) -> None:
    batches.run(bids, quiet)
    text = (bids.output / "deepstd.tsv").read_text()
    lines = {line["file"]: line for line in csv.DictReader(text.splitlines(), dialect="excel-tab")}
    assert len(lines) == 4
    for file, line in lines.items():
        assert line["original"] == f"{file.removesuffix('.dstd')}.nii.gz"
        image = nibabel.Nifti1Image.from_filename(bids.source / line["original"])
        plain = np.asanyarray(image.dataobj).tobytes("F")  # neither slope nor intercept
        assert line["voxels_sha256"] == hashlib.sha256(plain).hexdigest()
        assert line["exact"] == "true"
    readme = (bids.output / "README.deepstd.md").read_text()
    assert "deepstd restore . ../restored" in readme
    assert "every voxel of every scan comes back bit for bit" in readme
    assert "12 other files" in readme


@pytest.mark.parametrize("name", ["a\\b.npy", "a\nb.npy", "c:1.npy", "~/a.npy", "<b>&.npy"])
def test_any_name_can_be_restored_and_verified(
    tmp_path: Path, name: str, in_process: list[str]
) -> None:
    voxels = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    path = tmp_path / "scans" / name
    path.parent.mkdir(parents=True)
    np.save(path, voxels)
    out, back = tmp_path / "out", tmp_path / "back"
    assert batches.run(Job(tmp_path / "scans", out, Target(lossless=True)), quiet).exit_code == 0
    assert restore(out, back, quiet).exit_code == 0
    (restored,) = (one for one in back.rglob("*") if one.is_file() and one.suffix == ".npy")
    np.testing.assert_array_equal(np.load(restored), voxels)
    assert check(out, quiet, lambda *_: None).exit_code == 0


@pytest.mark.parametrize("order", "<>")
def test_a_voxel_hash_does_not_depend_on_memory(order: str) -> None:
    voxels = ball(1, (5, 4, 3)).astype(f"{order}i2")
    wanted = hashlib.sha256(voxels.astype("<i2").tobytes("F")).hexdigest()
    assert voxel_digest(voxels) == voxel_digest(np.asfortranarray(voxels)) == wanted
    assert voxel_digest(voxels[..., 0]) != wanted


def test_a_second_run_copies_what_changed_and_keeps_the_rest(bids: Job) -> None:
    batches.run(bids, quiet)
    before = files_in(bids.output)
    assert batches.run(bids, quiet).before == 4
    assert files_in(bids.output) == before
    write(bids.source / "README", b"New text.\n")
    assert batches.run(bids, quiet).exit_code == 0
    assert (bids.output / "README").read_bytes() == b"New text.\n"
    assert read_sums(bids.output)["README"] == hashlib.sha256(b"New text.\n").hexdigest()


def test_a_file_of_another_origin_stays_unless_allowed(bids: Job) -> None:
    write(bids.output / "CHANGES", b"precious")
    summary = batches.run(bids, quiet)
    assert (summary.exit_code, list(summary.failures)) == (3, ["CHANGES"])
    assert (bids.output / "CHANGES").read_bytes() == b"precious"
    assert batches.run(replace(bids, overwrite=True), quiet).exit_code == 0
    assert (bids.output / "CHANGES").read_bytes() == (bids.source / "CHANGES").read_bytes()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs permissions that hold")
def test_a_sidecar_that_cannot_be_read_is_a_failure(bids: Job) -> None:
    (bids.source / "CHANGES").chmod(0)
    assert "Permission" in batches.run(bids, quiet).failures["CHANGES"]


def test_a_sidecar_that_is_not_there_is_a_failure(bids: Job) -> None:
    (bids.source / "sub-01" / "lost.json").symlink_to("nowhere")
    assert batches.forecast(bids).sidecars.copied == 14
    summary = batches.run(bids, quiet)
    assert summary.failures == {"sub-01/lost.json": "cannot be copied (No such file or directory)"}
    assert summary.exit_code == 3


def test_nothing_is_copied_through_a_link(bids: Job, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    bids.output.mkdir()
    (bids.output / "code").symlink_to(elsewhere)
    assert "code/run.py" in batches.run(bids, quiet).failures
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "is_copied"),
    [
        (b'{"PatientName": "Doe^Jane"}', False),
        (b'{"PatientID" :\n "17"}', False),
        (b'{"a": {"PatientBirthDate": "1970-01-01"}}', False),
        ('{"PatientName": "Doe"}'.encode("utf-16"), False),
        ('{"PatientName": "Doe"}'.encode("utf-16-le"), False),
        ('{"PatientName": "Doe"}'.encode("utf-32"), False),
        (b'{"\\u0050atientName": "Doe"', False),
        (b'{"PatientName": ""}', True),
        (b'{"PatientName": "anonymous", "PatientID": null}', True),
        (b'{"PatientPosition": "HFS"}', True),
    ],
)
def test_sidecars_that_name_patients_stay_out(bids: Job, text: bytes, is_copied: bool) -> None:
    name = "sub-01/anat/sub-01_T1w.json"
    write(bids.source / name, text)
    left_out = batches.forecast(bids).sidecars.left_out
    assert left_out == ({} if is_copied else {IDENTITY: [name]})
    assert batches.forecast(replace(bids, metadata=Metadata.ALL)).sidecars.left_out == {}


@pytest.mark.parametrize(
    ("text", "is_copied"),
    [
        ('{"AcquisitionDateTime": "2019-03-07T10:00:00"}', False),
        ('{"StudyDate": 20190307}', False),
        ('{"AcquisitionDateTime": "20190307101530.25"}', False),
        ('{"AcquisitionDateTime": "1905-03-07T10:00:00"}', True),
        ('{"UID": "1.2.20190307.5", "EchoTime": 0.20190307, "N": 2019030712}', True),
    ],
)
def test_dates_of_sidecars_do_not_tell_the_span_of_moved_ones(
    bids: Job, text: str, is_copied: bool
) -> None:
    name = "sub-01/anat/sub-01_T1w.json"
    write(bids.source / name, text.encode())
    moved = replace(bids, metadata=Deidentification(date_key=b"k" * 32))
    assert batches.forecast(moved).sidecars.left_out == ({} if is_copied else {DATES: [name]})
    assert batches.forecast(bids).sidecars.left_out == {}


def test_tables_with_dates_stay_out_where_dates_are_moved(bids: Job) -> None:
    name = "sub-01/sub-01_scans.tsv"
    write(bids.source / name, b"filename\tacq_time\nanat/a.nii.gz\t2019-03-07T10:00:00\n")
    moved = replace(bids, metadata=Deidentification(date_key=b"k" * 32))
    assert batches.forecast(moved).sidecars.left_out == {DATES: [name]}


def test_what_stays_out_is_said(bids: Job) -> None:
    name = "sub-01/anat/sub-01_T1w.json"
    write(bids.source / name, b'{"PatientName": "Doe^Jane"}')
    summary = batches.run(bids, quiet)
    assert not (bids.output / name).exists()
    assert f"left out: 1 {IDENTITY}: {name}" in in_words(summary)
    assert b"Doe" not in b"".join(files_in(bids.output).values())


def test_what_is_too_large_to_search_stays_out_and_the_rest_is_not_read(bids: Job) -> None:
    large = {"sub-01/large.json", "sub-01/large.tsv", "code/large.bin"}
    for name in large:
        write(bids.source / name, b"")
        os.truncate(bids.source / name, 1 << 40)  # no byte of it is on the disk
    told = batches.forecast(bids).sidecars
    assert told.left_out == {TOO_LARGE: ["sub-01/large.json"]}
    moved = replace(bids, metadata=Deidentification(date_key=b"k" * 32))
    told = batches.forecast(moved).sidecars
    assert told.left_out == {TOO_LARGE: ["sub-01/large.json", "sub-01/large.tsv"]}
    assert batches.forecast(replace(bids, metadata=Metadata.ALL)).sidecars.left_out == {}


def test_a_large_member_of_an_archive_is_not_unpacked_to_search_it(
    tmp_path: Path, in_process: list[str]
) -> None:
    save(tmp_path / "a.nii", ball(0))
    with zipfile.ZipFile(tmp_path / "scans.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(tmp_path / "a.nii", "a.nii")
        with archive.open("large.json", "w", force_zip64=True) as stream:
            for _ in range(1 << 6):
                stream.write(bytes(1 << 20))
    job = Job(tmp_path / "scans.zip", tmp_path / "out", Target(lossless=True))
    assert batches.forecast(job).sidecars.left_out == {TOO_LARGE: ["scans.zip/large.json"]}


def test_a_large_bidsignore_is_copied_as_it_is(bids: Job, tmp_path: Path) -> None:
    text = b"*.log\n" * 300_000
    write(bids.source / ".bidsignore", text)
    batches.run(bids, quiet)
    assert (bids.output / ".bidsignore").read_bytes() == text
    restore(bids.output, tmp_path / "back", quiet)
    assert (tmp_path / "back" / ".bidsignore").read_bytes() == text


@pytest.mark.parametrize("metadata", [Metadata.DEIDENTIFIED, Metadata.ALL])
def test_links_that_lead_out_of_the_source_stay_out(
    bids: Job, tmp_path: Path, metadata: Metadata
) -> None:
    folder = bids.source / "sub-01"
    write(tmp_path / "private" / "key.json", b'{"secret": 1}')
    (folder / "a.json").symlink_to(tmp_path / "private" / "key.json")
    (folder / "b.json").symlink_to("../../private/key.json")
    (folder / "c").symlink_to(tmp_path / "private")
    names = ["sub-01/a.json", "sub-01/b.json", "sub-01/c/key.json"]
    summary = batches.run(replace(bids, metadata=metadata), quiet)
    assert summary.sidecars.left_out == {LINKS: names}
    assert f"left out: 3 {LINKS}: {', '.join(names)}" in in_words(summary)
    assert summary.exit_code == 0
    assert b"secret" not in b"".join(files_in(bids.output).values())
    assert check(bids.output, quiet, lambda name, why: None, against=bids.source).exit_code == 0


def test_links_within_a_data_set_are_followed_as_datalad_makes_them(
    bids: Job, tmp_path: Path
) -> None:
    name, text = "sub-01/anat/sub-01_T1w.json", b'{"MagneticFieldStrength": 7}'
    write(bids.source / ".git/annex/objects/Xk/MD5E-s1.json/MD5E-s1.json", text)
    (bids.source / name).unlink()
    (bids.source / name).symlink_to("../../.git/annex/objects/Xk/MD5E-s1.json/MD5E-s1.json")
    (tmp_path / "link").symlink_to(bids.source)
    summary = batches.run(replace(bids, source=tmp_path / "link"), quiet)
    assert summary.sidecars.left_out == {}
    assert (bids.output / name).read_bytes() == text
    assert not (bids.output / name).is_symlink()


def test_a_link_to_itself_is_a_failure(bids: Job) -> None:
    (bids.source / "sub-01" / "loop.json").symlink_to("loop.json")
    assert "symbolic links" in batches.run(bids, quiet).failures["sub-01/loop.json"]


@pytest.mark.parametrize("private", [{"metadata": Metadata.NONE}, {"key_file": "names"}])
def test_private_runs_copy_nothing(bids: Job, tmp_path: Path, private: dict[str, object]) -> None:
    if "key_file" in private:
        private = {"key_file": tmp_path / "names.jsonl"}
    summary = batches.run(replace(bids, **private), quiet)  # pyright: ignore[reportArgumentType]
    assert set(sidecars(bids.output)) == {"ledger.jsonl", *PUBLISHED}
    assert summary.sidecars.copied == 0
    assert "left out: 13 side-cars, as --" in in_words(summary)
    if "key_file" in private:
        text = b"".join(files_in(bids.output).values()) + in_words(summary).encode()
        assert not re.search(rb"sub-0|participants|T1w|manual|bids", text)


def test_outside_of_bids_only_known_kinds_are_copied(tmp_path: Path, in_process: list[str]) -> None:
    job = Job(tmp_path / "scans", tmp_path / "scans" / "out", Target(lossless=True))
    save(job.source / "a.nii", ball(0))
    for name in ("a.json", "b.tsv", "c.tsv.gz", "d/e.bval", "d/e.bvec", "LICENSE.md"):
        write(job.source / name, b"kept")
    for name in ("letter.pdf", "notes.txt", "table.csv", ".hidden.json", "SHA256SUMS"):
        write(job.source / name, b"not kept")
    for _ in range(2):  # the output lies among the scans, and is not copied into itself
        batches.run(job, quiet)
        found = set(sidecars(job.output)) - {"ledger.jsonl", *PUBLISHED}
        kept = {"a.json", "b.tsv", "c.tsv.gz", "d/e.bval", "d/e.bvec", "LICENSE.md"}
        assert found == kept


def test_images_of_stimuli_and_code_are_no_scans(bids: Job) -> None:
    folder = bids.source / "stimuli"
    folder.mkdir()
    np.save(folder / "face.npy", np.zeros((4, 4)))
    assert batches.run(bids, quiet).found == 4
    assert (bids.output / "stimuli/face.npy").read_bytes() == (folder / "face.npy").read_bytes()


def test_parts_agree_on_one_set_of_sums(bids: Job) -> None:
    for index in (2, 1, 3):
        batches.run(replace(bids, shard=Shard(index, 3)), quiet)
    names = {name for name in files_in(bids.output) if not name.startswith("ledger")}
    assert set(read_sums(bids.output)) == names - {SUMS}


def test_an_interrupted_run_publishes_nothing(bids: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    def outcomes(*arguments: object) -> object:
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(batches, "_executed", outcomes)
    assert not batches.run(bids, quiet).finished
    assert not (bids.output / "README.deepstd.md").exists()


names = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=12)


@given(st.dictionaries(names.filter(lambda n: n not in (".", "..")), st.just("0f" * 32)))
def test_sums_of_any_names_are_read_again(
    tmp_path_factory: pytest.TempPathFactory, sums: dict[str, str]
) -> None:
    folder = tmp_path_factory.mktemp("sums")
    write_sums(folder, sums)
    assert read_sums(folder) == sums


@pytest.mark.parametrize("line", ["nonsense", f"{'0' * 64}  ../x", f"{'0' * 64}  /etc/passwd"])
def test_sums_that_lead_out_of_the_folder_are_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / SUMS).write_text(f"{'0' * 64}  good\n{line}\n")
    with pytest.raises(InputError, match=r"SHA256SUMS: line 2 is no sum"):
        read_sums(tmp_path)


@given(st.none() | st.binary(max_size=40))
def test_a_bidsignore_comes_back(before: bytes | None) -> None:
    assert without_ours(with_ours(before)) == before


@pytest.mark.parametrize(
    ("file", "name", "original"),
    [
        ("a.nii.gz", "a", "a.nii.gz"),
        ("A.NII", "A", "A.NII"),
        ("a.nii.gz", "a.nii.gz", "a.nii.gz"),
        ("a.nii.bz2", "a", "a.nii.gz"),
        ("a.hdr", "a", "a.nii.gz"),
        ("a.mgz", "a", "a.nii.gz"),
        ("a.mhd", "a", "a.mha"),
        ("a.tiff", "scan-0123", "scan-0123.tiff"),
        ("a.jpeg", "a", "a.png"),
        ("x.npz/a.npy", "x.npz/a", "x.npz/a.npy"),
    ],
)
def test_names_of_restored_scans(file: str, name: str, original: str) -> None:
    assert original_of(ScanSource((Path(file),), None, name, 1), name) == original


def test_every_scan_that_is_read_has_a_name_that_is_written() -> None:
    for suffix in SUFFIXES:
        original = original_of(ScanSource((Path(f"a{suffix}"),), None, "a", 1), "a")
        assert original.endswith(WRITTEN_SUFFIXES), original
        assert not original.endswith((".mhd", ".nhdr"))  # of two files


def test_names_of_restored_series(tmp_path: Path) -> None:
    alone = ScanSource((Path("x/IM7"),), "1a2b", "x/IM7", 1)
    several = ScanSource((Path("x/IM7"), Path("x/IM8")), "1a2b", "x/1a2b", 1)
    assert original_of(alone, alone.name) == "x/IM7.dcm"
    assert original_of(several, several.name) == "x/1a2b/"
    assert original_by_format("x/1a2b", "dicom") == "x/1a2b/"
    assert original_by_format("x/a.dcm", "dicom") == "x/a.dcm"
    assert original_by_format("x/a", "nifti1") == "x/a.nii.gz"
    assert original_by_format("x/a.nii", "nifti1") == "x/a.nii"


@pytest.mark.parametrize("path", ["", "/a", "../a", "a/../../b", "C:a", "a\\b", "a\nb"])
def test_paths_that_lead_elsewhere_are_not_plain(path: str) -> None:
    assert not is_plain(path)
    assert is_plain("a/b c/ü.nii.gz")


def test_other_files_are_found_with_their_places(tmp_path: Path) -> None:
    write(tmp_path / "a.json", b"{}")
    write(tmp_path / ".bidsignore", b"")
    (tmp_path / ".folder").mkdir()
    found = {one.name: one.path for one in discover(tmp_path).passed_over}
    places = {"a.json": tmp_path / "a.json", ".bidsignore": tmp_path / ".bidsignore"}
    assert found == {**places, ".folder": None}
    os.rmdir(tmp_path / ".folder")
