"""The page of ablations says what the rows say."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from benchmarks.ablations import left_out, page, trained

ROWS = [
    left_out.Row(
        "hippocampus", name, f"scan{n}", "some 1", bpv, int(8000 * bpv), 30 + 10 * bpv + gain, 2.0
    )
    for name, gain in ((left_out.REFERENCE, 0.0), ("other", 0.5))
    for n in range(2)
    for bpv in (0.5, 0.25, 0.125, 0.0625)
]


def test_the_page_is_that_of_the_kept_rows() -> None:
    written = page.PAGE.read_text(encoding="utf-8")
    assert written == page.page(left_out.load(), trained.load())


def test_gains_are_over_scans_that_have_all_rates() -> None:
    broken = [replace(ROWS[-1], scan="scan9", psnr=0.0)]
    lines = left_out.table([*ROWS, *broken], "hippocampus", "some 1")
    (line,) = [line for line in lines if line.startswith("| other")]
    cells = [cell.strip() for cell in line.split("|")]
    assert cells[2:6] == ["+0.50"] * 4
    assert cells[6].startswith("-")
    assert cells[7] == "1.0 ×"


def test_curves_that_share_no_quality_have_no_bd_rate() -> None:
    far = [replace(row, variant="far", psnr=row.psnr - 20) for row in ROWS[:8]]
    lines = left_out.table([*ROWS, *far], "hippocampus", "some 1")
    (line,) = [line for line in lines if line.startswith("| far")]
    assert line == "| far | -20.00 | -20.00 | -20.00 | -20.00 | – | 1.0 × |"


@pytest.mark.parametrize("name", ["another", "trained for the 3rd step alone"])
def test_a_variant_with_a_tenth_fewer_bits_says_so(name: str) -> None:
    bits = [0.06, 0.12, 0.25, 0.5]
    curves = [
        trained.Curve(
            "hippocampus",
            variant,
            f"scan{n}",
            "some 1",
            4.0,
            9,
            [(share * b, 30 + 3 * math.log2(b)) for b in bits],
        )
        for variant, share in ((trained.UNCHANGED, 1.0), (name, 0.9))
        for n in range(3)
    ]
    (line,) = [
        x for x in trained.table(curves, "hippocampus", "some 1") if x.startswith(f"| {name}")
    ]
    assert line.endswith("| 4 | 9 | -10.0 % |")
