"""Workers that fail in ways a scan cannot be made to cause, for processes and actors of tests."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from deepstd.batch.case import Case
from deepstd.batch.work import Outcome


class Scripted:
    """Does what a case's name says: "die", "die-once", "slow", else gives its name as the file."""

    def __init__(self, folder: Path, start: str | None = None, seconds: float = 0.0) -> None:
        self._folder, self._start, self._seconds = folder, start, seconds

    def start(self, threads: int) -> str | None:
        if self._start == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        return self._start

    def run(self, case: Case) -> Outcome:
        with open(self._folder / "runs", "a") as stream:
            stream.write(f"{case.name}\n")
        marker = self._folder / f"died-{case.name}"
        if case.name.startswith("die-once") and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if case.name == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if case.name.startswith("slow"):
            time.sleep(60)
        time.sleep(self._seconds)
        return Outcome(0.1, case.name.encode(), {"seen": case.scan.files[0].exists()})
