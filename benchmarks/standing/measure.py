"""Measuring what is not known yet, each case in a process of its own.

studies × competitors × scans × rates ─ what is not known ─ Worker ─▶ rows ─▶ results/*.json
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.standing.competitors import Competitor, Ours, competitors, size_name
from benchmarks.standing.page import StudyResults, open_study
from benchmarks.standing.results import this_run
from benchmarks.standing.studies import RATES, STUDIES, Scan
from deepstd.errors import DeepSTDError, RateError
from deepstd.evaluate.cases import Worker
from deepstd.evaluate.rows import CANNOT, FAILED, Row
from deepstd.quality import mae, max_error, psnr, ssim
from deepstd.rate.target import Target

logger = logging.getLogger("standing")


@dataclass(frozen=True)
class Case:
    """One codec on one scan at one size."""

    study: str
    scan: str
    competitor: Competitor
    target: Target | None

    @property
    def key(self) -> tuple[str, str, str]:
        """Of its row."""
        return self.scan, self.competitor.name, size_name(self.target)


@dataclass(frozen=True)
class Asked:
    """What the command line asked for.

    Attributes:
        data: folder of the scans.
        studies: names.
        codecs: only these; empty for all.
        again: those that are measured anew.
        bundle: instead of the studies' own.
        limit: number of scans of each study.
    """

    data: Path
    studies: tuple[str, ...]
    codecs: frozenset[str]
    again: frozenset[str]
    bundle: str | None
    limit: int | None

    @property
    def keeps(self) -> bool:
        """Whether this is not a trial."""
        return self.bundle is None and self.limit is None

    def cases(self) -> list[Case]:
        """All of them, quick codecs of every study before the slow ones."""
        found = [
            Case(name, scan, competitor, target)
            for name in self.studies
            for competitor in self._competitors(name)
            for scan in competitor.scans(STUDIES[name])[: self.limit]
            for target in ((None,) if competitor.lossless else RATES)
        ]
        return sorted(found, key=lambda case: case.competitor.cost)

    def _competitors(self, study: str) -> Iterator[Competitor]:
        for competitor in competitors(STUDIES[study]):
            if self.codecs and competitor.key not in self.codecs:
                continue
            if reason := competitor.missing():
                logger.info("%s: %s", competitor.name, reason)
                continue
            if self.bundle and isinstance(competitor, Ours):
                competitor = replace(competitor, bundle=self.bundle)
            yield competitor


def measure(asked: Asked) -> dict[str, StudyResults]:
    """Run what is not answered yet."""
    found = {name: open_study(name) for name in asked.studies}
    waiting = [case for case in asked.cases() if _is_open(case, found[case.study], asked)]
    logger.info("%d cases", len(waiting))
    worker, today = Worker(), this_run()
    try:
        for number, case in enumerate(waiting, 1):
            results = found[case.study]
            try:
                row = worker.run(run, case, asked.data)
            except DeepSTDError as error:
                row = Row(*case.key, 0, model=case.competitor.model, status=FAILED, note=str(error))
            results.add(row, today)
            logger.info("%d %s %s %s: %s dB %s", number, *case.key, row.psnr, row.note)
            if asked.keeps:
                results.save()
    finally:
        worker.close()
    return found


def run(case: Case, data: Path) -> Row:
    """Compress, restore and measure, in a process that a codec may take down with it.

    Returns:
        the row; without figures where the codec has no file that small.
    """
    study, codec = STUDIES[case.study], case.competitor
    scan = _read(data, case.scan)
    original = scan.volume.voxels
    stored = scan.volume.nbytes
    allowed = case.target.bytes_for(original.size, stored) if case.target else stored
    row = Row(*case.key, allowed, model=codec.model, voxels=original.size, stored_bytes=stored)
    try:
        answer = codec.answer(scan, case.target)
    except RateError as error:
        return replace(row, status=CANNOT, note=str(error))
    peak = study.peak(original)
    row = replace(row, nbytes=answer.nbytes)
    return replace(
        row,
        note=row.shortfall,
        mae=round(mae(original, answer.restored), 6),
        max_error=round(max_error(original, answer.restored), 6),
        psnr=round(psnr(original, answer.restored, peak=peak), 4),
        ssim=round(ssim(original, answer.restored, data_range=peak), 6),
        encode_s=round(answer.encode_s, 4),
        decode_s=round(answer.decode_s, 4),
        shape=answer.shape,
    )


def _is_open(case: Case, results: StudyResults, asked: Asked) -> bool:
    if case.key not in results.rows or case.competitor.key in asked.again:
        return True
    row, _ = results.rows[case.key]
    return row.status == FAILED or row.model != case.competitor.model


@functools.lru_cache(maxsize=1)
def _read(data: Path, name: str) -> Scan:
    return Scan.read(data, name)
