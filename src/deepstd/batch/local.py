"""Work on cases in processes of this machine.

cases ─ pipe ─▶ process: Worker ─ pipe ─▶ outcomes, as they become ready
   ▲                └ dies (memory, a crash) ─▶ a new process; its case is tried once more
   └──────────────────┘

The processes write nothing and end with their parent, however it ends.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic

from deepstd.batch.signals import deferred, kept_from_children
from deepstd.batch.work import Outcome, Task, Worker
from deepstd.errors import DeepSTDError

MOST_DEATHS = 2  # a case whose process died this often fails
_FAILED_STARTS = 3  # failed starts that end the batch
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass
class _Member(Generic[Task]):
    process: BaseProcess
    pipe: Connection
    ready: bool = False
    case: Task | None = None


def outcomes(
    cases: Sequence[Task],
    worker: Worker[Task],
    processes: int,
    begin: Callable[[Task], None] = lambda case: None,
) -> Generator[tuple[Task, Outcome, int]]:
    """Work on cases in processes; closing the generator ends the processes.

    Args:
        cases: scans to compress, to restore or to check.
        worker: works on a case; every process gets a copy.
        processes: number of parallel processes.
        begin: called with a case when a process gets it.

    Yields:
        A case, its outcome, and the number of attempts in this run.

    Raises:
        DeepSTDError: the processes cannot start.
    """
    team = _Team(worker, processes)
    waiting = deque(cases)
    deaths: Counter[str] = Counter()
    try:
        while waiting or team.busy:
            team.hand_out(waiting, begin)
            for member in team.heard_from():
                try:
                    message = member.pipe.recv()
                except (EOFError, OSError):
                    why = team.bury(member)
                    case = member.case
                    if case is None:
                        continue
                    deaths[case.name] += 1
                    if deaths[case.name] < MOST_DEATHS:
                        waiting.append(case)
                    else:
                        error = f"its process died {MOST_DEATHS} times, at last {why}"
                        yield case, Outcome(0.0, error=error), deaths[case.name]
                    continue
                if member.case is None:
                    if message is not None:
                        raise DeepSTDError(message)
                    member.ready = True
                else:
                    case, member.case = member.case, None
                    yield case, message, deaths[case.name] + 1
    finally:
        team.dismiss()


class _Team(Generic[Task]):
    """The running processes of a batch."""

    def __init__(self, worker: Worker[Task], processes: int) -> None:
        self._worker, self._most = worker, processes
        self._members: list[_Member[Task]] = []
        self._failed_starts = 0

    @property
    def busy(self) -> bool:
        return any(member.case is not None for member in self._members)

    def hand_out(self, waiting: deque[Task], begin: Callable[[Task], None]) -> None:
        """Give every idle process a case, and start processes for the remaining cases."""
        for member in self._members:
            if member.ready and member.case is None and waiting:
                case = waiting.popleft()
                try:
                    member.pipe.send(case)
                    member.case = case
                    begin(case)
                except OSError:  # it died while idle; its pipe reports that later
                    waiting.appendleft(case)
        coming = sum(not member.ready for member in self._members)
        while len(self._members) < self._most and coming < len(waiting):
            with deferred():  # a process that is half told what to do would end with a traceback
                self._members.append(_start(self._worker, _threads(self._most)))
            coming += 1

    def heard_from(self) -> list[_Member[Task]]:
        """Wait for messages or deaths; return the processes concerned."""
        pipes = wait([member.pipe for member in self._members])
        return [member for member in self._members if member.pipe in pipes]

    def bury(self, member: _Member[Task]) -> str:
        """Remove a dead process and return a text on how it ended.

        Raises:
            DeepSTDError: too many processes died before they were ready.
        """
        self._members.remove(member)
        _end(member)
        code = member.process.exitcode
        why = f"with exit code {code}"
        if code is not None and code < 0:
            why = f"by signal {-code}"
            if code == -signal.SIGKILL:
                why += ", as a system that runs out of memory does it"
        if not member.ready:
            self._failed_starts += 1
            if self._failed_starts >= _FAILED_STARTS:
                raise DeepSTDError(f"the processes end before they can begin, at last {why}")
        return why

    def dismiss(self) -> None:
        """Kill all processes; they hold no state worth saving."""
        for member in self._members:
            member.process.kill()
        for member in self._members:
            _end(member)


def _end(member: _Member[Task]) -> None:
    member.process.kill()
    member.process.join()
    member.pipe.close()


def _start(worker: Worker[Task], threads: int) -> _Member[Task]:
    context = multiprocessing.get_context("spawn")  # torch and CUDA do not survive a fork
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(worker, theirs, threads), daemon=True)
    with kept_from_children(), _limited_threads(threads):
        process.start()
    theirs.close()
    return _Member(process, ours)  # pyright: ignore[reportArgumentType]  on Windows it has another name


@contextmanager
def _limited_threads(threads: int) -> Iterator[None]:
    """Limit the threads of libraries such as BLAS in processes started within the block.

    More busy threads than cores make a process slower by orders of magnitude.
    """
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _threads(processes: int) -> int:
    """Return the threads of one process: its share of the cores, at most OMP_NUM_THREADS."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    share = max(1, (cores or 1) // processes)
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return min(share, int(asked)) if asked.isdigit() and int(asked) else share


def _serve(worker: Worker[Any], pipe: Connection, threads: int) -> None:
    """Run the loop of a child process: receive cases, send outcomes."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    pipe.send(worker.start(threads))
    while True:
        try:
            case = pipe.recv()
        except EOFError:
            return
        pipe.send(worker.run(case))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)
