"""The study of other protocols: its page, its scans and its changes of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.protocols import page, runs
from benchmarks.protocols.cases import CASES, write_scan
from benchmarks.protocols.runs import BEFORE, NEW, PEER, UPDATED, Row
from benchmarks.standing.studies import RATES, split
from deepstd import io
from deepstd.volume import Volume


def _rows(variant: str, gain: float, share: float) -> list[Row]:
    """Rows of two scans: more PSNR, or fewer bytes, than the bundle as it is."""
    found = []
    for scan in ("a", "b"):
        for number, target in enumerate(RATES):
            size, level = round(share * 4000 / 2**number), 40.0 - 3 * number + gain
            model = "" if variant == PEER else "m 1"
            minutes = 5.0 if variant == UPDATED else 0.0
            told = (variant, NEW, scan, model, target.bpv or 0.0, size, level)
            found.append(Row("contrast", *told, variant != PEER, minutes))
    return found


def test_the_page_is_that_of_the_kept_rows() -> None:
    assert page.PAGE.read_text(encoding="utf-8") == page.page(runs.load())


def test_gains_and_bits_against_the_bundle_as_it_is() -> None:
    rows = [*_rows(BEFORE, 0, 1), *_rows(UPDATED, 0.5, 1), *_rows(PEER, 0, 1.25)]
    lines = page.page(rows).splitlines()
    before, updated, peer = (line for line in lines if line.startswith("| ") and "%" in line)
    assert [cell.strip() for cell in before.split("|")[2:6]] == ["40.00", "37.00", "34.00", "31.00"]
    assert "+0.50" in updated
    assert float(updated.split("|")[6].split("%")[0]) == pytest.approx(
        -100 * (1 - 2 ** (-1 / 6)), abs=0.1
    )
    assert "+25.0 %" in peer
    assert "5 minutes of update" in page.page(rows)
    assert "The update was refused" in page.page(_rows(BEFORE, 0, 1))


@pytest.mark.parametrize("key", CASES)
def test_no_test_scan_is_learned_from(key: str) -> None:
    case = CASES[key]
    assert len(case.names("train")) == case.train
    assert len(case.names("test")) == case.test
    assert not set(case.names("train")) & set(split(case.data_set, "test"))


def test_changes_keep_the_type_and_the_place(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    voxels = rng.integers(3, 200, (30, 24, 18)).astype(np.uint8)
    scan = Volume(voxels, np.diag([1.0, 1.0, 2.0, 1.0]))
    inverted = CASES["contrast"].change
    assert inverted is not None
    again = inverted(inverted(scan))
    np.testing.assert_array_equal(again.voxels, voxels)
    coarser = CASES["resolution"].change
    assert coarser is not None
    found = coarser(scan)
    assert (found.voxels.dtype, found.voxels.shape) == (np.uint8, (20, 16, 12))
    assert found.affine is not None
    np.testing.assert_allclose(np.diag(found.affine), [1.5, 1.5, 3, 1])
    write_scan("folder/scan.nii.gz", found, tmp_path)
    np.testing.assert_array_equal(io.read(tmp_path / "scan.nii.gz").voxels, found.voxels)


def test_images_are_written_as_images(tmp_path: Path) -> None:
    image = Volume(np.arange(600, dtype=np.uint16).reshape(20, 30).astype(np.uint8), None)
    write_scan("scan.png", image, tmp_path)
    np.testing.assert_array_equal(io.read(tmp_path / "scan.png").voxels, image.voxels)
