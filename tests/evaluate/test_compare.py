"""Comparisons end to end: every case answered, resumed, and none stopped by another."""

from __future__ import annotations

import base64
import json
import os
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from deepstd import baselines
from deepstd.cli.app import main
from deepstd.errors import InputError
from deepstd.evaluate import compare as comparing
from deepstd.evaluate.cases import Worker
from deepstd.evaluate.compare import Request, compare, find_scans
from deepstd.evaluate.page import Section, write_page
from deepstd.evaluate.pictures import Hanging
from deepstd.evaluate.report import write_report
from deepstd.evaluate.rows import CANNOT, FAILED, LOSSLESS, MISSING, OK, OURS
from deepstd.evaluate.view import View, worst_view

for package in ("imagecodecs", "skimage", "matplotlib", "jinja2"):
    pytest.importorskip(package, reason="needs pip install 'deepstd[baselines,evaluate]'")
Phantom = Callable[..., np.ndarray]


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory, phantom: Phantom) -> Path:
    """Two scans, one of them twice, and a file that is none."""
    folder = tmp_path_factory.mktemp("scans")
    for name, seed in (("one", 0), ("two", 1), ("same", 0)):
        voxels = gaussian_filter(phantom((36, 32, 12), seed=seed), 1.0)
        nibabel.save(nibabel.Nifti1Image(voxels, np.diag([1, 1, 2, 1.0])), folder / f"{name}.nii")
    (folder / "broken.nii").write_bytes(b"no scan")
    return folder


@pytest.fixture(scope="module")
def done(scans: Path, tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Request:
    """A comparison that has run once."""
    folder = tmp_path_factory.mktemp("results")
    codecs = ("sperr", "deepstd", "vvc", "jpeg2000", "gzip")
    request = Request((scans,), (8.0, 16.0, 1000.0), codecs, folder, str(tiny_bundle), "cpu")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEEPSTD_VVENC", "/no/such/program")
        write_report(folder, compare(request))
    return request


@pytest.fixture(autouse=True)
def _without_vvc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPSTD_VVENC", "/no/such/program")


@pytest.fixture
def no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading a scan is allowed, encoding one is not."""
    run = Worker.run

    def only_facts(self: Worker, function: Callable, *arguments: object) -> object:
        assert function.__name__ == "facts"
        return run(self, function, *arguments)

    monkeypatch.setattr(Worker, "run", only_facts)


@pytest.mark.usefixtures("no_worker")
def test_every_case_has_a_row_and_none_is_done_twice(done: Request) -> None:
    rows = compare(done)
    assert {row.scan for row in rows} == {"one.nii", "two.nii", "broken.nii"}
    broken = [row for row in rows if row.scan == "broken.nii"]
    assert [(row.status, row.codec) for row in broken] == [(FAILED, "")]
    assert "broken.nii" in broken[0].note
    mine = [row for row in rows if row.scan == "two.nii"]
    assert len(mine) == 4 * 3 + 1
    assert mine[0].codec == OURS
    found = {(row.codec, row.target): row for row in mine}
    assert all(found["VVC medium", t].status == MISSING for t in ("8×", "16×", "1000×"))
    assert "DEEPSTD_VVENC" in found["VVC medium", "8×"].note
    assert found["JPEG 2000", "1000×"].status == CANNOT
    assert found[OURS, "1000×"].status == CANNOT
    for codec in (OURS, "JPEG 2000", "SPERR"):
        row = found[codec, "8×"]
        assert row.status == OK
        assert row.nbytes is not None
        assert row.nbytes <= row.allowed
        # JPEG 2000 has no more to give to a scan of 8 bits that is this smooth, and says so.
        assert row.nbytes >= 0.97 * row.allowed or "settings leave" in row.note
        assert row.allowed == 36 * 32 * 12 * 2 // 8
        assert row.psnr is not None
        assert row.psnr > 25
        assert set(row.definitions) >= {"psnr", "ssim_fg"}
    assert found["gzip", LOSSLESS].max_error == 0
    assert set(found[OURS, "8×"].parts) == {
        *(f"encode {part}" for part in ("shape", "texture", "check")),
        *(f"decode {part}" for part in ("shape", "texture", "rest")),
    }


def test_what_failed_is_tried_again(done: Request, tmp_path: Path) -> None:
    lines = (done.folder / "results.jsonl").read_text().splitlines()
    spoilt = []
    for line in lines:
        row = json.loads(line)
        if (row["scan"], row["codec"], row["target"]) == ("one.nii", "SPERR", "8×"):
            row = {**row, "status": FAILED, "note": "once", "nbytes": None}
        spoilt.append(json.dumps(row))
    (tmp_path / "results.jsonl").write_text("\n".join(spoilt) + "\n")
    request = Request(done.sources, (8.0,), ("sperr",), tmp_path)
    found = {(row.scan, row.codec): row for row in compare(request)}
    assert found["one.nii", "SPERR"].status == OK
    again = (tmp_path / "results.jsonl").read_text().splitlines()
    # The one that failed, the scan that cannot be read, and two whose slices were elsewhere.
    assert len(again) <= len(lines) + 4


def test_a_codec_that_takes_its_process_down(
    scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparing, "run_case", _dies_with_sperr)
    request = Request((scans / "one.nii",), (8.0,), ("sperr", "jpeg2000"), tmp_path)
    crashed, _ = sorted(compare(request), key=lambda row: row.codec != "SPERR")
    assert crashed.status == FAILED
    assert "crashed" in crashed.note


def _dies_with_sperr(*arguments: object) -> None:
    os._exit(11)


def test_the_page_holds_all_it_needs(done: Request) -> None:
    page = (done.folder / "report.html").read_text()
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert "<script" not in page
    assert "http" not in re.sub(r"base64,[A-Za-z0-9+/=]*", "", page).replace("http-equiv", "")
    for text in ("BD-rate", "one.nii", "VVC medium", "no file that small", "peak=max−min"):
        assert text in page, text
    images = re.findall(r"data:image/(png|svg\+xml);base64,([A-Za-z0-9+/=]*)", page)
    assert len(images) > 12
    for kind, data in images:
        start = base64.b64decode(data)[:64]
        assert start.startswith(b"\x89PNG" if kind == "png" else b"<?xml")


def test_scans_are_found_once(scans: Path) -> None:
    names = [scan.label for scan in find_scans([scans, scans / "one.nii"])]
    assert names == ["broken.nii", "one.nii", "two.nii"]
    with pytest.raises(InputError, match="no such file or folder"):
        find_scans([scans / "nowhere"])


def test_scans_in_an_archive_are_told_apart_by_their_content(scans: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for path in sorted(scans.glob("*.nii")):
            archive.write(path, f"x/{path.name}")
    packed, loose = find_scans([tmp_path]), find_scans([scans])
    assert set(packed.values()) == set(loose.values())
    assert len(packed) == 3  # one, two and the broken one; "same" is one again


def test_unknown_codecs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown codec h261: expected some of deepstd, jpeg"):
        Request((), (8.0,), ("deepstd", "h261"), tmp_path)


def test_all_names_of_the_help_exist(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--help"]) == 0
    told = re.sub(r"[^a-z0-9-]+", " ", capsys.readouterr().out).split()
    assert set(comparing.KNOWN_CODECS) <= set(told)
    assert set(comparing.ALL_CODECS) == {"deepstd", *baselines.LOSSY, *baselines.LOSSLESS}


def test_compare_command(scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["compare", str(scans / "two.nii"), "-o", str(tmp_path), "--ratios", "8"]
    assert main([*arguments, "--codecs", "jpeg2000,gzip"]) == 0
    assert "report.html" in capsys.readouterr().out
    assert main([*arguments, "--codecs", "jpeg2000,gzip", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["codec"] for row in rows] == ["JPEG 2000", "gzip"]
    assert rows[1]["psnr"] is None
    assert main([*arguments, str(scans / "broken.nii"), "--codecs", "gzip"]) == 3
    assert "1 of 2 failed" in capsys.readouterr().err


def test_evaluate_command(
    scans: Path, tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scan = [str(scans / name) for name in ("one.nii", "two.nii")]
    arguments = ["evaluate", *scan, "-o", str(tmp_path), "--ratios", "8,16", "-m", str(tiny_bundle)]
    assert main([*arguments, "--bandwidth", "100kB"]) == 0
    assert "DeepSTD" in capsys.readouterr().out
    page = (tmp_path / "report.html").read_text()
    for text in ("Accuracy of the ratio", "Where the time goes", "at 100 kB/s", "DeepSTD 16×"):
        assert text in page, text


def test_worst_region_is_found() -> None:
    original = np.zeros((60, 50, 4, 2), np.int16)
    restored = original.copy()
    restored[50:58, 40:48, 2, 1] = 9
    view = worst_view(original, restored)
    assert (view.slice, view.frame) == (2, 1)
    assert view.i <= 50 <= 57 < view.i + view.size <= 60
    assert view.j <= 40 <= 47 < view.j + view.size <= 50
    np.testing.assert_array_equal(view.of(restored), restored[:, :, 2, 1])


def test_hanging_puts_the_right_on_the_left_and_the_front_on_top() -> None:
    part = np.zeros((4, 3))
    part[3, 2] = 1  # in RAS+ the patient's right... of the largest x, and in front
    ras = Hanging.of(np.eye(4), is_image=False)
    assert ras.turn(part)[0, 0] == 1
    lps = Hanging.of(np.diag([-1.0, -1.0, 1.0, 1.0]), is_image=False)
    assert lps.turn(part)[2, 3] == 1
    left, top, width, height = ras.place(View(0, 0, 3, 2, 1), part.shape)
    assert (left, top, width, height) == (0, 0, 25, pytest.approx(100 / 3))
    image = Hanging.of(np.zeros((0, 0)), is_image=True)
    np.testing.assert_array_equal(image.turn(part), part)


def test_text_on_a_page_is_escaped(tmp_path: Path) -> None:
    write_page(tmp_path / "page.html", "<Title>", ["a & b"], [Section("c < d")])
    page = (tmp_path / "page.html").read_text()
    assert "&lt;Title&gt;" in page
    assert "a &amp; b" in page
    assert "c &lt; d" in page
