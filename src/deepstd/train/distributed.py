"""Training on several processes, started by torchrun; each draws its own crops.

    loss.backward ─ average the gradients of all processes ─▶ the same step everywhere
    clock and files of the first process ─▶ decisions of all processes

    torchrun --nproc-per-node 2 -m deepstd.train CACHE --config RUN.toml --checkpoint DIR

A step of n processes sees n times the crops. Processes on several machines need a checkpoint folder
that all of them can read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed, nn

from deepstd.devices import device_named
from deepstd.texture.networks.runtime import torch_device

# The other processes wait while the first builds a template.
_LONGEST_WAIT = timedelta(days=2)
_SEEDS_APART = 1_000_003  # above the steps of a run, which are added to seeds, too


@dataclass(frozen=True)
class Group:
    """Processes of a run, from the view of one of them.

    Attributes:
        rank: number of this process; 0 decides, reports and writes.
        size: number of processes.
        device: device of this process.
    """

    rank: int
    size: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """True for the process that decides, reports and writes."""
        return self.rank == 0

    @property
    def seed(self) -> int:
        """Offset of this process's seeds, so that each process draws other crops."""
        return _SEEDS_APART * self.rank

    def first(self, value: float) -> float:
        """Return the first process's value; a bool becomes 0 or 1."""
        if self.size == 1:
            return value
        shared = torch.tensor([float(value)], dtype=torch.float64, device=self.device)
        distributed.broadcast(shared, 0)
        return float(shared)

    def wait(self) -> None:
        """Wait until all processes call this."""
        self.first(0.0)

    def same(self, network: nn.Module) -> None:
        """Copy the first process's weights to a network."""
        if self.size > 1:
            for parameter in network.parameters():
                distributed.broadcast(parameter.data, 0)

    def average_gradients(self, network: nn.Module) -> None:
        """Replace gradients by their mean over all processes.

        A crop may leave a level unused. Weights without a gradient in every process keep none.
        """
        if self.size == 1:
            return
        parameters = list(network.parameters())
        parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        used = torch.tensor([float(p.grad is not None) for p in parameters], device=self.device)
        flat = torch.cat([used, *(part.flatten() for part in parts)])
        distributed.all_reduce(flat)
        anywhere, means = flat[: len(parts)].tolist(), flat[len(parts) :] / self.size
        sizes = [part.numel() for part in parts]
        for parameter, mean, count in zip(parameters, means.split(sizes), anywhere, strict=True):
            parameter.grad = mean.reshape(parameter.shape).clone() if count else None


ALONE = Group(0, 1, torch.device("cpu"))


@contextmanager
def joined(device: str) -> Iterator[Group]:
    """Join the group of processes started by torchrun; alone, yield a group of one.

    Args:
        device: name of the device. With "auto" or "cuda", each process of a machine takes its own
            GPU.

    Raises:
        DeviceError: the device does not exist.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Group(0, 1, torch_device(device_named(device)))
        return
    own = torch_device(device_named(device))
    if own.type == "cuda" and own.index is None:
        own = torch_device(device_named(f"cuda:{os.environ.get('LOCAL_RANK', '0')}"))
        torch.cuda.set_device(own)
    distributed.init_process_group("nccl" if own.type == "cuda" else "gloo", timeout=_LONGEST_WAIT)
    try:
        yield Group(distributed.get_rank(), size, own)
    finally:
        distributed.destroy_process_group()
