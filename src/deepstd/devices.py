"""Devices by name, and work in parts on several devices.

    "auto" ─▶ a GPU if there is one, else shares of the CPU
    "cuda:0,cuda:1" ─▶ two GPUs, or DeviceError
    parts ─ Workers: a thread for each device ─▶ results in the order of the parts

A CPU that is named several times is divided into equal shares of its cores. Threads on parts of
their own are faster than threads that share every operation and wait for each other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice
from queue import SimpleQueue
from typing import TypeVar

import torch

from deepstd.errors import DeviceError

_AHEAD = 2  # parts under way for each device
# Each share holds the activations of a tile, about 200 MB.
_MOST_SHARES = 4
Part = TypeVar("Part")
Result = TypeVar("Result")


def device_named(name: str) -> torch.device:
    """Return the device of a name; "auto" is a GPU if there is one, else the CPU.

    Args:
        name: "auto", "cpu", "cuda" or "cuda:N".

    Raises:
        DeviceError: the name is another, or the device is not available.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.partition(":")[0] not in ("cpu", "cuda"):
        raise DeviceError(f"device {name!r} is not supported: use auto, cpu, cuda or cuda:N")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise DeviceError(f"device {name!r} is not available: {reason}. Use cpu or auto") from error
    return device


@dataclass(frozen=True)
class Workers:
    """Devices that compute parts of one job at the same time.

    Attributes:
        devices: device of each worker. The first one computes what cannot be divided.
    """

    devices: tuple[torch.device, ...]

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
        if names.strip() == "auto" and devices[0].type == "cpu":
            return Workers(devices * _equal_shares(torch.get_num_threads()))
        return Workers(devices)

    @property
    def first(self) -> torch.device:
        """Device of computations that cannot be divided."""
        return self.devices[0]

    def map(
        self, function: Callable[[torch.device, Part], Result], parts: Iterable[Part]
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
        free: SimpleQueue[torch.device] = SimpleQueue()
        for device in devices:
            free.put(device)

        def work(part: Part) -> Result:
            device = free.get()
            try:
                return function(device, part)
            finally:
                free.put(device)

        threads = torch.get_num_threads()
        shares = max(1, sum(device.type == "cpu" for device in devices))
        pool = ThreadPoolExecutor(
            len(devices),
            "deepstd",
            # Torch has a number of threads for each calling thread.
            lambda: torch.set_num_threads(max(1, threads // shares)),
        )
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
            torch.set_num_threads(threads)


def _equal_shares(threads: int) -> int:
    return max(count for count in range(1, _MOST_SHARES + 1) if threads % count == 0)


CPU = Workers((torch.device("cpu"),))
"""One worker, on the CPU."""
