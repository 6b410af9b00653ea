"""Devices by name, and work in parts on several devices.

    "auto" ─▶ a GPU if there is one, else shares of the CPU
    "cuda:0,cuda:1" ─▶ two GPUs, or DeviceError
    parts ─ Workers: a thread for each device ─▶ results in the order of the parts

A CPU that is named several times is divided into equal shares of its cores. Threads on parts of
their own are faster than threads that share every operation and wait for each other. Only GPUs need
torch, which is imported here once a GPU is asked for or likely.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from queue import SimpleQueue
from shutil import which
from typing import TypeVar

from deepstd.errors import DeviceError
from deepstd.extras import check_torch, has_torch
from deepstd.threads import limit_to, thread_count

_AHEAD = 2  # parts under way for each device
# Each share holds the activations of a tile, about 200 MB.
_MOST_SHARES = 4
Part = TypeVar("Part")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Device:
    """A device to compute on; its string is its name in torch.

    Attributes:
        kind: "cpu" or "cuda".
        index: number of the GPU; None for the first one, or the CPU.
    """

    kind: str = "cpu"
    index: int | None = None

    def __str__(self) -> str:
        return self.kind if self.index is None else f"{self.kind}:{self.index}"

    @property
    def is_cpu(self) -> bool:
        """True for the CPU, which needs no torch."""
        return self.kind == "cpu"


def device_named(name: str) -> Device:
    """Return the device of a name; "auto" is a GPU if there is one, else the CPU.

    Args:
        name: "auto", "cpu", "cuda" or "cuda:N".

    Raises:
        DeviceError: the name is another, or the device is not available.
        MissingExtraError: a GPU is asked for, and PyTorch is not installed.
    """
    if name == "auto":
        return Device("cuda") if _has_gpu() else Device()
    kind, colon, number = name.partition(":")
    if kind not in ("cpu", "cuda") or (colon and not number.isdigit()):
        raise DeviceError(f"device {name!r} is not supported: use auto, cpu, cuda or cuda:N")
    if kind == "cpu":
        return Device()
    check_torch(f"device {name!r}", "gpu")
    import torch

    device = Device(kind, int(number) if number else None)
    try:
        torch.zeros(1, device=str(device))
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise DeviceError(f"device {name!r} is not available: {reason}. Use cpu or auto") from error
    return device


def _has_gpu() -> bool:
    """Return whether torch finds a GPU; torch is not imported where there is no driver."""
    if not which("nvidia-smi") and not any(Path("/dev").glob("nvidia[0-9]*")):
        return False
    if not has_torch():
        return False
    import torch

    return torch.cuda.is_available()


@dataclass(frozen=True)
class Workers:
    """Devices that compute parts of one job at the same time.

    Attributes:
        devices: device of each worker. The first one computes what cannot be divided.
    """

    devices: tuple[Device, ...]

    @staticmethod
    def named(names: str) -> Workers:
        """Return the workers of device names.

        Args:
            names: "auto", "cpu", "cuda" or "cuda:N", or several with commas between. "auto" is a
                GPU if there is one, else up to four equal shares of the CPU.

        Raises:
            DeviceError: a name is another, or a device is not available.
        """
        devices = tuple(device_named(name.strip()) for name in names.split(","))
        if names.strip() == "auto" and devices[0].is_cpu:
            return Workers(devices * _equal_shares(thread_count()))
        return Workers(devices)

    @property
    def first(self) -> Device:
        """Device of computations that cannot be divided."""
        return self.devices[0]

    def map(
        self, function: Callable[[Device, Part], Result], parts: Iterable[Part]
    ) -> Iterator[Result]:
        """Yield the results of ``function(device, part)`` in the order of the parts.

        Only a few parts are under way at a time, which bounds the results in memory.
        """
        parts = iter(parts)
        beginning = list(islice(parts, len(self.devices)))
        parts = chain(beginning, parts)
        devices = self.devices[: len(beginning)]
        if len(devices) < 2:
            for part in parts:
                yield function(self.first, part)
            return
        free: SimpleQueue[Device] = SimpleQueue()
        for device in devices:
            free.put(device)

        def work(part: Part) -> Result:
            device = free.get()
            try:
                return function(device, part)
            finally:
                free.put(device)

        shares = max(1, sum(device.is_cpu for device in devices))
        share = thread_count() // shares
        pool = ThreadPoolExecutor(len(devices), "deepstd", lambda: limit_to(share))
        pending: deque[Future[Result]] = deque()
        try:
            for part in parts:
                pending.append(pool.submit(work, part))
                if len(pending) >= _AHEAD * len(devices):
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _equal_shares(threads: int) -> int:
    return max(count for count in range(1, _MOST_SHARES + 1) if threads % count == 0)


CPU = Workers((Device(),))
"""One worker, on the CPU."""
