"""What a run has to do, given what earlier runs did.

scans ─ shard ─▶ ours ─┬─ the ledger says so, source and output as then ─▶ finished
                       ├─ output that no line tells of, killed before it ─ compare ─▶ recovered
                       ├─ output of another origin ─▶ refused
                       └─ all others: none, cut off, or the scan was changed ─▶ to compress

Planning reads and changes nothing.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from deepstd import io
from deepstd.batch.ledger import Past, Row
from deepstd.container import Container
from deepstd.effort import NORMAL
from deepstd.errors import DeepSTDError, InputError, TruncatedError
from deepstd.inspection import quality_of, read_container
from deepstd.io import Metadata
from deepstd.rate import Target
from deepstd.volume import Volume

IN_THE_WAY = (
    "there is a file already where the output belongs, and this command did not write it. "
    "Move it away, or allow to overwrite it"
)
# Less of the allowed bytes than files fill, even the smallest.
_LEAST_FILL = 0.97


@dataclass(frozen=True)
class Request:
    """What is asked of every scan.

    Attributes:
        target: the size.
        model: bundle as the ledger names it: "auto", or name, version and hash.
        effort: "fast", "normal" or "best".
        metadata: which information beside voxels and geometry is stored.
    """

    target: Target
    model: str
    effort: str = NORMAL
    metadata: Metadata = Metadata.DEIDENTIFIED

    @property
    def described(self) -> dict[str, Any]:
        """Plain values, equal where the same is asked."""
        target = self.target
        size = {"ratio": target.ratio, "bpv": target.bpv, "max_bytes": target.max_bytes}
        return {
            **{k: v for k, v in size.items() if v is not None},
            "model": self.model,
            "effort": self.effort,
            "metadata": str(self.metadata),
        }

    @staticmethod
    def told(row: Row) -> dict[str, Any] | None:
        """What a ledger's line says was asked; None where it does not say it.

        Lines of earlier releases leave out what could not be chosen then.
        """
        asked = row.get("request")
        if not isinstance(asked, dict):
            return None
        first = {"effort": NORMAL, "metadata": str(Metadata.DEIDENTIFIED)}
        return {**asked, **{key: first[key] for key in first if key not in asked}}


@dataclass(frozen=True)
class Case:
    """One scan to compress.

    Attributes:
        scan: its files.
        root: folder that was searched.
        state: changes with the sizes and times of its files, and tells neither.
        attempts: how often it was tried before.
        replaces: whether its output may be replaced.
    """

    scan: io.ScanSource
    root: Path
    state: str
    attempts: int = 0
    replaces: bool = False

    @property
    def name(self) -> str:
        """Name of the scan, which names the output too."""
        return self.scan.name

    @property
    def source(self) -> str:
        """The file below the folder that was searched, or the name where there are several."""
        files = self.scan.files
        return files[0].relative_to(self.root).as_posix() if len(files) == 1 else self.name

    def read(self, metadata: Metadata) -> Volume:
        """The scan with so much of its metadata; raises as `deepstd.io.read`."""
        return io.read(self.scan.files, series=self.scan.series, metadata=metadata)

    def facts(self) -> Row:
        """The part of a ledger's line that is known before the work."""
        return {
            "name": self.name,
            "source": self.source,
            "files": len(self.scan.files),
            "source_bytes": self.scan.nbytes,
            "source_state": self.state,
        }

    def without_root(self, text: str) -> str:
        """A message without the name of the file, and without where the folder lies."""
        for path in self.scan.files:
            text = text.removeprefix(f"{path}: ")
        return text.replace(str(self.root) + os.sep, "")


@dataclass
class Plan:
    """What is to be done, and what is not.

    Attributes:
        cases: to compress.
        finished: ledger lines of scans that are done.
        recovered: scans that are done, with what their line lacks.
        refused: scans whose output would replace a file of another origin.
    """

    cases: list[Case] = field(default_factory=list)
    finished: list[Row] = field(default_factory=list)
    recovered: list[tuple[Case, Row]] = field(default_factory=list)
    refused: list[Case] = field(default_factory=list)


def output_of(folder: Path, name: str) -> Path:
    """Where the compressed scan of a name belongs."""
    return folder / f"{name}.dstd"


def make_plan(
    scans: Iterable[io.ScanSource],
    root: Path,
    output: Path,
    request: Request,
    past: Mapping[str, Past] | None,
    *,
    overwrite: bool = False,
) -> Plan:
    """Sort scans by what is left to do for them.

    Args:
        scans: those of this run.
        root: the folder in which they were found.
        output: folder of the outputs.
        request: what is asked of each.
        past: what the ledgers in ``output`` say, or None where there is none.
        overwrite: whether outputs of another request, or of another origin, may be replaced.

    Raises:
        InputError: outputs were made with another request and must not be replaced.
    """
    plan = Plan()
    for scan in scans:
        known = (past or {}).get(scan.name, Past(None, 0, False))
        case = Case(scan, root, _state(scan), known.attempts)
        target = output_of(output, scan.name)
        done = known.done if os.path.lexists(target) else None
        if done is not None:
            told = Request.told(done)
            if told != request.described and not overwrite:
                raise InputError(
                    f"{output}: holds scans that were compressed with another request "
                    f"({_in_words(told)}; now {_in_words(request.described)}). "
                    "Choose another folder, or allow to overwrite them"
                )
            nbytes = done.get("file_bytes")
            as_written = _has_size(target, nbytes)
            same = told == request.described and done.get("source_state") == case.state
            if as_written and same:
                plan.finished.append(done)
                continue
            if as_written or _is_cut_off(target, nbytes):
                plan.cases.append(replace(case, replaces=True))
                continue
        if overwrite or not os.path.lexists(target):
            plan.cases.append(replace(case, replaces=overwrite))
        elif past is None or known.refused or (found := _recovered(case, target, request)) is None:
            plan.refused.append(case)
        else:
            plan.recovered.append((case, found))
    return plan


def figures_of(container: Container) -> Row:
    """What a ledger's line says of an output."""
    head = container.head
    quality = quality_of(container) or {}
    return {
        "format": head.source_format,
        "dtype": head.dtype.newbyteorder("=").name,
        "voxels": head.voxel_count,
        "stored_bytes": head.stored_bytes,
        "file_bytes": container.nbytes,
        "ratio": head.stored_bytes / container.nbytes,
        "bpv": 8 * container.nbytes / head.voxel_count,
        "bundle": f"{head.bundle.name} {head.bundle.version}",
        **quality,
    }


def _recovered(case: Case, target: Path, request: Request) -> Row | None:
    """Figures of an output that is what the case would give; None where it is something else."""
    try:
        container = read_container(target)
        head = container.head
        allowed = request.target.bytes_for(head.voxel_count, head.stored_bytes)
        made_by = model_of(head.bundle.name, head.bundle.version, head.bundle.digest)
        if not _LEAST_FILL * allowed <= container.nbytes <= allowed:
            return None
        if request.model not in ("auto", made_by):
            return None
        # What else a header says must be what is asked for: it may tell who the patient is.
        volume = io.with_own_header(case.read(request.metadata))
        kept = container.source_header()
    except DeepSTDError:
        return None
    scanned = volume.shape, volume.voxels.dtype, volume.source
    return figures_of(container) if scanned == (head.shape, head.dtype, kept) else None


def model_of(name: str, version: str, digest: bytes) -> str:
    """How a ledger names a bundle; the first 8 bytes of its hash are enough."""
    return f"{name} {version} {digest[:8].hex()}"


def _state(scan: io.ScanSource) -> str:
    facts = []
    for path in scan.files:
        try:
            about = path.stat()
        except OSError:
            continue
        facts.append((path.name, about.st_size, about.st_mtime_ns))
    # A time may be a patient's date.
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def _has_size(path: Path, nbytes: object) -> bool:
    try:
        return path.is_file() and path.stat().st_size == nbytes
    except OSError:
        return False


def _is_cut_off(path: Path, nbytes: object) -> bool:
    """Whether a file is the first part of an output, whose end was lost with the power, say."""
    try:
        if not isinstance(nbytes, int) or path.stat().st_size > nbytes:
            return False
        read_container(path)
    except TruncatedError:
        return True
    except (DeepSTDError, OSError):
        return False
    return False


def _in_words(request: Mapping[str, Any] | None) -> str:
    if request is None:
        return "unknown"
    return ", ".join(f"{str(key).replace('_', '-')} {value}" for key, value in request.items())
