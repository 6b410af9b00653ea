"""One case after another, in a process of its own with a bundle loaded once.

Case ─ read ─▶ Volume ─ encode ─▶ Outcome: the bytes of a .dstd file, or what went wrong
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from deepstd.batch.plan import Case, Request, figures_of
from deepstd.container import parse
from deepstd.errors import OUT_OF_MEMORY, DeepSTDError, is_out_of_memory
from deepstd.threads import wait_passively

if TYPE_CHECKING:
    from deepstd.codec import Codec

AUTO = "auto"


@dataclass(frozen=True)
class Outcome:
    """What became of a case.

    Attributes:
        seconds: time it took.
        data: the .dstd file, or None where it failed.
        figures: what the ledger says of the file.
        error: what went wrong, without the path of the folder of scans.
    """

    seconds: float
    data: bytes | None = None
    figures: dict[str, Any] = field(default_factory=dict)
    error: str | None = None


class Worker(Protocol):
    """What an executor sends to its processes; as it is before `start`, it can be pickled."""

    def start(self, threads: int) -> str | None:
        """Make ready, with so many threads; what is wrong where no case can be done."""
        ...

    def run(self, case: Case) -> Outcome:
        """Do one case; whatever goes wrong with it is in the outcome."""
        ...


class Compressor:
    """The worker that compresses.

    Args:
        request: what is asked of each scan.
        model: its bundle as processes find it: by name or absolute folder, or "auto".
        device: "auto", "cpu", "cuda" or "cuda:N".
    """

    def __init__(self, request: Request, model: str, device: str) -> None:
        self._request, self._model, self._device = request, model, device
        self._load: Callable[..., Codec] | None = None

    def start(self, threads: int) -> str | None:
        """Import torch and load the bundle; what is wrong where that cannot be done."""
        wait_passively()
        try:
            import torch

            from deepstd.codec import Codec
            from deepstd.devices import Workers

            torch.set_num_threads(threads)
            Workers.named(self._device)
            self._load = functools.cache(Codec.load)
            if self._model != AUTO:
                self._load(self._model, device=self._device)
        except Exception as error:
            return in_words(error)
        return None

    def run(self, case: Case) -> Outcome:
        """Compress one scan."""
        from deepstd.api import best_encoding

        if self._load is None:
            raise ValueError("the worker was not started")
        asked, began = self._request, time.monotonic()
        try:
            volume = case.read(asked.metadata)
            _, best, _ = best_encoding(
                volume,
                asked.target,
                self._model,
                self._device,
                effort=asked.effort,
                load=self._load,
            )
        except Exception as error:  # one bad case, of whatever kind, does not stop the rest
            told = case.without_root(in_words(error))
            return Outcome(time.monotonic() - began, error=told)
        figures = figures_of(parse(best.data, case.source))
        return Outcome(time.monotonic() - began, best.data, figures)


def in_words(error: Exception) -> str:
    """What to say of an error, expected or not."""
    if is_out_of_memory(error):
        return OUT_OF_MEMORY
    return str(error) if isinstance(error, DeepSTDError) else f"{type(error).__name__}: {error}"
