"""What becomes of measured rows: figures of a pair, the file, the tables."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.registration import page, results
from benchmarks.registration.measure import Row, measure
from benchmarks.registration.method import Unregistered
from benchmarks.registration.pairs import Scan


@pytest.fixture
def scan() -> Scan:
    labels = np.zeros((12, 12, 12), np.uint8)
    labels[2:6, 2:6, 2:6], labels[7:10, 7:10, 7:10] = 1, 2
    voxels = np.random.default_rng(0).random(labels.shape, np.float32)
    return Scan("scan", voxels, labels, np.diag([2.0, 1.0, 1.0, 1.0]))


def test_a_scan_on_itself_is_perfect(scan: Scan) -> None:
    row = measure("study", Unregistered(), scan, scan)
    assert row.dice == {"1": 1.0, "2": 1.0}
    assert row.hd95 == {"1": 0.0, "2": 0.0}
    assert (row.mean_dice, row.mean_hd95, row.ncc, row.folding_percent) == (1, 0, 1, 0)


def test_a_label_that_is_gone_counts(scan: Scan) -> None:
    moving = replace(scan, labels=np.where(scan.labels == 2, 0, scan.labels).astype(np.uint8))
    row = measure("study", Unregistered(), moving, scan)
    assert row.dice == {"1": 1.0, "2": 0.0}
    assert row.hd95 == {"1": 0.0, "2": None}
    assert row.mean_hd95 == math.inf


def rows() -> list[Row]:
    def row(method: str, fixed: str, overlap: float, seconds: float) -> Row:
        distance = None if method == "none" else 1.5
        return Row(
            "hippocampus",
            "m",
            fixed,
            method,
            {"1": overlap},
            {"1": distance},
            0.9,
            0.0,
            99,
            seconds,
        )

    return [
        row("none", "a", 0.5, 0.0),
        row("SyN (ANTs)", "a", 0.7, 2.0),
        row("SyN (ANTs)", "b", 0.9, 4.0),
        row("DeepSTD", "a", 0.75, 1.0),
        row("DeepSTD", "b", 0.83, 2.0),
        row("DeepSTD, no cycle term", "b", 0.99, 2.0),
    ]


def test_rows_come_back_from_the_file(tmp_path: Path) -> None:
    saved = results.save(rows(), tmp_path / "r.json")
    assert results.load(tmp_path / "r.json") == saved
    assert saved.rows == tuple(rows())
    assert {"date", "machine", "versions"} <= set(saved.about)
    assert results.load(tmp_path / "none.json").rows == ()


def test_the_table_has_means_and_times_beside_syn() -> None:
    lines = page.study_table(rows()).splitlines()
    assert len(lines) == 6
    none, syn, ours = (line.split(" | ") for line in lines[2:5])
    assert none[2] == "–"
    assert syn[1] == "0.8000 ± 0.100"
    assert ours[5:7] == ["1.50", "0.50"]


def test_who_is_ahead_is_said() -> None:
    assert page.standing(rows()) == (
        "Ahead of DeepSTD in mean Dice: SyN (ANTs) by 0.0100 (better on 1 of 2)."
    )
    behind = [row for row in rows() if not row.method.startswith("SyN")]
    assert page.standing(behind) == "No peer is ahead of DeepSTD in mean Dice."


def test_the_page_holds_every_method(tmp_path: Path) -> None:
    saved = results.save(rows(), tmp_path / "r.json")
    page.write(saved, tmp_path / "page.md")
    text = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert all(row.method in text for row in rows())
    assert saved.about["date"] in text
