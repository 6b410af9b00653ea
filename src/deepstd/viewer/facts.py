"""Statements of a file, and what was measured, in words for the page.

FileInfo, VerifyReport ─▶ facts, table of errors, verdict, notes
"""

from __future__ import annotations

from collections.abc import Mapping

from deepstd.container import NO_BUNDLE
from deepstd.reports import FileInfo, VerifyReport, error_in_words

_NAMES = {"mae": "MAE", "max_error": "Largest error", "psnr": "PSNR", "ssim": "SSIM"}


def facts_of(info: FileInfo) -> list[tuple[str, str]]:
    """Return labels and values on a file and its scan."""
    rate = f"{info.ratio:.2f}:1, {info.bpv:.4f} bits per voxel"
    if info.smallest_dtype is not None:
        rate += f" ({info.smallest_ratio:.2f}:1 of {info.smallest_dtype})"
    facts = [
        ("Scan", f"{' × '.join(map(str, info.shape))}, {info.dtype}, from {info.source_format}"),
        ("File", f"{info.file_bytes:,} bytes; {info.stored_bytes:,} bytes of voxels"),
        ("Ratio", rate),
    ]
    if info.exact_bytes:
        facts.append(
            ("Exact part", f"{info.exact_bytes:,} bytes; without it {info.lossy_ratio:.2f}:1")
        )
    if info.bundle != NO_BUNDLE:
        facts.append(("Bundle", f"{info.bundle.name} {info.bundle.version}"))
    if info.asked is not None:
        found, ending = info.asked, _ending(info.asked.measure, info.unit)
        side = "at least" if found.measure in ("psnr", "ssim") else "at most"
        result = f"reached {found.reached:.6g}{ending}" if found.kept else "missed"
        facts.append(
            ("Asked for", f"{_NAMES[found.measure]} {side} {found.value:g}{ending}, {result}")
        )
    return facts


def errors_of(info: FileInfo, report: VerifyReport) -> list[dict[str, str]]:
    """Return a row for each metric: its name, as stated in the file, as measured; "" for none.

    A lossless file has no rows.
    """
    if info.lossless:
        return []
    return [
        {
            "name": name,
            "stated": _in_words(report.stated, key, info),
            "measured": _in_words(report.measured, key, info),
        }
        for key, name in _NAMES.items()
    ]


def verdict_of(
    info: FileInfo, report: VerifyReport, original: str | None, *, exact: bool
) -> tuple[str, bool | None]:
    """Return a sentence on whether the file holds the original, and True, False or, unknown, None.

    Args:
        info: contents of the file.
        report: result of decoding it, and of the comparison if there was an original.
        original: name of the original; None where none was given.
        exact: True where the page shows the scan by both parts of the file.
    """
    if original is None:
        return (
            "The file is whole and decodes as it was encoded. It was not compared with its "
            "original: give it with --against, in Python against=.",
            None,
        )
    if report.as_stated is False:
        return (
            f"The error against {original} is not what the file states: the file was made "
            "of another scan. Keep the original.",
            False,
        )
    if report.as_stated is None:
        return "The file states no errors to compare the measured ones with.", None
    if info.lossless or exact:
        return f"Every voxel is that of {original}.", True
    return (
        f"The error against {original} is the one that the file states: the file was made "
        "of this scan.",
        True,
    )


def _in_words(figures: Mapping[str, float] | None, key: str, info: FileInfo) -> str:
    if figures is None:
        return ""
    value = figures[key]
    if key in ("mae", "max_error"):
        return error_in_words(value, info.slope) + _ending(key, info.unit)
    text = f"{value:.2f} dB" if key == "psnr" else f"{value:.4f}"
    return text.replace("inf", "∞")


def _ending(measure: str, unit: str | None) -> str:
    """Return the unit of a metric with a space before it."""
    if measure == "psnr":
        return " dB"
    return "" if measure == "ssim" or unit is None else f" {unit}"
