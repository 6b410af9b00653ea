"""Rows on disk, and the tables made of them."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from deepstd.errors import InputError
from deepstd.evaluate import rows as kept
from deepstd.evaluate.rows import OURS, Row
from deepstd.evaluate.tables import distance_table, distances, every_row, means


def row(scan: str, codec: str, ratio: float, psnr: float | None, **more: object) -> Row:
    allowed = int(1e6 / ratio)
    nbytes = None if psnr is None else allowed - 1
    values = {"psnr": psnr, "psnr_fg": psnr, "digest": scan, "stored_bytes": 10**6}
    return Row(scan, codec, f"{ratio:g}×", allowed, nbytes, **{**values, **more})  # pyright: ignore[reportArgumentType]


def test_rows_come_back(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    rows = [
        row("a", OURS, 64, 40.0, parts={"encode shape": 1.5}, definitions={"psnr": "psnr[dB]"}),
        row("a", "gzip", 2, math.inf),
        row("a", "JPEG", 64, None, status="cannot", note="no file that small"),
        Row("b", "", "", 0, status="failed", note="cannot be read"),
    ]
    for each in rows:
        kept.append(each, path)
    assert kept.load(path) == rows
    assert "Infinity" not in path.read_text()


def test_a_figure_that_does_not_exist_is_left_out(tmp_path: Path) -> None:
    kept.append(row("a", OURS, 64, math.nan), tmp_path / "r.jsonl")
    assert kept.load(tmp_path / "r.jsonl")[0].psnr is None


def test_an_interrupted_last_line_is_passed_over_and_mended(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    kept.append(row("a", OURS, 64, 40.0), path)
    with open(path, "a") as file:
        file.write('{"scan": "b", "co')
    assert len(kept.load(path)) == 1
    kept.mend(path)
    kept.append(row("b", OURS, 64, 41.0), path)
    assert [r.scan for r in kept.load(path)] == ["a", "b"]


def test_any_name_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    names = [
        os.fsdecode(b"sc\xe9ance\xff.nii"),
        "\u6838\u78c1.nii",
        "two\u2028lines\x85.nii",
        'a"\\\n',
    ]
    rows = [row(name, OURS, 64, 40.0, note=f"{name}: cannot be read") for name in names]
    for each in rows:
        kept.append(each, path)
    assert kept.load(path) == rows
    assert "\u6838\u78c1.nii" in path.read_text(encoding="utf-8")


def test_a_last_line_may_end_within_a_character(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    for name in ("a", "\u6838"):
        kept.append(row(name, OURS, 64, 40.0), path)
    data = path.read_bytes()
    path.write_bytes(data[: data.rindex("\u6838".encode()) + 1])
    assert [r.scan for r in kept.load(path)] == ["a"]


def test_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text("not rows\nat all\n")
    with pytest.raises(InputError, match="line 1 is not a row"):
        kept.load(path)


def test_bd_rate_is_taken_scan_by_scan() -> None:
    rows = [
        row(scan, codec, ratio, 50 - 5 * math.log2(ratio) + gain + base)
        for scan, base in (("a", 0), ("b", 7))
        for codec, gain in ((OURS, 1.0), ("SPERR", 0.0))
        for ratio in (32, 64, 128)
    ]
    (found,) = distances(rows, OURS)
    assert found.other == "SPERR"
    assert found.psnrs == pytest.approx((1.0, 1.0), abs=1e-3)
    assert found.rates == pytest.approx([100 * (2 ** (-1 / 5) - 1)] * 2, abs=0.1)
    (line,) = distance_table(rows, OURS).rows
    assert line[:2] == ("SPERR", "2")


def test_means_over_fewer_scans_are_set_apart() -> None:
    rows = [row(s, OURS, 64, p) for s, p in (("a", 30.0), ("b", 40.0))]
    rows += [row("a", "JPEG", 64, None, status="cannot"), row("b", "JPEG", 64, 39.0)]
    table = means(rows, "64×", OURS)
    assert table.strong == {0}
    assert table.faint == {1}
    assert [line[0] for line in table.rows] == [OURS, "JPEG"]
    assert [line[2] for line in table.rows] == ["2 of 2", "1 of 2"]
    assert table.rows[0][3] == "35.00"


def test_definitions_stand_in_the_head() -> None:
    told = [
        {"psnr": f"psnr[dB,peak={p}]", "psnr_fg": f"psnr[dB,peak={p},fg {p} %]"} for p in (1, 2)
    ]
    told = [{**{n: n for n in ("mae", "rmse", "max_error", "ssim")}, **t} for t in told]
    told = [{**t, **{f"{n}_fg": n for n in ("mae", "rmse", "max_error", "ssim")}} for t in told]
    rows = [row(s, OURS, 64, 30.0, definitions=t) for s, t in zip("ab", told, strict=True)]
    assert dict(means(rows[:1], "64×", OURS).head)["PSNR"] == "[dB, peak=1]"
    both = dict(every_row(rows).head)
    assert both["PSNR"] == "[dB, peak=max−min]"
    assert both["PSNR fg"] == "[dB, peak=max−min, fg]"
