"""Sums, the worst scans, what was passed over."""

from __future__ import annotations

import json
from typing import Any

from deepstd.batch.report import Summary, by_kind, totals, worst
from deepstd.cli import batch_words
from deepstd.io import PassedOver


def row(name: str, psnr: float | None, ssim: float | None, **more: Any) -> dict[str, Any]:
    sizes = {"source_bytes": 100, "stored_bytes": 64, "file_bytes": 2, "ratio": 32.0}
    kind = {"format": "npy", "dtype": "int16"}
    return {"name": name, "source": f"{name}.npy", "psnr": psnr, "ssim": ssim} | sizes | kind | more


ROWS = [row(f"s{n}", 40.0 + n, 0.99 - 0.01 * n) for n in range(12)]


def test_the_worst_are_those_of_least_psnr_and_of_least_ssim() -> None:
    chosen = [one.source for one in worst([*ROWS, row("exact", None, None)])]
    assert chosen == [f"s{n}.npy" for n in (0, 1, 2, 3, 4, 7, 8, 9, 10, 11)]
    assert worst([]) == []


def test_sums_have_the_worst_figures_of_their_kind() -> None:
    lines = totals([*ROWS, row("x", 30.0, 0.5, dtype="uint8"), row("exact", None, None)])
    assert [(one.data, one.scans, one.worst_psnr, one.worst_ssim) for one in lines] == [
        ("npy int16", 13, 40.0, ROWS[-1]["ssim"]),
        ("npy uint8", 1, 30.0, 0.5),
        ("all", 14, 30.0, 0.5),
    ]
    (alone, _) = totals([row("exact", None, None)])
    assert (alone.worst_psnr, alone.worst_ssim) == (None, None)


def test_a_ledger_that_was_edited_gives_figures_all_the_same() -> None:
    odd = [{"name": "a", "psnr": "much", "ssim": True}, {"name": "b", "psnr": [], "ratio": {}}]
    assert worst(odd) == []
    assert totals(odd)[-1].scans == 2


PASSED = [
    PassedOver("a.txt", ".txt files"),
    PassedOver("b.json", ".json files"),
    PassedOver("c.json", ".json files"),
    PassedOver("plan", "DICOM objects that are no grey images", "a plan"),
]


def test_kinds_of_what_was_passed_over() -> None:
    kinds = by_kind(PASSED)
    assert [(one.kind, one.count) for one in kinds] == [
        (".json files", 2),
        (".txt files", 1),
        ("DICOM objects that are no grey images", 1),
    ]
    assert kinds[0].files == {"b.json": "", "c.json": ""}
    assert [one.files for one in by_kind(PASSED, is_anonymous=True)] == [{}, {}, {}]


def test_the_closing_table_and_its_lists() -> None:
    passed = by_kind([*PASSED, *(PassedOver(f"{n}.json", ".json files") for n in range(9))])
    done = Summary(
        14, 13, 2, {"bad.npy": "cut\n short"}, totals(ROWS), True, 3.0, "out/ledger.jsonl",
        worst(ROWS), passed,
    )  # fmt: skip
    told = batch_words.summary(done)
    head, _, first, everything, *_ = told.splitlines()
    assert head.split()[-5:] == ["worst", "PSNR", "(dB)", "worst", "SSIM"]
    assert first.split()[-2:] == everything.split()[-2:] == ["40.00", "0.8800"]
    assert "s0.npy       40.00      0.9900  32.0" in told
    assert "passed over, as no scans: 13" in told
    assert "  11 .json files: b.json, c.json, 0.json, 8 more" in told
    assert "  1 DICOM objects that are no grey images: plan (a plan)" in told
    assert "  bad.npy: cut short" in told
    assert json.loads(json.dumps(done.to_dict()))["passed_over"][0]["count"] == 11
