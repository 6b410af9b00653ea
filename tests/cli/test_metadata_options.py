"""Options on metadata between nothing and everything, on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("pynetdicom", reason="needs pynetdicom: pip install 'deepstd[network]'")

from dicom_nodes import save, series
from pydicom import dcmread

from deepstd.cli.app import main


def restored(packed: Path, folder: Path) -> list:
    assert main(["decompress", str(packed), "-o", f"{folder}/"]) == 0
    return [dcmread(path) for path in sorted(folder.iterdir())]


def test_compress_keeps_what_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    slices = series(3, StudyTime="101112", SeriesDescription="liver of Doe")
    for one in slices:
        one.private_block(0x0019, "GEMS_ACQU_01", create=True).add_new(0x23, "DS", "5.0")
    folder, packed, key = save(slices, tmp_path / "in"), tmp_path / "a.dstd", tmp_path / "key"
    options = ["--safe-private", "--keep-descriptions", "--shift-dates", str(key)]
    options += ["--keep", "SliceThickness", "--keep", "0010,0040"]
    assert main(["compress", str(folder), "-o", str(packed), "--lossless", *options]) == 0
    told = capsys.readouterr().err
    assert "any other name in them is still there" in told
    assert "can undo the moved dates" in told
    assert "kept as they are, whatever they reveal: SliceThickness, 0010,0040" in told
    for one in restored(packed, tmp_path / "out"):
        assert one.SeriesDescription == "liver of"
        assert one[0x00191023].value == 5.0
        assert one.StudyDate < "20200131"
        assert "PatientName" not in one or not one.PatientName
    second = tmp_path / "b.dstd"
    assert main(["compress", str(folder), "-o", str(second), "--lossless", *options]) == 0
    assert second.read_bytes() == packed.read_bytes()  # one key, one span


def test_a_batch_tells_its_settings_apart(tmp_path: Path) -> None:
    save(series(3), tmp_path / "in")
    folders = [str(tmp_path / "in"), str(tmp_path / "out"), "--lossless"]
    key = tmp_path / "key"
    dates = ["--shift-dates", str(key)]
    assert main(["batch", *folders, *dates, "--dry-run"]) == 0
    assert not key.exists()
    assert main(["batch", *folders, *dates]) == 0
    row = json.loads((tmp_path / "out" / "ledger.jsonl").read_text().splitlines()[-1])
    assert row["request"]["metadata"].startswith("deidentified + dates moved by key ")
    assert json.loads(key.read_text())["key"] not in json.dumps(row)
    assert main(["batch", *folders]) == 1  # made with another request


@pytest.mark.parametrize(
    "options",
    [
        ["--keep-metadata", "--safe-private"],
        ["--drop-metadata", "--keep-descriptions"],
        ["--keep-metadata", "--keep", "StudyDate"],
        ["--keep-metadata", "--drop-metadata"],
        ["--keep", "StudyDat"],
        ["--keep", "0009,0010"],
    ],
)
def test_wrong_usage(tmp_path: Path, options: list[str]) -> None:
    for command in ("compress", "batch"):
        words = [str(tmp_path / "in"), str(tmp_path / "out")][: 1 + (command == "batch")]
        assert main([command, *words, "--lossless", *options]) == 2


def test_a_key_file_of_another_kind_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = save(series(3), tmp_path / "in")
    (tmp_path / "key").write_text("mine")
    words = ["compress", str(folder), "--lossless", "--shift-dates", str(tmp_path / "key")]
    assert main(words) == 1
    assert "is no key file for dates" in capsys.readouterr().err
    assert not (tmp_path / "in.dstd").exists()
