"""docs/benchmark.md: what the results files say, with the gaps as they are.

results/*.json ─ means over scans · DeepSTD minus each peer, on the scans that both have ─▶ page
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean, median

from benchmarks import window
from benchmarks.segmentation.rows import segmentation_section
from benchmarks.standing.competitors import size_name
from benchmarks.standing.results import FOLDER, Results, Run
from benchmarks.standing.studies import RATES, STUDIES, Study
from deepstd.evaluate.rows import CANNOT, FAILED, LOSSLESS, OURS, Row, from_json, to_json
from deepstd.evaluate.tables import distances, unique

PAGE = Path(__file__).resolve().parents[2] / "docs" / "benchmark.md"
_SIZES = [size_name(target) for target in RATES]
_TIMED = "0.25 bpv"
_FIGURES = {"psnr": ("PSNR", "{:.2f} dB"), "ssim": ("SSIM", "{:.4f}")}
_INTRO = """# Benchmark

Written by `python -m benchmarks.standing` from `benchmarks/results/`; how it is measured, and what
every doubt is decided for, is in [benchmarks](../benchmarks/README.md).

Every codec has the same number of bytes: 0.5, 0.25, 0.125 and 0.0625 bits per voxel, that is 32×,
64×, 128× and 256× of scans stored in 16 bits. Of DeepSTD the whole file counts, of the others the
bare codestreams. No patient was in the training data of the bundle that is measured.
"""
StudyResults = Results[Row]


def open_study(name: str) -> StudyResults:
    """The rows of a study."""
    return Results.open(FOLDER / f"{name}.json", from_json, to_json)


def page() -> str:
    """The whole page."""
    found = {name: open_study(name) for name in STUDIES}
    rows = {name: [row for row, _ in found[name].rows.values()] for name in STUDIES}
    parts = [_INTRO, "## At a glance\n", _glance(rows)]
    parts += [study_section(STUDIES[name], rows[name]) for name in STUDIES]
    parts += [segmentation_section(), window.section(), _measured(found.values())]
    return "\n".join(parts)


def study_section(study: Study, rows: Sequence[Row]) -> str:
    """Tables of one study, and in words where DeepSTD is behind."""
    if not rows:
        return f"## {study.title}\n\nNot measured yet.\n"
    lossy = [row for row in rows if row.target != LOSSLESS]
    names = sorted(unique(row.codec for row in lossy), key=lambda name: _place(name, lossy))
    scans = len(unique(row.scan for row in rows))
    parts = [
        f"## {study.title}\n",
        f"{scans} scans, bundle `{study.bundle}`{_versions(lossy)}. {study.remark}".strip() + "\n",
        f"PSNR in dB (peak: {study.peak_name}) / SSIM, means over scans:\n",
        _means(lossy, names),
        f"PSNR of {OURS} minus that of each codec in dB, and BD-rate of {OURS} against it (below "
        "0: fewer bytes), means over the scans that both have:\n",
        _gaps(lossy, names),
        _losses(lossy, names),
        _costs(rows, names),
        _references(rows),
    ]
    return "\n".join(part for part in parts if part)


def _versions(rows: Sequence[Row]) -> str:
    """Of which versions of the bundle the files are, where not all are of one."""
    counts = Counter(row.model.partition(" (")[0] for row in rows if row.model)
    if len(counts) < 2:
        return ""
    return " (" + ", ".join(f"{n} files of {model}" for model, n in counts.most_common()) + ")"


def _means(rows: Sequence[Row], names: Sequence[str]) -> str:
    lines = [_line(["codec", *_SIZES]), _rule(len(_SIZES))]
    by = _by_codec(rows)
    asked = len(unique(row.scan for row in rows))
    best = {}
    for size in _SIZES:
        whole = [n for n in names if len(_answers(by.get((n, size), ()))) == asked]
        best[size] = max(whole, key=lambda n: _mean_psnr(by[n, size]), default="")
    for name in names:
        cells = [_cell(by.get((name, size), ()), asked, name == best[size]) for size in _SIZES]
        lines.append(_line([f"**{name}**" if name == OURS else name, *cells]))
    return "\n".join(lines) + "\n"


def _cell(rows: Sequence[Row], asked: int, is_best: bool) -> str:
    answered = _answers(rows)
    if not rows:
        return "–"
    if not answered:
        return "failed" if all(row.status == FAILED for row in rows) else "none so small"
    text = f"{_mean_psnr(rows):.2f} / {mean(row.ssim or 0 for row in answered):.4f}"
    if len(answered) < asked:
        reasons = (
            (sum(row.status == CANNOT for row in rows), "none so small"),
            (sum(row.status == FAILED for row in rows), "failed"),
            (asked - len(rows), "not measured"),
        )
        why = ", ".join(f"{count} {reason}" for count, reason in reasons if count)
        return f"{text} ({len(answered)} of {asked}: {why})"
    return f"**{text}**" if is_best else text


def _gaps(rows: Sequence[Row], names: Sequence[str]) -> str:
    lines = [_line(["codec", *_SIZES, "BD-rate"]), _rule(len(_SIZES) + 1)]
    rates = {found.other: found.rates for found in distances(rows, OURS)}
    for name in names:
        if name == OURS:
            continue
        cells = []
        for size in _SIZES:
            gaps = _pairs(rows, name, size)
            cells.append(f"{mean(gaps):+.2f} ({len(gaps)})" if gaps else "–")
        bd = rates.get(name)
        cells.append(f"{mean(bd):+.1f} % ({len(bd)})" if bd else "–")
        lines.append(_line([name, *cells]))
    return "\n".join(lines) + "\n"


def _losses(rows: Sequence[Row], names: Sequence[str]) -> str:
    """In words: at which rates which codec is ahead, by how much and on how many scans."""
    parts = []
    for figure, (title, form) in _FIGURES.items():
        lines = []
        for size in _SIZES:
            ahead = []
            for name in names:
                gaps = _pairs(rows, name, size, figure)
                if name != OURS and gaps and mean(gaps) < 0:
                    worse = sum(gap < 0 for gap in gaps)
                    text = f"{name} by {form.format(-mean(gaps))}, {worse} of {len(gaps)}"
                    ahead.append((mean(gaps), text))
            if ahead:
                lines.append(f"- {size}: " + "; ".join(text for _, text in sorted(ahead)))
        if lines:
            lead = f"Ahead of DeepSTD in mean {title} (and on so many scans):"
            parts.append(f"{lead}\n\n" + "\n".join(lines) + "\n")
        else:
            parts.append(f"No codec is ahead of DeepSTD in mean {title} at any of these rates.\n")
    return "\n".join(parts)


def _costs(rows: Sequence[Row], names: Sequence[str]) -> str:
    """Seconds at one rate, and the bytes used at all."""
    lines = [_line(["codec", "bytes used", "compress", "decompress"]), _rule(3)]
    for name in names:
        mine = _answers([row for row in rows if row.codec == name])
        timed = [row for row in mine if row.target == _TIMED]
        if not mine:
            continue
        fills = [100 * (row.fill or 0) for row in mine]
        seconds = [
            f"{median(getattr(row, part) for row in timed):.3g} s" if timed else "–"
            for part in ("encode_s", "decode_s")
        ]
        used = f"{min(fills):.1f} to {max(fills):.1f} %"
        if short := sum(bool(row.shortfall) for row in mine):
            used += f"; {short} of {len(mine)} files more than 3 % too small"
        lines.append(_line([name, used, *seconds]))
    text = f"<details><summary>Bytes used of those allowed; median seconds a scan at {_TIMED}"
    why = (
        "Where a file is more than 3 % too small, the next finer setting of its codec that was "
        "tried had too many bytes.\n"
    )
    return f"{text}</summary>\n\n" + "\n".join(lines) + f"\n\n{why}\n</details>\n"


def _references(rows: Sequence[Row]) -> str:
    """Return the sentence on lossless codecs."""
    found = []
    for name in unique(row.codec for row in rows if row.target == LOSSLESS):
        ratios = [r.ratio for r in rows if r.codec == name and r.target == LOSSLESS and r.ratio]
        if ratios:
            found.append(f"{name} {mean(ratios):.2f}×")
    return f"Without loss: {', '.join(found)}.\n" if found else ""


def _glance(found: Mapping[str, Sequence[Row]]) -> str:
    """DeepSTD minus the best peer that has a file for every scan."""
    lines = [_line(["scans", *_SIZES]), _rule(len(_SIZES))]
    for name, rows in found.items():
        cells = []
        asked = len(STUDIES[name].scans)
        for size in _SIZES:
            gaps = {
                codec: pairs
                for codec in unique(row.codec for row in rows)
                if not codec.startswith(OURS) and len(pairs := _pairs(rows, codec, size)) == asked
            }
            if not gaps:
                cells.append("–")
                continue
            best = min(gaps, key=lambda codec: mean(gaps[codec]))
            cells.append(f"{mean(gaps[best]):+.2f} dB ({best})")
        lines.append(_line([f"{STUDIES[name].title}, {asked}", *cells]))
    lead = (
        f"PSNR of {OURS} minus that of the best codec that has a file for every scan. Codecs of\n"
        "minutes a scan (VVC) are measured on some scans only; their gaps are further down.\n"
    )
    return lead + "\n" + "\n".join(lines) + "\n"


def _measured(found: Iterable[StudyResults]) -> str:
    """When, where and with what."""
    counts: dict[str, int] = {}
    models: list[str] = []
    for results in found:
        for row, run in results.rows.values():
            counts[_told(run)] = counts.get(_told(run), 0) + 1
            models.append(row.model)
    lines = [f"- {count} rows: {told}" for told, count in counts.items()]
    bundles = ", ".join(sorted(set(filter(None, models))))
    text = (
        "Seconds were partly taken beside other work on the same cores, and tell orders of "
        "magnitude only. Quality and bytes do not depend on the machine."
    )
    return "\n".join(["## When and where\n", *lines, "", f"Bundles: {bundles}.\n", text, ""])


def _told(run: Run) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    return f"{run['date']}, {run['processor']}, {run['cores']} cores; {versions}"


def _place(name: str, rows: Sequence[Row]) -> tuple[bool, float]:
    """DeepSTD first, then by the mean gap over all sizes."""
    gaps = [gap for size in _SIZES for gap in _pairs(rows, name, size)]
    return not name.startswith(OURS), mean(gaps) if gaps else math.inf


def _pairs(rows: Sequence[Row], name: str, size: str, figure: str = "psnr") -> list[float]:
    """A figure of DeepSTD minus that of a codec, for each scan that both have.

    Those that are no finite numbers, as the PSNR of exact scans, are left out.
    """
    mine, theirs = (
        {r.scan: getattr(r, figure) for r in _answers(rows, c, size)} for c in (OURS, name)
    )
    pairs = [(mine[scan], theirs[scan]) for scan in mine if scan in theirs]
    return [a - b for a, b in pairs if a is not None and b is not None and math.isfinite(a - b)]


def _answers(rows: Iterable[Row], codec: str = "", size: str = "") -> list[Row]:
    return [
        row
        for row in rows
        if row.nbytes is not None and codec in ("", row.codec) and size in ("", row.target)
    ]


def _by_codec(rows: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        found.setdefault((row.codec, row.target), []).append(row)
    return found


def _mean_psnr(rows: Sequence[Row]) -> float:
    finite = [row.psnr for row in _answers(rows) if row.psnr is not None and row.psnr < math.inf]
    return mean(finite) if finite else math.inf


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _rule(columns: int) -> str:
    return "| --- |" + " --- |" * columns
