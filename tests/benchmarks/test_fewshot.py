"""The page of training on few scans says what the runs say."""

from __future__ import annotations

import math

from benchmarks.fewshot import page, runs
from benchmarks.fewshot.runs import Run
from benchmarks.fewshot.studies import AUGMENT, BOTH, PLAIN, STUDIES, VARIANTS


def _run(variant: str, count: int, share: float, strength: float = 0.0) -> Run:
    """A network that needs a share of the bits of that of all scans."""
    points = {
        f"scan{n}": [(share * b, 30 + 3 * math.log2(b) + n) for b in (0.06, 0.12, 0.25, 0.5)]
        for n in range(3)
    }
    return Run("hippocampus", "lifting", variant, count, 4.0, 90, strength, points)


def test_the_page_is_that_of_the_kept_runs() -> None:
    assert page.PAGE.read_text(encoding="utf-8") == page.page(runs.load())


def test_bits_against_all_scans_and_what_is_regained() -> None:
    found = [
        _run(PLAIN, 148, 1.0),
        _run(PLAIN, 15, 1.2),
        _run(AUGMENT, 15, 1.1, 0.03),
        _run(BOTH, 15, 0.95, 0.03),
    ]
    head, _, *lines = page.table(found)
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert len({len(row) for row in cells} | {head.count("|") - 1}) == 1
    assert cells[0] == ["all 148", "plain", "4", "90", "", "", ""]
    assert cells[1][5:] == ["+20.0 ± 0.0 %", ""]
    assert cells[2][4:] == ["0.03", "+10.0 ± 0.0 %", "50 %"]
    assert cells[3][5:] == ["-5.0 ± 0.0 %", "125 %"]


def test_scans_whose_curves_share_no_quality_are_left_out() -> None:
    reference, far = _run(PLAIN, 148, 1.0).points, dict(_run(PLAIN, 15, 1.3).points)
    far["scan1"] = [(bits, level - 90) for bits, level in far["scan1"]]
    assert abs(page.change(reference, far) - 30.0) < 1e-6


def test_studies_take_each_scan_once_and_in_a_fixed_order() -> None:
    for study in STUDIES.values():
        training = study.scans("train")
        assert len(set(training)) == len(training) >= max(study.counts)
        assert study.scans("train", 15) == training[:15]
        assert not set(training) & {*study.scans("validation"), *study.scans("test")}
        for variant in VARIANTS:
            config = study.settings(variant, "lifting", 0.02)
            assert (config.deformation > 0) == (variant in (AUGMENT, BOTH))
        assert study.settings(PLAIN, "autoencoder", 0.0).network(3).widths == (32, 48)
