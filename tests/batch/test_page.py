"""report.html: what it holds, for any name, any number of scans, without loading anything."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from deepstd.batch.dataset.table import entries_of
from deepstd.batch.page import report
from deepstd.batch.page.charts import histogram
from deepstd.batch.page.report import MOST_PICTURES, write_report

HOSTILE = "</script><img src=x onerror=alert(1)>/\"'&amp;<b>"


def row(name: str, **more: Any) -> dict[str, Any]:
    sizes = {"source_bytes": 5000, "stored_bytes": 8000, "file_bytes": 500, "ratio": 16.0}
    kind = {"format": "nifti1", "dtype": "int16", "unit": "HU", "output_hash": f"{hash(name):064x}"}
    figures = {"psnr": 40.0, "ssim": 0.97, "mae": 2.5, "max_error": 30.0}
    return {"name": name, "original": f"{name}.nii.gz", **kind, **sizes, **figures, **more}


def made(folder: Path, rows: list[dict[str, Any]], **options: Any) -> str:
    options = {"model": "auto", "is_anonymous": False, **options}
    write_report(folder, entries_of(rows), lambda text, share: None, **options)
    return (folder / "report.html").read_text(encoding="utf-8")


class Elements(HTMLParser):
    """All elements of a page, and the text of its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.found and self.found[-1][0] == "script":
            self.scripts.append(data)


def cells(page: str) -> list[list[Any]]:
    return json.loads(Elements(page).scripts[0])


def test_the_worst_come_first_and_exact_scans_last(tmp_path: Path) -> None:
    rows = [row("good", psnr=50.0), row("exact", psnr=None, max_error=0), row("bad", psnr=20.0)]
    page = made(tmp_path, rows)
    assert [line[0] for line in cells(page)] == ["bad.nii.gz", "good.nii.gz", "exact.nii.gz"]
    assert re.findall(r'<b title="(\w+)', page) == ["bad", "good", "exact"]
    assert "20.00 dB" in page
    assert "exact scans" in page


def test_scans_that_missed_or_are_unlike_are_marked(tmp_path: Path) -> None:
    rows = [row("a", missed="SSIM 0.9, not 0.95"), row("b", unfamiliar=["far <from> it"])]
    page = made(tmp_path, rows)
    assert '<em title="SSIM 0.9, not 0.95">missed its quality</em>' in page
    assert "far &lt;from&gt; it" in page
    assert [line[11] for line in cells(page)] == ["SSIM 0.9, not 0.95", "far <from> it"]


@given(st.lists(st.text(max_size=30), max_size=4, unique=True))
def test_names_never_become_elements(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("page")
    names = [HOSTILE, *names]
    page = made(folder, [row(name) for name in names])
    plain = made(folder, [row(f"{number}") for number in range(len(names))])
    tags = [[tag for tag, _ in Elements(one).found] for one in (page, plain)]
    assert tags[0] == tags[1]
    assert not any(name.startswith("on") for _, about in Elements(page).found for name in about)
    assert {line[0] for line in cells(page)} == {f"{name}.nii.gz" for name in names}


def test_names_of_any_bytes_are_shown(tmp_path: Path) -> None:
    made(tmp_path, [row("a\udcff")])


def test_it_loads_nothing_and_runs_one_script(tmp_path: Path) -> None:
    page = made(tmp_path, [row("a")])
    elements = Elements(page)
    policy = next(
        about["content"]
        for _, about in elements.found
        if about.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    (script,) = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; img-src data:;")
    sources = [about["src"] for _, about in elements.found if about.get("src")]
    assert all(source is not None and source.startswith("data:") for source in sources)
    assert not re.search(r"https?://|url\(|@import", page)


def test_ten_thousand_scans_give_a_page_of_bounded_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []
    monkeypatch.setattr(report.Pictures, "of", lambda self, path: asked.append(path) or "")
    page = made(tmp_path, [row(f"sub-{n:05d}/anat/T1w", psnr=20 + n / 999) for n in range(10_000)])
    assert len(page) < 3_000_000
    assert len(asked) == page.count("<li>") == MOST_PICTURES
    assert len(cells(page)) == 10_000
    monkeypatch.setattr(report, "MOST_ROWS", 5)
    page = made(tmp_path, [row(f"{n}") for n in range(9)])
    assert len(cells(page)) == 5
    assert "The worst 5 of 9 scans; deepstd.tsv has all." in page


def test_pictures_are_of_the_files_and_kept(
    compressed_bids: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (compressed_bids / "out" / "report.html").read_text()
    found = re.findall(r'data-of="(\w+)" src="data:image/png;base64,([^"]+)"', page)
    assert len(found) == 4
    for _, data in found:
        image = Image.open(io.BytesIO(base64.b64decode(data)))
        assert image.mode == "L"
        assert max(image.size) == 128
        assert len(set(image.tobytes())) > 1
    shutil.copytree(compressed_bids, tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr(report.Pictures, "of", lambda self, path: pytest.fail("made again"))
    lines = (tmp_path / "out" / "ledger.jsonl").read_text().splitlines()
    rows = [one for one in map(json.loads, lines) if one["status"] == "done"]
    assert made(tmp_path / "out", rows) == page


def test_a_coarse_level_is_shown_and_damage_shows_nothing(only_tiny: Path, tmp_path: Path) -> None:
    from bids_sets import ball, save

    from deepstd import api

    save(tmp_path / "a.nii.gz", ball(1, (270, 30, 14)))
    api.compress(tmp_path / "a.nii.gz", tmp_path / "a.dstd", ratio=16, effort="fast")
    (tmp_path / "b.dstd").write_bytes((tmp_path / "a.dstd").read_bytes()[:60])
    (tmp_path / "c.dstd").write_bytes(b"")
    page = made(tmp_path, [row("a"), row("b"), row("c"), row("missing")])
    assert page.count("data-of=") == 1
    assert page.count('class="none"') == 3


def test_a_private_page_does_not_name_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "Jane-Doe"
    folder.mkdir()
    assert "Jane-Doe" not in made(folder, [row("scan-0")], is_anonymous=True)
    assert "Jane-Doe: compressed scans" in made(folder, [row("scan-0")])


@given(st.lists(st.floats(1e-6, 1e9), max_size=40), st.booleans())
def test_every_value_is_in_a_bar(values: list[float], by_ratio: bool) -> None:
    chart = histogram("PSNR", values, lambda value: f"{value:.3g}", by_ratio=by_ratio)
    counts = [int(count) for count in re.findall(r": (\d+) scans", chart)]
    assert sum(counts) == (len(values) if len(set(values)) > 1 else 0)


def test_the_page_works_in_a_browser(tmp_path: Path) -> None:
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("needs chromium")
    page = made(tmp_path, [row(f"sub-{n}", psnr=20.0 + n) for n in range(150)] + [row(HOSTILE)])
    flags = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking"
    command = [browser, *flags.split(), "--disable-sync", f"--user-data-dir={tmp_path / 'profile'}"]

    def shown(name: str) -> str:
        place = f"file://{tmp_path / name}"
        done = subprocess.run([*command, "--dump-dom", place], capture_output=True, check=False)
        return done.stdout.decode()

    dom = shown("report.html")
    assert sum(tag == "tr" for tag, _ in Elements(dom).found) == 101  # a head, and 100 lines
    assert "151 scans" in dom
    assert "page 1 of 2" in dom
    # The same with a user, for whom the policy has to make way.
    user = """<script>
    document.querySelectorAll("th button")[5].click();
    document.querySelectorAll("th button")[5].click();
    const search = document.getElementById("search");
    search.value = "SUB-14 nifti";
    search.dispatchEvent(new Event("input"));
    </script></body>"""
    page = re.sub(r'<meta http-equiv="Content[^>]*>', "", page).replace("</body>", user)
    (tmp_path / "used.html").write_text(page)
    dom = shown("used.html")
    names = re.findall(r'<td class="text">(sub-[0-9]+)', dom)
    assert names == [f"sub-{n}" for n in (*range(149, 139, -1), 14)]
    assert "11 of 151 scans" in dom
    assert 'aria-sort="descending"' in dom
