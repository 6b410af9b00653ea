"""One scan, codec and size, run in a separate process that a crashing codec may end.

    file ─ io.read ─▶ Volume, Yardstick ┐
    codec, size ────────────────────────┴─ encode, decode, measure ─▶ Row, pictures of one slice

The last scan and its known sizes are cached, as the cases of a scan follow each other.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from deepstd import baselines, io
from deepstd.errors import InputError, RateError
from deepstd.evaluate.figures import Yardstick
from deepstd.evaluate.rows import CANNOT, LOSSLESS, OK, OURS, Row
from deepstd.evaluate.segmenter import fullest_slice, overlaps, segment
from deepstd.evaluate.view import View, keep_labels, keep_slice, worst_view
from deepstd.io import ScanSource
from deepstd.rate.target import Target
from deepstd.volume import Volume

OUR_CODEC = "deepstd"
_DIGITS = 6  # decimals of results
_T = TypeVar("_T")


@dataclass(frozen=True)
class Case:
    """One scan to compress with one codec at one size.

    Attributes:
        source: the scan.
        codec: name of the codec on the command line.
        ratio: compression ratio, stored bytes divided by bytes of the file; None if lossless.
        model: bundle of DeepSTD by name or folder, or "auto".
        device: device of DeepSTD: "auto", "cpu", "cuda" or "cuda:N".
        pictures: folder for the restored slice; None for no picture.
        view: slice and region to show; None for the region with the largest error.
        segmenter: program that segments original and restored scan; "" for none.
    """

    source: ScanSource
    codec: str
    ratio: float | None
    model: str = ""
    device: str = "cpu"
    pictures: Path | None = None
    view: View | None = None
    segmenter: str = ""


@dataclass(frozen=True)
class ScanFacts:
    """Number of voxels and stored bytes of a scan, and definitions of its metrics."""

    voxels: int
    stored_bytes: int
    definitions: dict[str, str]


class Worker:
    """A process that runs functions one after another; a crashed process is replaced."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None

    def run(self, function: Callable[..., _T], *arguments: Any) -> _T:
        """Run a picklable function in the process, and return its result.

        Raises:
            InputError: the process died.
            Exception: the error that the function raised.
        """
        if self._pool is None:
            self._pool = ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn"))
        try:
            return self._pool.submit(function, *arguments).result()
        except BrokenProcessPool as error:
            self.close()
            raise InputError("the process was killed or crashed inside the codec") from error

    def close(self) -> None:
        """End the process."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None


def facts(source: ScanSource) -> ScanFacts:
    """Read a scan and return its size and metric definitions.

    Raises:
        InputError: the scan cannot be read.
    """
    scan = _scan(source)
    return ScanFacts(
        scan.volume.voxels.size, scan.volume.nbytes, dict(scan.yardstick.definitions())
    )


def blank_row(case: Case, scan: ScanFacts, digest: str) -> Row:
    """Return the row of a case before it is run."""
    ours = case.codec == OUR_CODEC
    allowed = scan.stored_bytes
    if case.ratio is not None:
        allowed = Target(ratio=case.ratio).bytes_for(scan.voxels, scan.stored_bytes)
    return Row(
        case.source.label,
        OURS if ours else name_of(case.codec),
        LOSSLESS if case.ratio is None else f"{case.ratio:g}×",
        allowed,
        digest=digest,
        model=case.model if ours else "",
        voxels=scan.voxels,
        stored_bytes=scan.stored_bytes,
        definitions=scan.definitions,
    )


def name_of(codec: str) -> str:
    """Return a codec's name in tables."""
    if codec == OUR_CODEC:
        return OURS
    return baselines.title(codec)


def run_case(case: Case, blank: Row) -> Row:
    """Encode, decode and measure one case.

    Args:
        case: scan, codec and size.
        blank: row of the case without results.

    Returns:
        The row with results; its status is "cannot" where the codec cannot reach the size.
    """
    scan = _scan(case.source)
    try:
        row, restored = _answer(case, blank, scan)
    except RateError as error:
        return replace(blank, status=CANNOT, note=str(error))
    figures = {k: _rounded(v) for k, v in asdict(scan.yardstick.measure(restored)).items()}
    row = replace(row, status=OK, **figures)
    if row.target == LOSSLESS and row.max_error != 0:
        row = replace(row, note="not exact")
    elif row.shortfall:
        row = replace(row, note=row.shortfall)
    if case.pictures is not None:
        view = case.view or worst_view(scan.volume.voxels, restored)
        keep_slice(case.pictures, row, scan.volume, restored, view)
        row = replace(row, view=asdict(view))
    return _segmented(case, row, scan, restored) if case.segmenter else row


def _answer(case: Case, blank: Row, scan: _Scan) -> tuple[Row, np.ndarray]:
    voxels = scan.volume.voxels
    if case.codec == OUR_CODEC:
        from deepstd.evaluate import ours

        done = ours.run(scan.volume, Target(ratio=case.ratio), case.model, case.device)
        row = replace(
            blank,
            nbytes=done.nbytes,
            encode_s=_rounded(done.encode_s),
            decode_s=_rounded(done.decode_s),
            shape=done.field_kept,
            note=f"bundle {done.bundle}",
            parts={name: round(seconds, 4) for name, seconds in done.parts.items()},
        )
        return row, done.restored
    if case.ratio is None:
        result = baselines.encode_exactly(baselines.LOSSLESS[case.codec], voxels)
    else:
        known = scan.known.setdefault(case.codec, {})
        result = baselines.encode_at(case.codec, voxels, blank.allowed, known)
    row = replace(
        blank,
        nbytes=result.nbytes,
        encode_s=_rounded(result.encode_s),
        decode_s=_rounded(result.decode_s),
    )
    return row, result.restored


def _segmented(case: Case, row: Row, scan: _Scan, restored: np.ndarray) -> Row:
    before = scan.labels.get(case.segmenter)
    if before is None:
        before = segment(case.segmenter, scan.volume, scan.volume.voxels)
        scan.labels[case.segmenter] = before
    after = segment(case.segmenter, scan.volume, restored)
    if case.pictures is not None:
        part = fullest_slice(before)
        keep_labels(case.pictures, row, scan.volume, before, after, part)
    found = overlaps(before, after, scan.volume.affine)
    return replace(row, segmenter=case.segmenter, overlaps=found)


@dataclass(frozen=True)
class _Scan:
    volume: Volume
    yardstick: Yardstick
    known: dict[str, dict[float, int]]
    labels: dict[str, np.ndarray]


@functools.lru_cache(maxsize=1)
def _scan(source: ScanSource) -> _Scan:
    volume = io.read_scan(source)
    return _Scan(volume, Yardstick.of(volume), {}, {})


def _rounded(value: float) -> float:
    return round(float(value), _DIGITS)
