"""Output of the command line: results to stdout, everything else to stderr.

report ─ lines, table, JSON ─▶ stdout
steps of a long command ─ Progress ─▶ stderr: a live line on a terminal, occasional lines elsewhere

Names of files may hold line breaks and codes that drive a terminal. They are shown escaped.
"""

from __future__ import annotations

import json
import math
import sys
import threading
import time
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

import typer

from deepstd.errors import InputError

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

_GAP = "  "
_QUIET_SECONDS = 5.0
_HEARTBEAT_SECONDS = 30.0
_TICK_SECONDS = 0.5
_BREAKS = "\n\t"  # of our own, between lines and words
# Unicode's control, format and surrogate characters, and separators of lines and paragraphs.
_ESCAPED = ("Cc", "Cf", "Cs", "Zl", "Zp")


def escaped(text: str, besides: str = "") -> str:
    r"""Return text of one line, with control characters such as \n and \x1b as in Python.

    Args:
        text: a name or a sentence.
        besides: characters that stay as they are.
    """
    hidden = _hidden(text, besides)
    escapes = {sign: sign.encode("unicode_escape").decode() for sign in hidden}
    return text.translate(str.maketrans(escapes))


def result(text: str, *, aside: bool = False) -> None:
    """Print a result to stdout.

    Args:
        text: one or more lines, in which names are escaped.
        aside: print to stderr, where stdout takes a file.

    Raises:
        InputError: stdout cannot be written.
    """
    text = escaped(text, _BREAKS)
    if aside:
        typer.echo(text, err=True)
        return
    if sys.stdout is None or sys.stdout.closed:
        raise InputError("standard output is closed, so the result cannot be shown")
    try:
        typer.echo(text)
    except BrokenPipeError:  # the reader has closed the pipe: no error of ours
        raise
    except OSError as error:
        raise InputError(
            f"standard output: cannot be written ({error.strerror or error})"
        ) from error


def note(text: str) -> None:
    """Print a message of one line that is no result to stderr."""
    typer.echo(escaped(text), err=True)


def notes(texts: Iterable[str]) -> None:
    """Print notes on a scan to stderr, one per line."""
    for text in texts:
        note(f"note: {text}")


def result_json(values: Any) -> None:
    """Print a result as JSON to stdout."""
    result(as_json(values))


def as_json(values: Any) -> str:
    """Format values as JSON; NaN and infinities, which JSON lacks, become null."""
    text = json.dumps(_plain(values), indent=2, ensure_ascii=False, allow_nan=False)
    escapes = {sign: json.dumps(sign)[1:-1] for sign in _hidden(text, _BREAKS)}
    return text.translate(str.maketrans(escapes))


def _hidden(text: str, besides: str) -> set[str]:
    odd = {sign for sign in text if not sign.isprintable()}.difference(besides)
    return {sign for sign in odd if unicodedata.category(sign) in _ESCAPED}


def _plain(values: Any) -> Any:
    if isinstance(values, Mapping):
        return {str(key): _plain(value) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [_plain(value) for value in values]
    if isinstance(values, float) and not math.isfinite(values):
        return None
    return values


def pairs(entries: Sequence[tuple[str, str]]) -> str:
    """Format labels and values in two columns."""
    entries = [(escaped(label), escaped(value)) for label, value in entries]
    width = max(len(label) for label, _ in entries)
    return "\n".join(f"{label:<{width}}{_GAP}{value}" for label, value in entries)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a table with left-aligned columns below their heads."""
    rows = [[escaped(cell) for cell in row] for row in rows]
    widths = [max(len(row[n]) for row in (head, *rows)) for n in range(len(head))]
    lines = []
    for row in (head, ["-" * width for width in widths], *rows):
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        lines.append(_GAP.join(cells).rstrip())
    return "\n".join(lines)


def reason(name: str, why: str) -> str:
    """Format a name and a sentence about it on one line."""
    return escaped(f"{name}: {' '.join(why.split())}")


def reasons(title: str, found: Mapping[str, str], most: int) -> list[str]:
    """Format the first few names and sentences below a title; none where there are none."""
    if not found:
        return []
    shown = list(found.items())[:most]
    lines = [f"{title}:", *(f"  {reason(name, why)}" for name, why in shown)]
    if len(shown) < len(found):
        lines.append(f"  … and {len(found) - len(shown)} more")
    return lines


def figures(quality: Mapping[str, float], slope: float, unit: str | None) -> str:
    """Format the four error metrics of a restored scan.

    Args:
        quality: "mae" and "max_error" in real-world units, "psnr" in dB, and "ssim".
        slope: real-world units per stored unit.
        unit: unit of the real-world values, None where it is unknown.
    """
    from deepstd.reports import error_in_words  # not at the top: it imports NumPy

    ending = "" if unit is None else f" {unit}"
    errors = f"MAE {error_in_words(quality['mae'], slope)}{ending}, "
    errors += f"largest {error_in_words(quality['max_error'], slope)}{ending}"
    if unit is None and slope != 1:
        errors += f" (stored values × {slope:.6g})"
    return f"{errors}, PSNR {quality['psnr']:.2f} dB, SSIM {quality['ssim']:.4f}"


def asked(values: Mapping[str, Any] | None, unit: str | None) -> list[tuple[str, str]]:
    """Format a line on the quality that was asked for; none where none was.

    Args:
        values: "measure", "value", "reached" and "kept" of `deepstd.reports.Asked`, or None.
        unit: unit of the real-world values, None where it is unknown.
    """
    if values is None:
        return []
    ending = f" {unit}" if unit is not None else ""
    name, side, ending = {
        "psnr": ("PSNR", "at least", " dB"),
        "ssim": ("SSIM", "at least", ""),
        "mae": ("MAE", "at most", ending),
        "max_error": ("largest error", "at most", ending),
    }[values["measure"]]
    result = f"reached {values['reached']:.6g}{ending}" if values["kept"] else "missed"
    return [("asked for", f"{name} {side} {values['value']:g}{ending}, {result}")]


def layers(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Format a line on both parts of a layered file; none for other files.

    Args:
        report: values by the keys "file_bytes", "exact_bytes" and "lossy_ratio".
    """
    if not report["exact_bytes"]:
        return []
    lossy = size(report["file_bytes"] - report["exact_bytes"])
    exact = size(report["exact_bytes"])
    return [
        ("parts", f"lossy {lossy}, ratio {report['lossy_ratio']:.2f}; {exact} more to exact"),
    ]


def rate(report: Mapping[str, Any]) -> str:
    """Format compression ratio and bits per voxel of a file.

    Args:
        report: values by the keys "ratio", "bpv", "smallest_dtype" and "smallest_ratio". The last
            two are None unless a smaller type than the stored one holds every voxel.
    """
    text = f"ratio {report['ratio']:.2f}"
    if report["smallest_dtype"] is not None:
        text += f" ({report['smallest_ratio']:.2f} of {report['smallest_dtype']})"
    return f"{text}, {report['bpv']:.4f} bpv"


def size(nbytes: int) -> str:
    """Format bytes with separated thousands."""
    return f"{nbytes:,} bytes"


class Progress:
    """Progress of a long command; call it with a sentence and, where known, the share done.

    On a terminal one line is updated in place, with a bar if ``bar``. Elsewhere a line is written
    after a change, at most every 5 seconds, and at least every 30 seconds.
    """

    def __init__(self, title: str, *, bar: bool = False) -> None:
        self._bar = bar
        self._text, self._share = escaped(title), 0.0
        self._began = time.monotonic()
        self._written_at = -math.inf
        self._is_new = True
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._writer: threading.Thread | None = None
        self._rich: RichProgress | None = None

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            self._rich = _rich_progress(self._bar)
            self._rich.add_task(self._text, total=1.0 if self._bar else None)
            self._rich.start()
        else:
            self._writer = threading.Thread(target=self._write_now_and_then, daemon=True)
            self._writer.start()
        return self

    def __call__(self, text: str, share: float | None = None) -> None:
        """Report the current step, and the share done, 0 to 1, where known."""
        text = escaped(text)
        with self._lock:
            self._text, self._is_new = text, True
            self._share = self._share if share is None else max(share, self._share)
        if self._rich is not None:
            task = self._rich.task_ids[0]
            self._rich.update(task, description=text, completed=self._share if self._bar else None)
            if self._bar:
                self._rich.console.print(text, markup=False, highlight=False)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._rich is not None:
            self._rich.stop()
        self._done.set()
        if self._writer is not None:
            self._writer.join()

    def _write_now_and_then(self) -> None:
        while not self._done.wait(_TICK_SECONDS):
            wait = _QUIET_SECONDS if self._is_new else _HEARTBEAT_SECONDS
            if time.monotonic() - self._written_at >= wait:
                self._write()
        if self._is_new and self._bar:
            self._write()

    def _write(self) -> None:
        with self._lock:
            text, share, self._is_new = self._text, self._share, False
        now = time.monotonic()
        self._written_at = now
        done = f" {100 * share:3.0f} %" if self._bar else ""
        note(f"[{now - self._began:5.0f} s{done}] {text}")


def _rich_progress(bar: bool) -> RichProgress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    text = TextColumn("{task.description}", markup=False)
    columns = [SpinnerColumn(), text, *([BarColumn()] if bar else []), TimeElapsedColumn()]
    return Progress(*columns, console=Console(stderr=True), transient=True)
