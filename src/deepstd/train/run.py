"""A whole training run: from a cache to everything that a bundle holds.

    cache ─ template, shape model ─ register scans ─ train each network ─ freeze ─▶ Trained

Stops by the clock and goes on from a checkpoint. Imports torch, numpy, scipy and safetensors only.
"""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from deepstd.errors import InputError
from deepstd.shape.model import ShapeModel
from deepstd.texture.kinds import Part
from deepstd.texture.models import Network, part_named
from deepstd.train.budget import Budget
from deepstd.train.cache import CachedScan
from deepstd.train.checkpoint import Checkpoint, load_checkpoint
from deepstd.train.config import TrainConfig
from deepstd.train.distributed import ALONE, Group
from deepstd.train.job import Job
from deepstd.train.ready import Report
from deepstd.train.start import Start

_LOG = logging.getLogger("deepstd.train")


@dataclass(frozen=True)
class Trained:
    """What a run has learned.

    Attributes:
        shape: template and shape model, or None.
        networks: the texture networks; tables are frozen where the run is finished.
        history: validation figures of those that were trained.
        seconds: training time of those.
        used: number of scans that each of those learned from.
        shape_seconds: time that template, shape model and fields took.
        start: name and version of the bundle the run began with, or None.
        finished: whether the schedule ran to its end.
    """

    shape: ShapeModel | None
    networks: dict[Part, Network]
    history: dict[Part, list[dict[str, float]]]
    seconds: dict[Part, float]
    used: dict[Part, int]
    shape_seconds: float
    start: str | None
    finished: bool


def train(
    scans: list[CachedScan],
    config: TrainConfig,
    folder: Path,
    *,
    total_seconds: float,
    session_seconds: float = math.inf,
    spent: float = 0.0,
    resume: bool = False,
    start: Start | None = None,
    device: torch.device | str = "cpu",
    report: Report = lambda message, share: _LOG.info("%s (%.0f %%)", message, 100 * share),
    group: Group = ALONE,
) -> Trained:
    """Train for a given time and freeze the tables.

    Args:
        scans: of a cache; those of other numbers of axes than the run's are not used.
        config: of the run.
        folder: where checkpoints are kept.
        total_seconds: time for the whole run, over all its sessions, template, registration and
            tables included; at least two fifths go to the networks. Where it is short, fewer scans
            are registered and learned from.
        session_seconds: stop this session after so long, to go on later with ``resume``.
        spent: seconds that this session took before.
        resume: go on from the checkpoint in ``folder``.
        start: bundle that a run which is not resumed begins with, and whose networks it keeps; a
            run resumed without it goes on, but what it gives lacks the networks kept.
        device: where to train.
        report: called with a sentence and the share done.
        group: processes that train one network together; the first builds the template, registers
            and writes checkpoints, and the others read those.

    Raises:
        InputError: no scans of a needed kind, no checkpoint to resume from, or no bundle to take a
            network from.
    """
    began = time.monotonic() - spent
    run = load_checkpoint(folder, config, device) if resume else Checkpoint()
    group.wait()  # nobody writes before all have read
    torch.manual_seed(config.seed)
    for ndim in config.ndims:
        if not any(s.voxels.ndim == ndim and s.split == "train" for s in scans):
            raise InputError(f"the cache holds no {ndim}-D scan to train on")
    kept: dict[Part, Network] = {}
    if start is not None:
        kept = {p: start.taken_over(p, config.network(p)) for p in map(part_named, config.kept)}
    elif config.kept and not resume:
        raise InputError("the run keeps networks of a bundle: name that with --from")
    if start is not None and not resume:
        run.start = start.name
        run.shape = start.shape if config.template else None
    job = Job(
        scans,
        config,
        folder,
        run,
        start,
        device,
        report,
        group,
        Budget(total_seconds, run.seconds, began),
        began + session_seconds,
    )
    job.build_shape()
    job.train()
    networks = {**kept, **job.frozen()}
    return Trained(
        run.shape,
        networks,
        {part: s.history for part, s in run.states.items()},
        {part: s.seconds for part, s in run.states.items()},
        {part: len(used) for part, used in job.used.items()},
        run.shape_seconds,
        run.start,
        job.finished,
    )
