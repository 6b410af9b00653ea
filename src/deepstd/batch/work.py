"""Compression of one case after another, in a process that loads its bundle once.

Case ─ read ─▶ Volume ─ encode ─▶ Outcome: the bytes of a .dstd file, or what went wrong
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from deepstd.batch.case import Case, Request, fingerprint, voxel_digest
from deepstd.batch.ledger import Row
from deepstd.batch.misses import OnMiss, fields
from deepstd.container import parse
from deepstd.errors import OUT_OF_MEMORY, DeepSTDError, RateError, is_out_of_memory
from deepstd.inspection import figures_of
from deepstd.progress import Progress
from deepstd.rate.target import Target
from deepstd.threads import limit_process, wait_passively
from deepstd.volume import Volume

if TYPE_CHECKING:
    from deepstd.codec.choice import Chosen
    from deepstd.codec.codec import Codec
    from deepstd.findings import Familiarity

AUTO = "auto"


@dataclass(frozen=True)
class Outcome:
    """The result of a case.

    Attributes:
        seconds: duration.
        data: bytes of the .dstd file; None where the case failed, and where no such file is made.
        figures: fields of the ledger that describe the result.
        error: error message without the path of the searched folder, or None.
    """

    seconds: float
    data: bytes | None = None
    figures: dict[str, Any] = field(default_factory=dict)
    error: str | None = None


class Named(Protocol):
    """A case of any kind of work."""

    @property
    def name(self) -> str:
        """Name that no other case has."""
        ...


Task = TypeVar("Task", bound=Named)
_Given = TypeVar("_Given", bound=Named, contravariant=True)


class Worker(Protocol[_Given]):
    """The object that an executor sends to its processes; it can be pickled before `start`."""

    def start(self, threads: int) -> str | None:
        """Load the model; return the reason where no case can be compressed, else None.

        Args:
            threads: threads of each computation.
        """
        ...

    def run(self, case: _Given) -> Outcome:
        """Work on one case; errors are returned in the outcome."""
        ...


class Compressor:
    """Worker that compresses scans with `deepstd.codec.Codec`.

    Args:
        request: settings of the compression.
        model: bundle as processes find it: name, absolute folder or "auto".
        device: "auto", "cpu", "cuda" or "cuda:N".
    """

    def __init__(self, request: Request, model: str, device: str) -> None:
        self._request, self._model, self._device = request, model, device
        self._load: Callable[..., Codec] | None = None

    def start(self, threads: int) -> str | None:
        """Import the codec and load the bundle; return the reason of a failure, else None.

        A lossless compression needs neither.
        """
        if self._request.target.without_bundle:
            return None
        wait_passively()
        try:
            from deepstd.codec.codec import Codec
            from deepstd.devices import Workers

            limit_process(threads)
            Workers.named(self._device)
            self._load = functools.cache(Codec.load)
            if self._model != AUTO:
                self._load(self._model, device=self._device)
        except Exception as error:
            return in_words(error)
        return None

    def run(self, case: Case) -> Outcome:
        """Compress one scan; errors are returned in the outcome."""
        if self._load is None and not self._request.target.without_bundle:
            raise ValueError("the worker was not started")
        asked, began = self._request, time.monotonic()
        try:
            volume = case.read(asked.metadata)
            _check_size(volume, asked.target, case.scan.nbytes)
            source_hash = fingerprint(volume)
            best, missed = self._encoded(volume)
        except Exception as error:  # one bad case, of whatever kind, does not stop the rest
            message = case.without_root(in_words(error))
            return Outcome(time.monotonic() - began, error=message)
        container = parse(best, case.source)
        figures = {**figures_of(container), "source_hash": source_hash, **missed}
        if container.lossless or container.exact_part is not None:
            figures["voxels_sha256"] = voxel_digest(volume.voxels)
        return Outcome(time.monotonic() - began, best, figures)

    def _encoded(self, volume: Volume) -> tuple[bytes, Row]:
        """Compress a scan; return its file, and fields of the ledger on what that misses.

        Raises:
            RateError: it misses the quality asked for, which makes the case fail.
        """
        from deepstd.codec.choice import best_encoding
        from deepstd.codec.exact import check_kept
        from deepstd.codec.layered import with_exact_part
        from deepstd.codec.protection import Protection

        asked = self._request
        if asked.with_residual:
            check_kept(volume)

        def encoded(target: Target) -> Chosen:
            where = self._model, self._device, Progress()
            wish = Protection.of(asked.protect, volume.shape)
            how = {"effort": asked.effort, "load": self._load, "protect": wish}
            return best_encoding(volume, target, *where, **how)

        chosen = encoded(asked.target)
        told: Row = {}
        if chosen.missed:
            if asked.on_miss is None:
                raise RateError(chosen.missed)
            told = fields(chosen.missed, asked.on_miss)
            if asked.on_miss is OnMiss.LOSSLESS:
                return encoded(Target(lossless=True)).encoding.data, told
        best = chosen.encoding
        if asked.with_residual:
            best = with_exact_part(best, volume, chosen.predict, Progress())
        return best.data, told | _of_guard(best.familiarity)


def _of_guard(found: Familiarity | None) -> Row:
    """Return the fields of a ledger line on what the guard found, and what was protected."""
    told: Row = {}
    if found is not None and found.unfamiliar:
        told["unfamiliar"] = [one.text for one in found.findings]
    if found is not None and found.protected is not None:
        told["protected"] = asdict(found.protected)
    return told


def in_words(error: Exception) -> str:
    """Return the message of an error; other errors than ours with the name of their type."""
    if is_out_of_memory(error):
        return OUT_OF_MEMORY
    return str(error) if isinstance(error, DeepSTDError) else f"{type(error).__name__}: {error}"


def too_large(file_bytes: int, source_bytes: int) -> str:
    """Return the reason for refusing an output larger than the files of its scan."""
    return (
        f"its output would take {file_bytes} bytes, more than the {source_bytes} of the scan's "
        "files. Keep those, or ask for a smaller size (such as --ratio 64)"
    )


def _check_size(volume: Volume, target: Target, source_bytes: int) -> None:
    """Raise a RateError where the files of a scan are smaller than the target size.

    A constant scan is exempt: it takes a few bytes at every target. The size of a lossless output
    and of a label map is not known before.
    """
    if target.sizeless or volume.labels:
        return
    allowed = target.bytes_for(volume.voxels.size, volume.nbytes)
    if 0 < source_bytes < allowed and not _is_small_at_any_size(volume):
        raise RateError(too_large(allowed, source_bytes))


def _is_small_at_any_size(volume: Volume) -> bool:
    """Return True for a constant scan, and a label map that no header declares."""
    from deepstd.codec.labels import are_in

    return volume.voxels.min() == volume.voxels.max() or are_in(volume)
