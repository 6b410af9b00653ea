"""A user's segmentation program in a comparison: what it finds before and after."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

from deepstd.errors import InputError
from deepstd.evaluate.compare import Request, compare
from deepstd.evaluate.report import write_report
from deepstd.evaluate.rows import FAILED, OK
from deepstd.evaluate.segmenter import check_command, fullest_slice, overlaps, segment
from deepstd.volume import Volume

for package in ("imagecodecs", "skimage", "matplotlib", "jinja2"):
    pytest.importorskip(package, reason="needs pip install 'deepstd[baselines,evaluate]'")
Phantom = Callable[..., np.ndarray]

# Two labels by two thresholds; a line a run says how often it ran.
PROGRAM = """
import sys, nibabel, numpy as np
scan = nibabel.load(sys.argv[1])
grey = np.asarray(scan.dataobj)
nibabel.save(nibabel.Nifti1Image(np.digitize(grey, [120, 190]).astype("u1"), scan.affine),
             sys.argv[2])
open(sys.argv[3], "a").write("once\\n")
"""


@pytest.fixture
def scan(tmp_path: Path, phantom: Phantom) -> Path:
    path = tmp_path / "scan.nii"
    nibabel.save(nibabel.Nifti1Image(phantom((34, 30, 10)), np.diag([1, 1, 3, 1.0])), path)
    return path


@pytest.fixture
def command(tmp_path: Path) -> str:
    (tmp_path / "segment it.py").write_text(PROGRAM)
    return f"{sys.executable} '{tmp_path}/segment it.py' {{scan}} {{labels}} {tmp_path}/runs"


def test_a_comparison_says_what_a_program_finds(scan: Path, command: str, tmp_path: Path) -> None:
    request = Request((scan,), (8.0, 24.0), ("sperr", "gzip"), tmp_path / "out", segmenter=command)
    rows = {row.target: row for row in compare(request)}
    fine, coarse = (rows[target].overlaps for target in ("8×", "24×"))
    assert set(fine) == {"1", "2"}
    assert 0.5 < coarse["1"]["dice"] < fine["1"]["dice"] < 1
    assert 0 <= fine["1"]["hd95"] <= coarse["1"]["hd95"]
    assert not rows["lossless"].overlaps
    runs = tmp_path / "runs"
    assert runs.read_text().count("once") == 3  # the original, and two restored scans
    page = write_report(request.folder, list(rows.values())).read_text()
    assert "lost by compression (false negative)" in page
    assert re.search(r"SPERR: Dice 0\.\d{4}, HD95", page)
    compare(request)
    assert runs.read_text().count("once") == 3


def test_rows_without_labels_are_done_again(scan: Path, command: str, tmp_path: Path) -> None:
    plain = Request((scan,), (8.0,), ("sperr",), tmp_path / "out")
    assert not compare(plain)[0].overlaps
    asked = Request((scan,), (8.0,), ("sperr",), tmp_path / "out", segmenter=command)
    assert compare(asked)[0].overlaps
    assert compare(plain)[0].overlaps


def test_a_program_that_fails_is_a_failed_row(scan: Path, tmp_path: Path) -> None:
    program = f"{sys.executable} -c \"raise SystemExit('no weights')\" {{scan}} {{labels}}"
    request = Request((scan,), (8.0,), ("sperr",), tmp_path / "out", segmenter=program)
    (row,) = compare(request)
    assert row.status == FAILED
    assert row.note.endswith("failed (1): no weights")
    assert compare(Request((scan,), (8.0,), ("sperr",), tmp_path / "out"))[0].status == OK


@pytest.mark.parametrize("command", ["program {scan}", "program {labels}", "it's {scan} {labels}"])
def test_commands_that_cannot_work_are_refused(command: str) -> None:
    with pytest.raises(InputError, match="--segmenter"):
        check_command(command)


def test_program_that_is_not_there() -> None:
    volume = Volume(np.zeros((4, 4, 4), np.int16))
    with pytest.raises(InputError, match="/no/such/program: No such file"):
        segment("/no/such/program {scan} {labels}", volume, volume.voxels)


def test_labels_of_another_shape_are_refused() -> None:
    volume = Volume(np.zeros((4, 4, 4), np.int16))
    code = "import sys, nibabel, numpy; a = numpy.zeros((4, 4, 3), 'u1'); "
    code += "nibabel.save(nibabel.Nifti1Image(a, None), sys.argv[1])"
    with pytest.raises(InputError, match=r"labels of shape \(4, 4, 3\), expected"):
        segment(f'{sys.executable} -c "{code}" {{labels}} {{scan}}', volume, volume.voxels)


def test_overlaps_are_in_millimetres_and_leave_out_what_is_not_there() -> None:
    before, after = np.zeros((12, 12, 12), np.uint8), np.zeros((12, 12, 12), np.uint8)
    before[2:8, 2:8, 2:8], after[2:8, 2:8, 3:9] = 1, 1
    after[10, 10, 10] = 7
    found = overlaps(before, after, np.diag([1, 1, 2.5, 1]))
    assert found["1"] == {"dice": pytest.approx(5 / 6, abs=1e-6), "hd95": 2.5}
    assert found["7"] == {"dice": 0.0}
    assert overlaps(before, after, None)["1"]["hd95"] == 1.0


def test_fullest_slice() -> None:
    labels = np.zeros((5, 5, 3, 2), np.uint8)
    labels[1:4, 1:4, 2, 0] = 3
    assert fullest_slice(labels) == 4
    assert fullest_slice(labels[..., 2, 0]) == 0
