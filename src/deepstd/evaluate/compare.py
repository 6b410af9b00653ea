"""Comparison of codecs: every codec on every scan at every ratio, resumable.

    scans × codecs × ratios ─ Worker ─▶ rows ─▶ FOLDER/results.jsonl, pictures/ ─▶ report.html
           one bad case ─▶ a row with the reason; the others go on

A row is identified by the content of its scan, the codec, the size and the requested bundle.
Existing rows are not computed again, except failed ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from deepstd import baselines, preflight
from deepstd.errors import DeepSTDError, InputError, MissingExtraError
from deepstd.evaluate.cases import (
    OUR_CODEC,
    Case,
    ScanFacts,
    Worker,
    blank_row,
    facts,
    name_of,
    run_case,
)
from deepstd.evaluate.rows import FAILED, MISSING, OURS, Row, append, load, mend
from deepstd.evaluate.segmenter import check_command
from deepstd.evaluate.view import View, labels_path, restored_path
from deepstd.io import ScanSource, check_folder, discover
from deepstd.progress import ShowShare

RESULTS, PICTURES, REPORT = "results.jsonl", "pictures", "report.html"
ALL_CODECS = (OUR_CODEC, *baselines.LOSSY, *baselines.LOSSLESS)
"""Codecs of a comparison of all: without the neural ones, which take minutes a scan."""
KNOWN_CODECS = (*ALL_CODECS, *baselines.NEURAL)
_MOST_PICTURED = 4  # scans with pictures
_NEEDED = ("matplotlib", "jinja2", "skimage")
_DIGEST_LETTERS = 16  # hexadecimal digits


@dataclass(frozen=True)
class Request:
    """Settings of a comparison.

    Attributes:
        sources: scans, and folders of scans.
        ratios: compression ratios, stored bytes divided by bytes of the file.
        codecs: names of codecs, from `KNOWN_CODECS`.
        folder: folder for the results.
        model: bundle of DeepSTD by name or folder, or "auto".
        device: device of DeepSTD: "auto", "cpu", "cuda" or "cuda:N".
        segmenter: program that segments originals and restored scans; "" for none.
    """

    sources: tuple[Path, ...]
    ratios: tuple[float, ...]
    codecs: tuple[str, ...]
    folder: Path
    model: str = "auto"
    device: str = "auto"
    segmenter: str = ""

    def __post_init__(self) -> None:
        unknown = [name for name in self.codecs if name not in KNOWN_CODECS]
        if unknown or not self.codecs:
            raise InputError(
                f"unknown codec {', '.join(unknown)}: expected some of {', '.join(KNOWN_CODECS)}"
            )
        if not self.ratios:
            raise InputError("give at least one ratio")
        if self.segmenter:
            check_command(self.segmenter)

    @property
    def pictured_ratio(self) -> float:
        """Ratio at which slices are kept: the median."""
        return sorted(self.ratios)[len(self.ratios) // 2]


def compare(request: Request, progress: ShowShare = lambda text, share: None) -> list[Row]:
    """Run all cases that have no result yet.

    Args:
        request: settings of the comparison.
        progress: called with a sentence and the share done, 0 to 1.

    Returns:
        The rows of all cases, in the order of scans, codecs and ratios.

    Raises:
        InputError: there are no scans, or the folder cannot be written.
        MissingExtraError: a package that the report needs is not installed.
    """
    _check(request)
    files = find_scans(request.sources)
    if not files:
        raise InputError(f"no scans in {', '.join(map(str, request.sources))}")
    _make_folder(request.folder)
    results = request.folder / RESULTS
    mend(results)
    known = {_key(row): row for row in load(results)}
    rows: list[Row] = []
    worker = Worker()
    try:
        for number, (file, digest) in enumerate(files.items()):
            run = _ScanRun(request, file, digest, number < _MOST_PICTURED, known, worker)
            for row in run.rows(
                lambda text, share, n=number: progress(text, (n + share) / len(files))
            ):
                rows.append(row)
                if row.status != MISSING and known.get(_key(row)) is not row:
                    append(row, results)
    finally:
        worker.close()
    return rows


def _check(request: Request) -> None:
    """Check packages, sources, folder, bundle and device before the slow search for scans."""
    missing = [module for module in _NEEDED if find_spec(module) is None]
    if missing:
        raise MissingExtraError(
            f'reports need {", ".join(missing)}: pip install "deepstd[evaluate]"'
        )
    preflight.check_sources(request.sources)
    check_folder(request.folder)
    if OUR_CODEC in request.codecs:
        preflight.check_bundle(request.model)
        preflight.check_devices(request.device)


def find_scans(sources: Sequence[Path]) -> dict[ScanSource, str]:
    """Find scans and their digests; of scans with the same content, the first.

    Raises:
        InputError: a source is missing or cannot be read.
    """
    digests: dict[str, ScanSource] = {}
    for source in sources:
        for scan in discover(source).scans:
            digests.setdefault(_digest(scan), scan)
    return {scan: digest for digest, scan in digests.items()}


@dataclass(frozen=True)
class _ScanRun:
    """All cases of one scan."""

    request: Request
    scan: ScanSource
    digest: str
    pictured: bool
    known: dict[tuple[str, ...], Row]
    worker: Worker

    def rows(self, progress: ShowShare) -> Iterator[Row]:
        progress(f"{self.scan.label}: reading", 0.0)
        try:
            scan = self.worker.run(facts, self.scan)
        except Exception as error:
            unread = Row(self.scan.label, "", "", 0, digest=self.digest)
            yield replace(unread, status=FAILED, note=_reason(error))
            return
        cases = list(self._cases())
        view: View | None = None
        for number, case in enumerate(cases):
            share = number / len(cases)
            text = f"{self.scan.label}: {name_of(case.codec)}"
            progress(text if case.ratio is None else f"{text}, {case.ratio:g}×", share)
            pictures = self.request.folder / PICTURES
            wanted = self.pictured and case.ratio == self.request.pictured_ratio
            case = replace(case, pictures=pictures if wanted else None, view=view)
            row = self._row(case, scan)
            if view is None and row.view:
                view = View(**row.view)
            yield row

    def _cases(self) -> Iterator[Case]:
        # DeepSTD is first, as all pictures show the region of its largest error.
        for codec in sorted(self.request.codecs, key=KNOWN_CODECS.index):
            ratios = (None,) if codec in baselines.LOSSLESS else self.request.ratios
            for ratio in ratios:
                case = Case(self.scan, codec, ratio, self.request.model, self.request.device)
                yield case if ratio is None else replace(case, segmenter=self.request.segmenter)

    def _row(self, case: Case, scan: ScanFacts) -> Row:
        blank = blank_row(case, scan, self.digest)
        old = self.known.get(_key(blank))
        if old is not None and old.status != FAILED and _has_all(case, old):
            return old
        reason = None if case.codec == OUR_CODEC else baselines.missing(case.codec)
        if reason is not None:
            return replace(blank, status=MISSING, note=reason)
        try:
            return self.worker.run(run_case, case, blank)
        except Exception as error:  # a failing codec must not stop the others
            return replace(blank, status=FAILED, note=_reason(error))


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, DeepSTDError) else f"{type(error).__name__}: {error}"


def _has_all(case: Case, row: Row) -> bool:
    """Return True where an existing row has the labels and the picture that a case asks for."""
    if row.nbytes is None:
        return True
    if case.segmenter and row.segmenter != case.segmenter:
        return False
    if case.pictures is None:
        return True
    if case.segmenter and not labels_path(case.pictures, row).is_file():
        return False
    same_view = case.view is None or row.view == vars(case.view)
    return bool(row.view) and same_view and restored_path(case.pictures, row).is_file()


def _key(row: Row) -> tuple[str, ...]:
    model = row.model if row.codec == OURS else ""
    return row.digest, row.codec, row.target, str(row.allowed), model


def _digest(scan: ScanSource) -> str:
    digest = hashlib.sha256()
    for item in scan.items:
        try:
            digest.update(item.digest())
        except OSError as error:
            raise InputError(f"{item.label}: cannot be read: {error.strerror}") from error
    digest.update((scan.series or "").encode())
    return digest.hexdigest()[:_DIGEST_LETTERS]


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made: {error.strerror}") from error
