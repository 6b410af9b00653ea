"""Compression of cases on a Ray cluster.

cases ─▶ actor, one CPU or GPU each: Worker ─ bytes ─▶ outcomes, as they become ready
   ▲        └ dies, with its node or alone ─▶ a new actor; its case is tried again
   └────────┘

Nodes need DeepSTD with its extra ``ray``, the same release and bundle, but no shared disk. Outputs
come back as bytes and are written here. A scan whose files a node does not see is sent to it.
Actors write no files, so a case that is compressed twice after a loss is counted once.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Generator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from deepstd.batch.case import Case
from deepstd.batch.work import Outcome, Worker, in_words
from deepstd.errors import DeepSTDError, InputError, MissingExtraError

AUTO, LOCAL = "auto", "local"
# Deaths after which a case fails. More than for local processes, as nodes may be lost for reasons
# that have nothing to do with the case.
MOST_DEATHS = 3
_FAILED_STARTS = 10  # failed starts that end the batch
_PATIENCE_SECONDS = 20.0  # after this time without an answer the wait is reported
_INSTALL = 'Install it with: pip install "deepstd[ray]"'


class RemoteWorker:
    """A worker on a node that may lack access to the driver's files."""

    def __init__(self, worker: Worker[Case]) -> None:
        self._worker = worker

    def start(self) -> str | None:
        """Load the model; return the reason where no case can be compressed, else None."""
        return self._worker.start(1)

    def run(self, case: Case, contents: Sequence[bytes] | None = None) -> Outcome | None:
        """Compress one case; return None where its files are neither here nor in ``contents``."""
        if contents is None:
            here = all(path.is_file() for path in case.scan.files)
            return self._worker.run(case) if here else None
        with tempfile.TemporaryDirectory(prefix="deepstd-") as folder:
            return self._worker.run(_unpacked(case, contents, Path(folder)))


@dataclass
class _Member:
    actor: Any
    case: Case | None = None


def outcomes(
    cases: Sequence[Case],
    worker: Worker[Case],
    address: str,
    actors: int | None,
    *,
    on_gpu: bool,
    tell: Callable[[str], None],
    begin: Callable[[Case], None] = lambda case: None,
) -> Generator[tuple[Case, Outcome, int]]:
    """Compress cases on a cluster; closing the generator ends the actors.

    Args:
        cases: scans to compress.
        worker: compresses a case; every actor gets a copy.
        address: "auto" (RAY_ADDRESS, or the cluster of this machine), "local" (a new cluster),
            "ray://HOST:PORT" or "HOST:PORT".
        actors: number of parallel actors; None for one per CPU, or per GPU, of the cluster.
        on_gpu: an actor needs a GPU.
        tell: called with a sentence after a long wait, and when an actor is lost.
        begin: called with a case when an actor gets it.

    Yields:
        A case, its outcome, and the number of attempts in this run.

    Raises:
        InputError: there is no such cluster.
        MissingExtraError: Ray is not installed.
        DeepSTDError: no actor can start.
    """
    # Ray reports lost nodes on stdout, which is reserved for results.
    with redirect_stdout(sys.stderr):
        yield from _outcomes(cases, worker, address, actors, on_gpu, tell, begin)


def _outcomes(
    cases: Sequence[Case],
    worker: Worker[Case],
    address: str,
    actors: int | None,
    on_gpu: bool,
    tell: Callable[[str], None],
    begin: Callable[[Case], None],
) -> Generator[tuple[Case, Outcome, int]]:
    ray = _connected(address)
    crew = _Crew(ray, worker, actors, on_gpu)
    waiting = deque(cases)
    deaths: Counter[str] = Counter()
    try:
        while waiting or crew.busy:
            crew.hand_out(waiting, begin)
            member, answer, lost = crew.next_answer(tell)
            case = member.case
            if case is None:
                if answer is not None:
                    raise DeepSTDError(answer)
                if not lost:
                    crew.idle.append(member)
            elif lost:
                deaths[case.name] += 1
                tell(f"an actor was lost at {case.source}: {lost}")
                if deaths[case.name] < MOST_DEATHS:
                    waiting.append(case)
                else:
                    error = f"its actor died {MOST_DEATHS} times, at last so: {lost}"
                    yield case, Outcome(0.0, error=error), deaths[case.name]
            elif answer is None:
                crew.send_along(member, case)
            else:
                member.case = None
                crew.idle.append(member)
                yield case, answer, deaths[case.name] + 1
    finally:
        ray.shutdown()  # which ends the actors


class _Crew:
    """The running actors of a batch and their cases."""

    def __init__(self, ray: Any, worker: Worker[Case], most: int | None, on_gpu: bool) -> None:
        self._ray, self._worker, self._most = ray, worker, most
        self._resource = "GPU" if on_gpu else "CPU"
        self._kind = ray.remote(num_cpus=1, num_gpus=int(on_gpu), max_restarts=0)(RemoteWorker)
        self._pending: dict[Any, _Member] = {}
        self._failed_starts = 0
        self.idle: list[_Member] = []

    @property
    def busy(self) -> bool:
        return any(member.case is not None for member in self._pending.values())

    def hand_out(self, waiting: deque[Case], begin: Callable[[Case], None]) -> None:
        """Give every idle actor a case, and request actors for the remaining cases."""
        while self.idle and waiting:
            member = self.idle.pop()
            member.case = waiting.popleft()
            self._pending[member.actor.run.remote(member.case)] = member
            begin(member.case)
        coming = sum(member.case is None for member in self._pending.values())
        room = self._room() - len(self._pending) - len(self.idle)
        for _ in range(min(room, len(waiting) - coming)):
            actor = self._kind.remote(self._worker)
            self._pending[actor.start.remote()] = _Member(actor)

    def send_along(self, member: _Member, case: Case) -> None:
        """Send a case again, with the bytes of its files."""
        try:
            contents = [item.open().read() for item in case.scan.items]
            reference = member.actor.run.remote(case, contents)
        except (OSError, DeepSTDError) as error:
            why = error.strerror if isinstance(error, OSError) else case.without_root(str(error))
            reference = self._ray.put(Outcome(0.0, error=f"cannot be read ({why})"))
        self._pending[reference] = member

    def next_answer(self, tell: Callable[[str], None]) -> tuple[_Member, Any, str | None]:
        """Wait for the answer or the loss of one actor.

        Returns:
            The actor, its answer, and the reason where it was lost, else None.

        Raises:
            DeepSTDError: actors cannot start.
        """
        errors = self._ray.exceptions
        while True:
            ready, _ = self._ray.wait(list(self._pending), timeout=_PATIENCE_SECONDS)
            if ready:
                break
            if not self.busy:
                tell(f"waiting for the cluster to give a {self._resource}")
        member = self._pending.pop(ready[0])
        try:
            return member, self._ray.get(ready[0]), None
        except errors.RayTaskError as error:
            # The actor's code failed, not its process; for example with another release on a node.
            if member.case is None:
                raise DeepSTDError(f"an actor cannot begin: {error.cause}") from error
            return member, Outcome(0.0, error=in_words(error.cause)), None
        except errors.RayError as error:
            self._give_up(member)
            why = str(error).strip().splitlines()[0]
            if member.case is None:
                self._failed_starts += 1
                if self._failed_starts >= _FAILED_STARTS:
                    raise DeepSTDError(f"no actor can begin, at last: {why}") from error
            return member, None, why

    def _give_up(self, member: _Member) -> None:
        """Kill an actor that does not answer; it may still run behind a broken connection."""
        try:
            self._ray.kill(member.actor)
        except Exception:  # already gone; the error raised differs between releases of Ray
            return

    def _room(self) -> int:
        if self._most is not None:
            return self._most
        return max(1, int(self._ray.cluster_resources().get(self._resource, 0)))


def _connected(address: str) -> Any:
    try:
        import ray  # pyright: ignore[reportMissingImports]  an extra
    except ImportError as error:
        raise MissingExtraError(f"Ray is not installed. {_INSTALL}") from error
    # Usage statistics would be sent to Ray's makers.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address == AUTO:
        address = os.environ.get("RAY_ADDRESS") or AUTO
    options: dict[str, Any] = {"include_dashboard": False} if address == LOCAL else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **options)
    except ImportError as error:
        raise MissingExtraError(f"{address}: Ray's client is not installed. {_INSTALL}") from error
    except Exception as error:  # of many kinds, depending on the server at the address
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"{address}: no Ray cluster can be reached ({reason}). Start one with `ray start "
            "--head`, or use --ray local"
        ) from error
    return ray


def _unpacked(case: Case, contents: Sequence[bytes], folder: Path) -> Case:
    """Write the files of a case, archive members included, to a local folder."""
    files = []
    for number, (place, data) in enumerate(zip(case.scan.places, contents, strict=True)):
        # One folder for each file, as members may share names. The folder's name is kept: it names
        # a series without an id.
        file = folder / str(number) / (place.parent.name or "scan") / place.name
        file.parent.mkdir(parents=True)
        file.write_bytes(data)
        files.append(file)
    return replace(case, scan=replace(case.scan, files=tuple(files), members=()), root=folder)
