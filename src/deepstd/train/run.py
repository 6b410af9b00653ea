"""A whole training run: from a cache to everything that a bundle holds.

    cache ─ template, shape model ─ register every scan ─ train each network ─ freeze ─▶ Trained

Stops by the clock and goes on from a checkpoint. Imports torch, numpy, scipy and safetensors only.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from deepstd.errors import InputError
from deepstd.shape.model import FieldCode, ShapeModel
from deepstd.shape.register import register_all
from deepstd.shape.template import build_shape_model
from deepstd.texture.kinds import Part
from deepstd.texture.networks import Network, part_named, untrained
from deepstd.train.between import FEWEST
from deepstd.train.cache import CachedScan
from deepstd.train.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from deepstd.train.config import TrainConfig
from deepstd.train.data import Example, make_example, slices_of
from deepstd.train.distributed import ALONE, Group
from deepstd.train.loop import averaged, freeze_tables, new_state, titled, train_until
from deepstd.train.start import Start

_CHECKPOINT_EVERY = 120.0
_TABLE_BATCHES = 60
_VALIDATION_SCANS = 6
_REGISTERED_AT_ONCE = 32
_NETWORKS_SHARE = 0.5
_LOG = logging.getLogger("deepstd.train")
Report = Callable[[str, float], None]


@dataclass(frozen=True)
class Trained:
    """What a run has learned.

    Attributes:
        shape: template and shape model, or None.
        networks: the texture networks, tables frozen.
        history: validation figures of those that were trained.
        seconds: training time of those.
        shape_seconds: time that template, shape model and fields took.
        start: name and version of the bundle the run began with, or None.
        finished: whether the schedule ran to its end.
    """

    shape: ShapeModel | None
    networks: dict[Part, Network]
    history: dict[Part, list[dict[str, float]]]
    seconds: dict[Part, float]
    shape_seconds: float
    start: str | None
    finished: bool


def train(
    scans: list[CachedScan],
    config: TrainConfig,
    folder: Path,
    *,
    total_seconds: float,
    session_seconds: float | None = None,
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
        total_seconds: time for the whole run, over all its sessions, template and shape included;
            at least half of it goes to the networks, even if the rest was not enough for shape.
        session_seconds: stop this session after so long, to go on later with ``resume``.
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
    began = time.monotonic()
    stop_at = began + (session_seconds if session_seconds is not None else total_seconds * 10)
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
    trained_parts = [part for part in config.parts if str(part) not in config.kept]
    if start is not None and not resume:
        run.start = start.name
        run.shape = start.shape if config.template else None
    if config.template and run.shape is None and group.leads:
        train_scans = _of(scans, config.ndims[0], "train")
        run.shape = build_shape_model(
            [s.voxels.astype(np.float32) for s in train_scans],
            [s.affine for s in train_scans],
            max_seconds=config.shape_share * total_seconds,
            seed=config.seed,
            device=device,
            progress=report,
        )
        run.shape_seconds += time.monotonic() - began
        save_checkpoint(folder, config, run)
    examples: dict[Part, list[Example]] = {}
    finished = True
    for part in trained_parts:
        ndim = 3 if isinstance(part, str) else part
        fewest = FEWEST if isinstance(part, str) else 1
        chosen = _of(scans, ndim, "train", fewest)
        checked = _from_every_source(_of(scans, ndim, "validation", fewest))[:_VALIDATION_SCANS]
        if not chosen:
            raise InputError(
                f"the cache holds no scan of {fewest} slices or more to train the network for "
                "slices between others on"
            )
        if run.shape is not None and group.leads:
            before = time.monotonic()
            _register(chosen + checked, run.shape, run.fields, report)
            run.shape_seconds += time.monotonic() - before
            save_checkpoint(folder, config, run)
        if config.template:
            group.wait()
            if not group.leads:
                made = load_checkpoint(folder, config, device)
                run.shape, run.fields = made.shape, made.fields
                run.shape_seconds = made.shape_seconds
        left = total_seconds - run.shape_seconds
        share = max(left, _NETWORKS_SHARE * total_seconds) / len(trained_parts)

        def example(scan: CachedScan) -> Example:
            return make_example(scan, run.shape, run.fields.get(scan.key)).to(device)

        examples[part] = [example(scan) for scan in chosen]
        validation = [example(scan) for scan in checked]
        if part == 2 and config.learns_slices:
            for split, images in (("train", examples[part]), ("validation", validation)):
                images.extend(_slices(map(example, _of(scans, 3, split)), split == "train"))
        if part not in run.states:
            if start is None and run.start is not None:
                raise InputError(f"the run began with {run.start}: name that with --from")
            sizes = config.network(part)
            network = untrained(sizes) if start is None else start.network(part, sizes)
            group.same(network.to(device))
            run.states[part] = new_state(part, network, config)
            if group.leads:
                # A later session may be on a machine without the bundle.
                save_checkpoint(folder, config, run)
        state = run.states[part]
        while group.first(state.seconds < share and time.monotonic() < stop_at):
            until = min(stop_at, time.monotonic() + _CHECKPOINT_EVERY)
            train_until(
                state,
                examples[part],
                validation or examples[part],
                config,
                total_seconds=share,
                stop_at=until,
                report=report,
                group=group,
            )
            if group.leads:
                save_checkpoint(folder, config, run)
        finished = finished and state.seconds >= share
    networks = dict(kept)
    for part, state in run.states.items():
        report(f"freezing the tables of the {titled(part)} network", 1.0)
        networks[part] = averaged(state)
        freeze_tables(state, networks[part], examples[part], config, batches=_TABLE_BATCHES)
    return Trained(
        run.shape,
        networks,
        {part: s.history for part, s in run.states.items()},
        {part: s.seconds for part, s in run.states.items()},
        run.shape_seconds,
        run.start,
        finished,
    )


def _of(scans: list[CachedScan], ndim: int, split: str, fewest: int = 1) -> list[CachedScan]:
    """Scans of a number of axes, with so many voxels along each of them."""
    alike = [s for s in scans if s.voxels.ndim == ndim and s.split == split]
    return [s for s in alike if min(s.voxels.shape) >= fewest]


def _slices(volumes: Iterable[Example], every: bool) -> list[Example]:
    """Slices of volumes, of sources of their own; the middle one of each if not every one."""
    slices = []
    for volume in volumes:
        own = slices_of(replace(volume, source=~volume.source))
        slices.extend(own if every else own[len(own) // 2 :][:1])
    return slices


def _from_every_source(scans: list[CachedScan]) -> list[CachedScan]:
    """Reordered so that every source folder is among the first."""
    seen: Counter[int] = Counter()
    ranks = []
    for scan in scans:
        ranks.append(seen[scan.source])
        seen[scan.source] += 1
    return [scans[n] for n in np.argsort(ranks, kind="stable")]


def _register(
    scans: list[CachedScan], shape: ShapeModel, fields: dict[str, FieldCode], report: Report
) -> None:
    """Fit the fields that a checkpoint does not have yet."""
    missing = [scan for scan in scans if scan.key not in fields]
    for first in range(0, len(missing), _REGISTERED_AT_ONCE):
        some = missing[first : first + _REGISTERED_AT_ONCE]
        volumes = [scan.voxels.astype(np.float32) for scan in some]
        found = register_all(volumes, [scan.affine for scan in some], shape)
        fields.update({scan.key: code for scan, (code, _) in zip(some, found, strict=True)})
        told = [one for _, one in found]
        report(
            f"registered {first + len(some)} of {len(missing)} scans: correlation "
            f"{np.mean([r.ncc_before for r in told]):.3f} -> "
            f"{np.mean([r.ncc_after for r in told]):.3f}, cycle error "
            f"{np.mean([r.cycle_error_voxels for r in told]):.2f} voxels, folding "
            f"{np.mean([r.folding_percent for r in told]):.3f} %, {told[0].seconds:.2f} s a scan",
            0.0,
        )
