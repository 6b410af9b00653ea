"""Check of one file after another, in a process of its own.

CheckCase ─ SHA-256 ─┬ a side-car ─ bytes of the source ─▶ Outcome
                     └ a compressed scan ─ parse ─ decode, compare ─▶ Outcome
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from deepstd import io, verification
from deepstd.batch.case import voxel_digest
from deepstd.batch.dataset.sums import digest_of_file
from deepstd.batch.models import model_for
from deepstd.batch.work import Outcome, in_words
from deepstd.codec.restoring import restored
from deepstd.errors import DamagedError, InputError
from deepstd.inspection import read_container
from deepstd.io.dicom import Item
from deepstd.threads import limit_process, wait_passively


@dataclass(frozen=True)
class CheckCase:
    """One file to check.

    Attributes:
        name: path below the data set.
        path: the file.
        is_scan: it is a compressed scan.
        nbytes: its size in bytes.
        state: text that changes with the file and with its original.
        digest: SHA-256 that it must have; None where none is stated.
        voxels: SHA-256 that its exact voxels must have; None where none is stated.
        scan: the original scan, to compare with.
        source: the original of a side-car, to compare with.
    """

    name: str
    path: Path
    is_scan: bool
    nbytes: int
    state: str
    digest: str | None = None
    voxels: str | None = None
    scan: io.ScanSource | None = None
    source: Item | None = None


class Checker:
    """Worker that checks files.

    Args:
        decode: compressed scans are decoded, also where no original is given.
        model: bundle for the files that were written with it; "auto" to find each.
        device: "auto", "cpu", "cuda" or "cuda:N".
    """

    def __init__(self, decode: bool, model: str, device: str) -> None:
        self._decode, self._model, self._device = decode, model, device

    def start(self, threads: int) -> str | None:
        """Set the threads of computations."""
        wait_passively()
        limit_process(threads)
        return None

    def run(self, case: CheckCase) -> Outcome:
        """Check one file; a problem is the error of the outcome."""
        began = time.monotonic()
        try:
            self._check(case)
        except Exception as error:  # one bad file, of whatever kind, does not stop the rest
            message = in_words(error).replace(f"{case.path}: ", "").replace(str(case.path), "it")
            return Outcome(time.monotonic() - began, error=message)
        return Outcome(time.monotonic() - began)

    def _check(self, case: CheckCase) -> None:
        if case.digest is not None and digest_of_file(case.path) != case.digest:
            raise DamagedError("changed: its SHA-256 is not the one in SHA256SUMS")
        if case.source is not None and case.source.digest().hex() != digest_of_file(case.path):
            raise DamagedError("differs from the original")
        if not case.is_scan:
            return
        container = read_container(case.path)
        model = model_for(container, self._model)
        if case.scan is not None:
            self._compare(case, case.scan, model)
        elif self._decode:
            volume = restored(container, model, self._device)
            if case.voxels is not None and voxel_digest(volume.voxels) != case.voxels:
                raise DamagedError("its voxels are not those whose SHA-256 deepstd.tsv states")

    def _compare(self, case: CheckCase, scan: io.ScanSource, model: str) -> None:
        """Decode a scan and compare it with its original.

        Raises:
            InputError: it was made of another scan, or the original cannot be read.
        """
        original = io.read_scan(scan, io.Metadata.NONE) if scan.members else list(scan.files)
        series = None if scan.members else scan.series
        report = verification.verify(
            case.path, against=original, series=series, model=model, device=self._device
        )
        if report.as_stated is False:
            raise InputError(
                f"its error against {scan.label} is not the one that it states: it was made of "
                "another scan"
            )
