"""Paths through the coder: instruction sets of the engine, numpy alone, networks in torch.

Route, threads ─ environment, engine loaded again ─▶ codecs of this path
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from unittest.mock import patch

import torch

from deepstd.codec.codec import Codec
from deepstd.devices import Device, Workers
from deepstd.engine import library
from deepstd.threads import limited_to


@dataclass(frozen=True)
class Route:
    """A path through the coder.

    Attributes:
        name: for the table.
        threads: number of threads.
        environment: variables that choose the path.
        in_torch: whether the networks are those of GPUs, on the CPU.
    """

    name: str
    threads: int
    environment: dict[str, str]
    in_torch: bool = False
    _codecs: dict[str, Codec] = field(default_factory=dict)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Set this process to the path within a block."""
        own = {**self.environment, "OMP_NUM_THREADS": str(self.threads)}
        with ExitStack() as stack:
            stack.callback(library.engine.cache_clear)
            stack.enter_context(patch.dict(os.environ, own))
            library.engine.cache_clear()
            library.engine()  # sets the limit of instructions
            stack.enter_context(limited_to(self.threads))
            torch.set_num_threads(self.threads)
            yield

    def codec(self, bundle: str) -> Codec:
        """Return the codec of a bundle on this path."""
        if bundle not in self._codecs:
            self._codecs[bundle] = _in_torch(bundle) if self.in_torch else Codec.load(bundle)
        return self._codecs[bundle]

    @property
    def exists(self) -> bool:
        """True where this computer has the instructions, or the engine."""
        limit = self.environment.get(library.LIMIT)
        with self.taken():
            engine = library.engine()
            if limit is None:
                return True
            return engine is not None and (
                engine.engine_instructions() == library.LIMITS.index(limit)
            )


def _in_torch(bundle: str) -> Codec:
    """Return a codec whose networks are placed as on a GPU."""
    gpu = Workers((Device("cuda"),))
    with (
        patch.object(Workers, "named", lambda _: gpu),
        patch("deepstd.texture.networks.placed.torch_device", lambda _: torch.device("cpu")),
    ):
        return Codec.load(bundle)


def routes() -> list[Route]:
    """Return all paths, each with one and two threads, the reference first."""
    every = []
    for threads in (1, 2):
        for limit, name in zip(library.LIMITS, ("plain C", "AVX2", "AVX-512"), strict=True):
            every.append(Route(name, threads, {library.LIMIT: limit}))
        every.append(Route("networks in torch", threads, {}, in_torch=True))
    # The threads of numpy's matrix products are those the process began with.
    return [*every, Route("numpy alone", 1, {library.DISABLED: "1"})]
