"""Reports of ``batch`` as text.

Summary ─▶ bytes saved, worst scans, failures, skipped files
Forecast ─▶ scans, sizes, time
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from deepstd.cli import console

if TYPE_CHECKING:
    from deepstd.batch.report import (
        Forecast,
        PassedKind,
        Planned,
        Quality,
        SideCars,
        Summary,
        Total,
    )

_MOST_SHOWN = 10
_MOST_PASSED = 3
_HEAD = (
    "data",
    "scans",
    "files before",
    "voxels",
    "after",
    "ratio",
    "saved",
    "worst PSNR (dB)",
    "worst SSIM",
)
_WORST_HEAD = ("worst scans", "PSNR (dB)", "SSIM", "ratio")
_SCANS_HEAD = ("scan", "", "files now", "voxels", "file after")
_UNKNOWN = "-"
_MISSES = {
    "flag": "flagged, as they miss the quality",
    "keep": "kept, though they miss the quality",
    "lossless": "stored without loss, as they would miss the quality",
}


def summary(done: Summary) -> str:
    """Format the results of a run: tables of sizes and of the worst scans, then lists."""
    parts = []
    if done.totals:
        parts.append(console.table(_HEAD, [_cells(total) for total in done.totals]))
    if done.worst:
        parts += ["", console.table(_WORST_HEAD, [_quality(one) for one in done.worst]), ""]
    failed = len(done.failures)
    text = f"{done.done} of {done.found} scans done"
    if done.before:
        text += f", {done.before} of them before"
    parts.append(f"{text}; {failed} failed; {done.seconds:.0f} s; {console.escaped(done.ledger)}")
    parts += _sidecars(done.sidecars, "copied beside the scans")
    parts += _passed_over(done.passed_over, _MOST_PASSED)
    parts += console.reasons("unlike the scans of their bundle", done.unfamiliar, _MOST_SHOWN)
    parts += console.reasons("regions protected", done.protected, _MOST_SHOWN)
    parts += console.reasons("failed", done.failures, _MOST_SHOWN)
    for action, title in _MISSES.items():
        parts += console.reasons(title, done.misses.get(action, {}), _MOST_SHOWN)
    if not done.finished:
        parts.append("interrupted: the same command goes on from here")
    return "\n".join(parts)


def forecast(expected: Forecast) -> str:
    """Format the forecast of a run: every scan, then sums."""
    guessed = f", {expected.estimated} of the scans guessed" if expected.estimated else ""
    entries = [
        ("scans", f"{expected.found}, {expected.done} done already, {expected.to_do} to do"),
        ("files now", console.size(expected.source_bytes)),
        ("voxels", console.size(expected.stored_bytes) + guessed),
        ("files after", _expected(expected.file_bytes)),
    ]
    if expected.seconds is not None:
        entries.append(("time", f"about {expected.seconds:.0f} s, as fast as before"))
    listed = [console.table(_SCANS_HEAD, [_planned(scan) for scan in expected.scans]), ""]
    return "\n".join(
        [
            *(listed if expected.scans else []),
            console.pairs(entries),
            *_sidecars(expected.sidecars, "to be copied beside the scans"),
            *_passed_over(expected.passed_over, None),
            *console.reasons("would be refused", expected.refused, _MOST_SHOWN),
            *console.reasons("cannot be read", expected.unreadable, _MOST_SHOWN),
        ]
    )


def _expected(nbytes: int | None) -> str:
    return "not known before" if nbytes is None else console.size(nbytes)


def _cells(total: Total) -> tuple[str, ...]:
    share = total.saved_bytes / total.source_bytes if total.source_bytes else 0.0
    sizes = (total.source_bytes, total.stored_bytes, total.file_bytes)
    shown = (f"{nbytes:,}" for nbytes in sizes)
    saved = f"{total.saved_bytes:,} ({100 * share:.1f} %)"
    worst = (_psnr(total), _number(total.worst_ssim, ".4f"))
    return (total.data, str(total.scans), *shown, f"{total.ratio:.1f}", saved, *worst)


def _psnr(total: Total) -> str:
    """Format the least PSNR; that of exact scans is infinite, and no number in the ledger."""
    if total.worst_psnr is None and total.worst_ssim == 1:
        return "exact"
    return _number(total.worst_psnr, ".2f")


def _quality(one: Quality) -> tuple[str, ...]:
    return one.source, f"{one.psnr:.2f}", f"{one.ssim:.4f}", f"{one.ratio:.1f}"


def _planned(scan: Planned) -> tuple[str, ...]:
    sizes = (scan.source_bytes, scan.stored_bytes, scan.file_bytes)
    return (scan.source, scan.state, *(_number(nbytes, ",") for nbytes in sizes))


def _number(value: float | None, form: str) -> str:
    return _UNKNOWN if value is None else format(value, form)


def _sidecars(found: SideCars, what: str) -> list[str]:
    """Format a line on the side-cars that are copied, and one for each reason not to copy some."""
    lines = []
    if found.copied:
        lines.append(f"side-cars {what}: {found.copied}, {console.size(found.nbytes)}")
    for reason, names in found.left_out.items():
        shown = [name for name in names if name][:_MOST_PASSED]
        more = [f"{len(names) - len(shown)} more"] if shown and len(names) > len(shown) else []
        listed = ": " * bool(shown) + ", ".join(shown + more)
        lines.append(f"left out: {len(names)} {reason}{console.escaped(listed)}")
    return lines


def _passed_over(kinds: Sequence[PassedKind], most: int | None) -> list[str]:
    """Format a line for each kind of skipped files, with at most ``most`` names (None: all)."""
    if not kinds:
        return []
    lines = [f"passed over, as no scans: {sum(one.count for one in kinds)}"]
    for one in kinds:
        names = [f"{name} ({why})" if why else name for name, why in one.files.items()][:most]
        more = [f"{one.count - len(names)} more"] if names and one.count > len(names) else []
        listed = ": " * bool(names) + ", ".join(names + more)
        lines.append(console.escaped(f"  {one.count} {one.kind}{listed}"))
    return lines
