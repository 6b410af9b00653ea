"""Training run: from a cache to the contents of a bundle.

    cache ─ template, shape model ─ register scans ─ train each network ─ freeze ─▶ Trained

A run stops by the clock and resumes from a checkpoint. It imports torch, numpy, scipy and
safetensors only.
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
from deepstd.texture.description import part_named
from deepstd.texture.kinds import Part
from deepstd.texture.trainable import Trainable
from deepstd.train.budget import Budget
from deepstd.train.cache import CachedScan
from deepstd.train.checkpoint import Checkpoint, load_checkpoint
from deepstd.train.config import TrainConfig
from deepstd.train.distributed import ALONE, Group
from deepstd.train.job import Job
from deepstd.train.ready import Report
from deepstd.train.start import Start
from deepstd.train.teacher import Teacher
from deepstd.train.update import Verdict

_LOG = logging.getLogger("deepstd.train")


@dataclass(frozen=True)
class Trained:
    """Result of a run.

    Attributes:
        shape: template and shape model, or None.
        networks: texture networks; their tables are fitted where the run is finished.
        history: validation metrics of each trained network, in order of time.
        seconds: training time of each trained network.
        used: number of scans that each trained network learned from.
        shape_seconds: seconds spent on template, shape model and fields.
        start: name and version of the bundle whose networks the run began with, or None.
        template_from: name and version of the bundle whose template was taken over, or None.
        teacher: name and version of the bundle that taught the networks, or None.
        verdicts: validation of each network of an updated bundle; empty unless finished.
        finished: True where all schedules ran to their ends.
    """

    shape: ShapeModel | None
    networks: dict[Part, Trainable]
    history: dict[Part, list[dict[str, float]]]
    seconds: dict[Part, float]
    used: dict[Part, int]
    shape_seconds: float
    start: str | None
    template_from: str | None
    teacher: str | None
    verdicts: dict[Part, Verdict]
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
    old: list[CachedScan] | None = None,
    teacher: Teacher | None = None,
    device: torch.device | str = "cpu",
    report: Report = lambda message, share: _LOG.info("%s (%.0f %%)", message, 100 * share),
    group: Group = ALONE,
) -> Trained:
    """Train the networks of a bundle for a given time.

    Args:
        scans: scans of a cache; those of other numbers of axes than the run's are not used.
        config: description of the run.
        folder: folder of the checkpoint.
        total_seconds: time of the whole run over all its sessions, from template to tables; the
            networks get at least two fifths. A short time means fewer scans.
        session_seconds: length of this session; ``resume`` continues the run later.
        spent: seconds of this session before the call.
        resume: resume from the checkpoint in ``folder``.
        start: bundle that a new run begins with, and whose networks it keeps. A run resumed without
            it returns no kept networks.
        old: scans of earlier training, to update the start bundle: its networks keep what they can
            do, on these or, where the list is empty, on synthetic scans. None to train freely.
        teacher: bundle of a related modality whose features supervise the networks, or None. A
            run that began with a teacher needs it to the end.
        device: device of the networks.
        report: called with a sentence and the share done.
        group: processes that train one network together. The first one builds the template,
            registers scans and writes checkpoints, which the others read.

    Raises:
        InputError: no scans of a needed number of axes, no checkpoint to resume from, or no bundle
            to take a network from; or another teacher than the run began with, or one of other
            sizes.
    """
    began = time.monotonic() - spent
    run = load_checkpoint(folder, config, device) if resume else Checkpoint()
    group.wait()  # no process writes before all have read
    torch.manual_seed(config.seed)
    _check_scans(scans, config)
    _check_teacher(run, config, teacher, resume=resume)
    kept = _kept_networks(config, start, resume=resume)
    if start is not None and not resume:
        begins = any(start.gives(part, config.network(part)) for part in config.parts)
        run.start = start.name if begins else None
        run.shape = start.shape if config.template else None
        run.template_from = None if run.shape is None else start.name
    budget = Budget(total_seconds, run.seconds, began)
    stop_at = began + session_seconds
    job = Job(
        scans, config, folder, run, start, device, report, group, budget, stop_at, old, teacher
    )
    job.build_shape()
    job.train()
    return _trained(run, job, {**kept, **job.frozen()})


def _check_scans(scans: list[CachedScan], config: TrainConfig) -> None:
    """Raise an InputError where no training scan has a number of axes of the run."""
    found = {s.voxels.ndim for s in scans if s.split == "train"}
    if 3 in found and config.learns_slices:
        found.add(2)
    for ndim in config.ndims:
        if ndim not in found and str(ndim) not in config.kept:
            raise InputError(f"the cache holds no {ndim}-D scan to train on")


def _check_teacher(
    run: Checkpoint, config: TrainConfig, teacher: Teacher | None, *, resume: bool
) -> None:
    """Note the teacher of a new run; raise an InputError where it does not fit the run."""
    name = None if teacher is None else teacher.name
    if resume and name != run.teacher:
        had = "without a teacher" if run.teacher is None else f"with the teacher {run.teacher}"
        raise InputError(f"the run began {had}: go on with the same, named with --teacher")
    run.teacher = name
    if teacher is not None:
        teacher.check(config)


def _kept_networks(
    config: TrainConfig, start: Start | None, *, resume: bool
) -> dict[Part, Trainable]:
    """Return the networks that are copied from the start bundle; none without a bundle.

    Raises:
        InputError: a new run keeps networks and has no bundle.
    """
    if start is not None:
        return {p: start.taken_over(p, config.network(p)) for p in map(part_named, config.kept)}
    if config.kept and not resume:
        raise InputError("the run keeps networks of a bundle: name that with --from")
    return {}


def _trained(run: Checkpoint, job: Job, networks: dict[Part, Trainable]) -> Trained:
    """Collect the result of a run from its state and its last session."""
    return Trained(
        run.shape,
        networks,
        {part: s.history for part, s in run.states.items()},
        {part: s.seconds for part, s in run.states.items()},
        {part: len(used) for part, used in job.used.items()},
        run.shape_seconds,
        run.start,
        run.template_from,
        run.teacher,
        job.verdicts,
        job.finished,
    )
