"""The page on a data set: sums, distributions, the worst scans with pictures, a table of all.

entries ─┬ worst first ─ pictures of the first ─▶ cards
         ├ histograms ─▶ inline SVG              ├─ string.Template ─▶ report.html
         └ rows ─▶ JSON, which page.js shows     ┘

The page runs one script, which its policy names by hash, so no name of a file can add another.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from html import escape
from importlib import resources
from pathlib import Path
from string import Template

from deepstd import __version__
from deepstd.batch.dataset.names import REPORT
from deepstd.batch.dataset.readme import size_in_words
from deepstd.batch.dataset.table import Entry
from deepstd.batch.page.charts import histogram
from deepstd.batch.page.pictures import Pictures
from deepstd.batch.report import figure, number
from deepstd.io import atomic_path
from deepstd.progress import ShowShare

MOST_PICTURES = 120
MOST_ROWS = 20_000  # of the table, 3 MB
_SHOWN_AT_ONCE = 24  # pictures; the others are folded
_KEPT = re.compile(r'data-of="([0-9a-f]{16})" src="(data:image/png;base64,[A-Za-z0-9+/=]+)"')
_MOST_NOTE = 200  # characters


def write_report(
    folder: Path,
    entries: Sequence[Entry],
    progress: ShowShare,
    *,
    model: str,
    is_anonymous: bool,
) -> None:
    """Write the page, replacing an earlier one, whose pictures of unchanged files are kept.

    Args:
        folder: top of the data set.
        entries: its compressed scans.
        progress: called with a sentence and the share of the work done, which is 1 here.
        model: bundle for the files that were written with it; "auto" to find each.
        is_anonymous: the name of the folder is not shown.

    Raises:
        InputError: the page cannot be written.
    """
    worst = sorted(entries, key=_badness)
    parts = {
        name: resources.files("deepstd.batch.page").joinpath(f"page.{name}").read_text("utf-8")
        for name in ("html", "css", "js")
    }
    digest = hashlib.sha256(parts["js"].encode()).digest()
    title = "Compressed scans" if is_anonymous else f"{folder.resolve().name}: compressed scans"
    left = len(worst) - MOST_ROWS
    text = Template(parts["html"]).substitute(
        hash=base64.b64encode(digest).decode(),
        title=escape(title),
        css=parts["css"],
        sums="".join(_card(label, value) for label, value in _sums(entries)),
        charts="".join(_charts(entries)),
        pictures=_gallery(worst[:MOST_PICTURES], _pictures(folder, worst, progress, model)),
        note=f"The worst {MOST_ROWS:,} of {len(worst):,} scans; deepstd.tsv has all." * (left > 0),
        version=escape(__version__),
        rows=_safe_json([_row(entry) for entry in worst[:MOST_ROWS]]),
        js=parts["js"],
    )
    with atomic_path(folder / REPORT, overwrite=True) as temporary:
        # Names of files may hold bytes that are no UTF-8.
        temporary.write_text(text, encoding="utf-8", errors="replace")


def _badness(entry: Entry) -> tuple[bool, float, str]:
    """Return a key that sorts the least PSNR first, and scans of unknown or no error last."""
    psnr = figure(entry.row, "psnr")
    return psnr is None or entry.exact, psnr or 0.0, entry.file


def _pictures(
    folder: Path, worst: Sequence[Entry], progress: ShowShare, model: str
) -> dict[str, str]:
    """Return the pictures of the worst scans, by file."""
    kept = _kept(folder / REPORT)
    maker, found = Pictures(model), {}
    chosen = worst[:MOST_PICTURES]
    for count, entry in enumerate(chosen):
        picture = kept.get(_key(entry))
        if picture is None:
            progress(f"pictures for {REPORT}, {count} of {len(chosen)}", 1.0)
            picture = maker.of(folder / entry.file)
        found[entry.file] = picture
    return found


def _kept(path: Path) -> dict[str, str]:
    try:
        return dict(_KEPT.findall(path.read_text("utf-8", errors="replace")))
    except OSError:
        return {}


def _key(entry: Entry) -> str:
    return str(entry.row.get("output_hash", ""))[:16]


def _sums(entries: Sequence[Entry]) -> list[tuple[str, str]]:
    before, stored, after = (
        sum(number(entry.row, key) for entry in entries)
        for key in ("source_bytes", "stored_bytes", "file_bytes")
    )
    exact = sum(entry.exact for entry in entries)
    psnrs = [v for e in entries if (v := figure(e.row, "psnr")) is not None and not e.exact]
    ssims = [v for e in entries if (v := figure(e.row, "ssim")) is not None and not e.exact]
    found = [
        ("scans", f"{len(entries):,}"),
        ("files before", size_in_words(before)),
        ("compressed", size_in_words(after)),
        ("saved", f"{100 * (1 - after / before):.1f} %" if before else "-"),
        ("ratio, of voxels", f"{stored / max(after, 1):.1f} : 1"),
    ]
    if psnrs:
        found.append(("least PSNR", f"{min(psnrs):.2f} dB"))
    if ssims:
        found.append(("least SSIM", f"{min(ssims):.4f}"))
    if exact:
        found.append(("exact scans", f"{exact:,}"))
    return found


def _charts(entries: Sequence[Entry]) -> list[str]:
    def values(key: str) -> list[float]:
        found = (figure(e.row, key) for e in entries if not e.exact or key not in ("psnr", "ssim"))
        return [value for value in found if value is not None]

    positive = [value for value in values("file_bytes") if value > 0]
    ratios = [value for value in values("ratio") if value > 0]
    return [
        histogram("PSNR", values("psnr"), lambda v: f"{v:.1f} dB"),
        histogram("SSIM", values("ssim"), lambda v: f"{v:.3f}"),
        histogram("Ratio", ratios, lambda v: f"{v:.3g}", by_ratio=True),
        histogram("Size of files", positive, lambda v: size_in_words(round(v)), by_ratio=True),
    ]


def _card(label: str, value: str) -> str:
    return f"<div><dt>{escape(label)}</dt><dd>{escape(value)}</dd></div>"


def _gallery(worst: Sequence[Entry], pictures: dict[str, str]) -> str:
    cards = [_scan_card(entry, pictures.get(entry.file, "")) for entry in worst]
    text = f'<ol class="gallery">{"".join(cards[:_SHOWN_AT_ONCE])}</ol>'
    more = cards[_SHOWN_AT_ONCE:]
    if more:
        text += (
            f"<details><summary>{len(more)} more pictures</summary>"
            f'<ol class="gallery">{"".join(more)}</ol></details>'
        )
    return text


def _scan_card(entry: Entry, picture: str) -> str:
    shown = '<span class="none">no picture</span>'
    if picture:
        shown = f'<img alt="" loading="lazy" data-of="{_key(entry)}" src="{picture}">'
    psnr, ssim = figure(entry.row, "psnr"), figure(entry.row, "ssim")
    told = ["exact"] if entry.exact else []
    if not entry.exact and psnr is not None:
        told.append(f"{psnr:.2f} dB")
    if not entry.exact and ssim is not None:
        told.append(f"SSIM {ssim:.4f}")
    if (ratio := figure(entry.row, "ratio")) is not None:
        told.append(f"{ratio:.3g} : 1")
    mark = f'<em title="{escape(_note(entry))}">{escape(_flag(entry))}</em>' * bool(_flag(entry))
    folder, _, name = entry.original.rstrip("/").rpartition("/")
    return (
        f'<li><div class="picture">{shown}</div><b title="{escape(entry.original)}">'
        f"{escape(name)}</b><small>{escape(folder)}</small>"
        f"<span>{' · '.join(f'<i>{escape(one)}</i>' for one in told)}</span>{mark}</li>"
    )


def _flag(entry: Entry) -> str:
    """Return a word on a scan that missed its quality, or is unlike those of its bundle."""
    if entry.row.get("missed"):
        return "missed its quality"
    return "unlike its bundle's scans" if entry.row.get("unfamiliar") else ""


def _note(entry: Entry) -> str:
    texts = entry.row.get("unfamiliar")
    told = [str(entry.row.get("missed") or "")]
    told += [str(text) for text in texts] if isinstance(texts, list) else []
    return "; ".join(text for text in told if text)[:_MOST_NOTE]


def _row(entry: Entry) -> list[object]:
    """Return the cells of the table's row, in the order of page.js."""
    row = entry.row
    rounded = {key: _rounded(figure(row, key)) for key in ("psnr", "ssim", "mae", "max_error")}
    return [
        entry.original,
        f"{row.get('format', '')} {row.get('dtype', '')}".strip(),
        number(row, "source_bytes"),
        number(row, "file_bytes"),
        _rounded(figure(row, "ratio")),
        None if entry.exact else rounded["psnr"],
        rounded["ssim"],
        rounded["mae"],
        rounded["max_error"],
        row.get("unit") or "",
        int(entry.exact),
        _note(entry),
    ]


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")


def _safe_json(values: object) -> str:
    """Return JSON that ends no script element."""
    text = json.dumps(values, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
