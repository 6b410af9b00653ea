"""The page of ablations says what the rows say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from benchmarks import ablations

ROWS = [
    ablations.Row("hippocampus", name, f"scan{n}", bpv, int(8000 * bpv), 30 + 10 * bpv + gain, 2.0)
    for name, gain in ((ablations._REFERENCE, 0.0), ("other", 0.5))
    for n in range(2)
    for bpv in (0.5, 0.25, 0.125, 0.0625)
]


def test_the_page_is_that_of_the_kept_rows() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "ablations.md"
    assert page.read_text(encoding="utf-8") == ablations.page(ablations.load())


def test_gains_are_over_scans_that_have_all_rates() -> None:
    broken = [replace(ROWS[-1], scan="scan9", psnr=0.0)]
    (line,) = [x for x in ablations.page([*ROWS, *broken]).splitlines() if x.startswith("| other")]
    cells = [cell.strip() for cell in line.split("|")]
    assert cells[2:6] == ["+0.50"] * 4
    assert cells[6].startswith("-")
    assert cells[7] == "1.0 ×"
