"""The page of neural reference codecs says what the rows say."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="needs PyTorch: pip install 'deepstd[neural]'")

from benchmarks import neural
from benchmarks.neural import PLANS, Row
from benchmarks.standing.studies import STUDIES
from deepstd.evaluate.rows import OURS


def _row(scan: str, codec: str, level: float, seconds: float, nbytes: int = 900) -> Row:
    return Row("xray", scan, codec, 0.25, nbytes, level, 0.9, seconds, 0.1)


def test_the_page_is_that_of_the_kept_rows() -> None:
    assert neural.PAGE.read_text(encoding="utf-8") == neural.page(neural.load())


def test_means_ratios_of_times_and_codecs_without_a_file() -> None:
    rows = [_row(scan, OURS, 40.0, 2.0) for scan in "ab"]
    rows += [_row("a", "peer", 36.0, 5.0), _row("b", "peer", 38.0, 7.0)]
    rows += [_row("a", "none", 0.0, 0.0, 0), _row("b", "none", 0.0, 0.0, 0)]
    rows += [_row("a", "longer", 39.0, 50.0)]
    lines = neural.page(rows).splitlines()
    cells = [[c.strip() for c in line.split("|")[1:-1]] for line in lines if line.startswith("|")]
    by_name = {row[0]: row for row in cells[:5]}
    assert by_name["peer"][1:6] == ["2", "37.00 (0.900)", "6.00", "3.0 ×", "0.10"]
    assert by_name["none"][2] == "cannot"
    assert "longer" not in by_name
    first = {row[0]: row for row in cells[5:]}
    assert first["longer"][1:5] == ["1", "39.00 (0.900)", "50.00", "25.0 ×"]
    assert first["peer"][1:5] == ["1", "36.00 (0.900)", "5.00", "2.5 ×"]


def test_plans_are_of_studies_with_so_many_scans() -> None:
    for name, plan in PLANS.items():
        assert len(STUDIES[name].scans) >= plan.count
        assert plan.steps
