"""The standing benchmark: what is measured again and what not, and what the page says of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.standing import measure as measuring
from benchmarks.standing.competitors import Ours, Peer, competitors
from benchmarks.standing.measure import Asked, Case, measure, run
from benchmarks.standing.page import PAGE, page, study_section
from benchmarks.standing.results import Results, this_run
from benchmarks.standing.studies import CARDIAC, RATES, STUDIES, Scan, split
from deepstd.evaluate.rows import CANNOT, Row, from_json, to_json
from deepstd.volume import Volume

STUDY = "other-mr"
SCANS = STUDIES[STUDY].scans[:2]


def row(scan: str, codec: str, size: str, psnr: float | None, nbytes: int | None = 99) -> Row:
    answer = Row(scan, codec, size, 100, nbytes, psnr=psnr, ssim=0.9, voxels=800, stored_bytes=1600)
    return answer if psnr is not None else replace(answer, nbytes=None, ssim=None, status=CANNOT)


def test_results_keep_rows_and_what_measured_them(tmp_path: Path) -> None:
    path = tmp_path / "study.json"
    results = Results.open(path, from_json, to_json)
    earlier = {**this_run(), "date": "2020-01-01"}
    results.add(row("a", "SPERR", "0.5 bpv", 30.0), earlier)
    results.add(row("a", "AV1", "0.5 bpv", None), this_run())
    results.save()
    again = Results.open(path, from_json, to_json)
    assert again.rows == results.rows
    again.add(row("a", "SPERR", "0.5 bpv", 31.0), this_run())
    again.save()
    assert "2020-01-01" not in path.read_text()
    assert len(path.read_text().splitlines()) == 7


def asked(**changes: object) -> Asked:
    none: frozenset[str] = frozenset()
    return replace(Asked(Path("none"), (STUDY,), none, none, None, None), **changes)


def test_a_bundle_that_changed_is_measured_again_and_peers_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[tuple[str, str, str]] = []

    def answer(self: object, function: object, case: Case, data: Path) -> Row:
        done.append(case.key)
        return replace(row(*case.key, 30.0), model=case.competitor.model)

    monkeypatch.setattr(measuring.Worker, "run", answer)
    monkeypatch.setattr(
        measuring, "open_study", lambda name: Results.open(tmp_path / name, from_json, to_json)
    )
    few = asked(codecs=frozenset({"sperr", "gzip", "deepstd"}))
    measure(few)
    assert len(done) == len(STUDIES[STUDY].scans) * (4 + 1 + 4)
    assert [codec for _, codec, _ in done].index("DeepSTD") == len(STUDIES[STUDY].scans) * 5
    done.clear()
    measure(few)
    assert not done
    monkeypatch.setattr(Ours, "model", "generic 99 (0123)")
    measure(few)
    assert {codec for _, codec, _ in done} == {"DeepSTD"}
    done.clear()
    measure(replace(few, again=frozenset({"gzip"}), limit=1))
    assert [key[1:] for key in done] == [("gzip", "lossless")]


def test_one_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("imagecodecs", reason="needs pip install 'deepstd[baselines]'")
    voxels = np.random.default_rng(0).normal(200, 20, (20, 18, 6)).astype(np.int16)
    monkeypatch.setattr(Scan, "read", staticmethod(lambda data, name: Scan(name, Volume(voxels))))
    found = run(Case(STUDY, "made up", Peer("sperr"), RATES[0]), tmp_path)
    assert (found.codec, found.target, found.allowed) == ("SPERR", "0.5 bpv", 135)
    assert found.nbytes is not None
    assert 0.97 * 135 <= found.nbytes <= 135
    assert run(Case(STUDY, "made up", Peer("jpeg"), RATES[3]), tmp_path).status == CANNOT
    exact = run(Case(STUDY, "made up", Peer("gzip"), None), tmp_path)
    assert (exact.max_error, exact.target) == (0, "lossless")


def test_the_page_says_who_is_ahead() -> None:
    first, second = SCANS
    rows = [row(first, "DeepSTD", "0.5 bpv", 30.0), row(second, "DeepSTD", "0.5 bpv", 32.0)]
    rows += [row(first, "AV1", "0.5 bpv", 31.5), row(second, "AV1", "0.5 bpv", 31.5)]
    rows += [row(first, "JPEG", "0.5 bpv", 40.0), row(second, "JPEG", "0.5 bpv", None)]
    text = study_section(STUDIES[STUDY], rows)
    assert "- 0.5 bpv: JPEG by 10.00 dB, 1 of 1; AV1 by 0.50 dB, 1 of 2" in text
    assert "| AV1 | **31.50 / 0.9000** |" in text
    assert "40.00 / 0.9000 (1 of 2: 1 none so small)" in text
    assert "| AV1 | -0.50 (2) |" in text
    behind = [replace(r, psnr=20.0) if r.codec == "AV1" and r.psnr else r for r in rows[:4]]
    assert "No codec is ahead of DeepSTD in mean PSNR" in study_section(STUDIES[STUDY], behind)
    sharper = [replace(r, ssim=0.95) if r.codec == "AV1" else r for r in behind]
    text = study_section(STUDIES[STUDY], sharper)
    assert "No codec is ahead of DeepSTD in mean PSNR" in text
    assert "mean SSIM (and on so many scans):\n\n- 0.5 bpv: AV1 by 0.0500, 2 of 2\n" in text


def test_the_page_is_that_of_the_results() -> None:
    assert PAGE.read_text(encoding="utf-8") == page()


def test_nobody_is_measured_on_what_was_trained_on() -> None:
    trained = {
        name
        for data_set in ("hippocampus-t1", "chest-xray", "brain-ms", "chest-ct-slices")
        for part in ("train", "validation")
        for name in split(data_set, part)
    }
    trained.update(split("chest-ct-full", "train"))
    for study in STUDIES.values():
        assert not trained.intersection(study.scans)
        assert set(study.slow_scans) <= set(study.scans)
        names = [competitor.name for competitor in competitors(study)]
        assert len(set(names)) == len(names)
    assert len(CARDIAC) == 12


def test_the_page_says_where_files_are_of_several_versions_of_a_bundle() -> None:
    rows = [
        replace(row(scan, "DeepSTD", "0.5 bpv", 30.0), model=f"generic {version} (abc)")
        for scan, version in zip("abc", (6, 6, 5), strict=True)
    ]
    text = study_section(STUDIES[STUDY], rows)
    assert "(2 files of generic 6, 1 files of generic 5)" in text
    assert "files of" not in study_section(STUDIES[STUDY], rows[:2])
