"""Receiving: the node, and the archive of what it received, until a signal ends both.

spool ─ series without outputs ─▶ Waiting ◀─ new objects ─ Node
Waiting ─ due ─▶ Archive.compress, in processes, while the node goes on
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from deepstd import bundle as bundles
from deepstd.batch import ledger as ledgers
from deepstd.batch import plan
from deepstd.batch.case import Request
from deepstd.batch.ledger import Ledger
from deepstd.batch.misses import OnMiss
from deepstd.batch.shard import Shard
from deepstd.batch.work import AUTO, Compressor
from deepstd.errors import InputError
from deepstd.io import KeptMetadata, Metadata, check_folder
from deepstd.network import tls
from deepstd.network.archive import Archive, Report, Tell, Work
from deepstd.network.extra import require_pynetdicom
from deepstd.network.node import Address, Node, listening
from deepstd.network.spool import Spool
from deepstd.network.waiting import Waiting
from deepstd.preflight import check_devices
from deepstd.rate.effort import NORMAL
from deepstd.rate.target import Target, check_alone, check_residual

_TICK_SECONDS = 0.5
_SWEEP_SECONDS = 600.0
_PAUSE_SECONDS = 60.0  # before a series is tried again whose output could not be written
_MOST_AT_ONCE = 16  # series of one round, so that a long queue is reported step by step


@dataclass(frozen=True)
class Settings:
    """The settings of a receiver.

    Attributes:
        spool: folder of the originals.
        output: folder of the compressed series.
        address: where the node listens.
        target: size or quality of each output.
        model: bundle by name or folder, or "auto".
        effort: "fast", "normal" or "best".
        metadata: which information beside voxels and geometry is stored.
        device: "auto", "cpu", "cuda" or "cuda:N".
        processes: parallel processes of the compression.
        on_miss: what is done with a file that misses the quality; None to fail.
        with_residual: whether outputs get an exact part.
        quiet_seconds: time without a new object after which a series is compressed.
        least_free: free bytes of the disks below which no object is taken.
        delete_originals: whether originals are deleted once their output is verified.
        callers: AE titles of the senders that may store; none for all.
        certificate: PEM files of the node's certificate and private key; None for no encryption.
    """

    spool: Path
    output: Path
    address: Address
    target: Target
    model: str = AUTO
    effort: str = NORMAL
    metadata: KeptMetadata = Metadata.DEIDENTIFIED
    device: str = "auto"
    processes: int = 1
    on_miss: OnMiss | None = None
    with_residual: bool = False
    quiet_seconds: float = 30.0
    least_free: int = 10**9
    delete_originals: bool = False
    callers: tuple[str, ...] = ()
    certificate: tuple[Path, Path] | None = None


def receive(settings: Settings, tell: Tell, report: Report, ready: Callable[[int], None]) -> None:
    """Receive and compress until KeyboardInterrupt.

    Args:
        settings: settings of the receiver.
        tell: called with a sentence on the work, now and then.
        report: called with the ledger's fields of each output, or "name" and "error" of a series
            or file that failed.
        ready: called with the port once the node listens.

    Raises:
        InputError: a folder, the address or the certificate cannot be used, or the output folder
            is gone.
        BundleError, DeviceError, MissingExtraError: no series could be compressed.
    """
    require_pynetdicom("receiving from the network")
    context = None if settings.certificate is None else tls.serving(*settings.certificate)
    work = _work(settings)
    try:
        settings.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{settings.output}: cannot be written ({error.strerror})") from error
    waiting = Waiting(settings.quiet_seconds)

    def damaged(path: Path, why: str) -> None:
        report({"name": str(path), "error": why})

    with (
        Spool(settings.spool, damaged) as spool,
        Ledger(ledgers.path_of(settings.output, Shard())) as ledger,
    ):

        def free_bytes() -> int:
            return min(spool.free_bytes, shutil.disk_usage(settings.output).free)

        archive = Archive(spool, settings.output, ledger, work, tell, report)
        node = Node(spool, waiting, free_bytes, settings.least_free)
        for key in spool.series_keys():
            if settings.delete_originals or not archive.is_done(key):
                waiting.note(key)
        with listening(
            settings.address, node, spool, callers=settings.callers, context=context
        ) as port:
            ready(port)
            _go_on(archive, node, spool, waiting, ledger, tell)


def _go_on(
    archive: Archive, node: Node, spool: Spool, waiting: Waiting, ledger: Ledger, tell: Tell
) -> None:
    """Compress what is due, for ever."""
    swept = time.monotonic()
    told = ""
    paused_until = 0.0
    while True:
        text = _state(node, waiting)
        if text != told:
            tell(text)
            told = text
        now = time.monotonic()
        if now - swept > _SWEEP_SECONDS:
            spool.sweep()
            swept = now
        due = [] if now < paused_until else waiting.take(lambda key: len(spool.names(key)))
        queue = iter(due)
        while some := list(islice(queue, _MOST_AT_ONCE)):
            try:
                archive.compress(some)
            except InputError as error:
                if not ledger.is_in_place:
                    raise
                tell(f"{error}")
                for key in (*some, *queue):  # nothing is lost: they are tried again
                    waiting.note(key)
                paused_until = time.monotonic() + _PAUSE_SECONDS
        waiting.wait(_TICK_SECONDS)


def _state(node: Node, waiting: Waiting) -> str:
    text = f"{node.received} objects received, {len(waiting)} series waiting"
    if node.known:
        text += f", {node.known} were there already"
    if node.refused:
        text += f", {node.refused} refused, the last for: {node.last_refusal}"
    if node.rejected:
        text += f", {node.rejected} associations rejected, the last from {node.last_rejected}"
    return text


def _work(settings: Settings) -> Work:
    """Check the settings of the compression and return them as processes need them."""
    check_alone(settings.target, settings.model, settings.effort)
    check_residual(settings.target, with_residual=settings.with_residual)
    spool, output = (Path(os.path.realpath(p)) for p in (settings.spool, settings.output))
    if spool.is_relative_to(output) or output.is_relative_to(spool):
        raise InputError(
            f"{settings.output}: outputs and originals may not lie in each other's folder. Choose "
            "another folder"
        )
    check_folder(settings.spool)
    check_folder(settings.output)
    check_devices(settings.device)
    model, described = settings.model, AUTO
    if model != AUTO:
        reference = bundles.load(bundles.find(model)).reference
        described = plan.model_of(reference.name, reference.version, reference.digest)
        if Path(model).is_dir() and (Path(model) / "bundle.json").is_file():
            model = os.path.abspath(model)
    request = Request(
        settings.target,
        described,
        settings.effort,
        settings.metadata,
        settings.on_miss,
        settings.with_residual,
    )
    worker = Compressor(request, model, settings.device)
    return Work(request, worker, settings.processes, settings.delete_originals, settings.device)
