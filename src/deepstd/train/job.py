"""Session of a training run: its stages, their order and their time.

template, shape model ─ examples ─ train each network ─ checkpoints ─ freeze the tables
                       Budget ─▶ seconds of each stage
"""

from __future__ import annotations

import time
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch

from deepstd.errors import InputError
from deepstd.texture.kinds import Part
from deepstd.texture.trainable import Trainable, untrained
from deepstd.train.between import FEWEST
from deepstd.train.budget import READY_SHARE, Budget
from deepstd.train.cache import CachedScan
from deepstd.train.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from deepstd.train.config import TrainConfig
from deepstd.train.data import Example, make_example
from deepstd.train.distributed import Group
from deepstd.train.loop import (
    TrainingState,
    averaged,
    freeze_tables,
    new_state,
    titled,
    train_until,
)
from deepstd.train.ready import (
    Report,
    by_chance,
    from_every_source,
    interleaved,
    of_kind,
    register_within,
    slices_from,
    with_fields,
)
from deepstd.train.retention import Retention
from deepstd.train.start import Start
from deepstd.train.synthetic import synthetic_scans
from deepstd.train.teacher import Teacher
from deepstd.train.template.build import build_shape_model
from deepstd.train.update import Verdict, judged

_CHECKPOINT_EVERY = 120.0  # seconds
_TABLE_BATCHES = 60  # batches whose symbols the frequency tables are fitted to
# Share of the remaining time for these batches; the rest is for tables and bundle.
_BATCHES_SHARE = 0.5
_VALIDATION_SCANS = 6  # scans of a validation, at most
# Least share of the networks in releases whose checkpoints lack the shares.
_FORMER_SHARE = 0.5


class Job:
    """Session of a run.

    Args:
        scans: scans of the cache.
        config: description of the run.
        folder: folder of the checkpoint.
        run: state of the run, updated in place.
        start: bundle that the run begins with, or None.
        device: device of the networks.
        report: called with a sentence and the share done.
        group: processes of the run.
        budget: time of the run.
        stop_at: value of `time.monotonic` at the end of the session.
        old: scans of earlier training where a bundle is updated, none for synthetic ones; None
            where a bundle is trained.
        teacher: bundle whose features supervise the networks, or None.

    Attributes:
        parts: keys of the networks to train.
        used: keys of the scans that each network learns from.
        verdicts: validation of each updated network.
        finished: True where all schedules ran to their ends.
    """

    def __init__(
        self,
        scans: list[CachedScan],
        config: TrainConfig,
        folder: Path,
        run: Checkpoint,
        start: Start | None,
        device: torch.device | str,
        report: Report,
        group: Group,
        budget: Budget,
        stop_at: float,
        old: list[CachedScan] | None = None,
        teacher: Teacher | None = None,
    ) -> None:
        self._scans, self._config, self._folder, self._run = scans, config, folder, run
        self._start, self._device, self._report, self._group = start, device, report, group
        self._budget, self._stop_at = budget, stop_at
        self._old, self._teacher = old, teacher
        self._examples: dict[Part, list[Example]] = {}
        self._checked: dict[Part, tuple[list[Example], list[Example]]] = {}
        self.parts = [part for part in config.parts if str(part) not in config.kept]
        self.used: dict[Part, set[str]] = {}
        self.verdicts: dict[Part, Verdict] = {}
        self.finished = True
        for state in run.states.values():
            # Where the time of the run has changed, the share of each network scales with it.
            state.share *= budget.total / (run.total or budget.total)

    def build_shape(self) -> None:
        """Build template and shape model, where the run needs them and has none."""
        config, run = self._config, self._run
        if not config.template or run.shape is not None or not self._group.leads:
            return
        began = time.monotonic()
        chosen = of_kind(self._scans, config.ndims[0], "train")
        run.shape = build_shape_model(
            [s.voxels.astype(np.float32) for s in chosen],
            [s.affine for s in chosen],
            max_seconds=config.shape_share * self._budget.total,
            seed=config.seed,
            device=self._device,
            progress=self._report,
        )
        run.shape_seconds += time.monotonic() - began
        self._save()

    def train(self) -> None:
        """Train the networks in turn until the session ends."""
        for part in self.parts:
            self._begin(part)
        for part in self.parts:
            self._train(part)
            if not self.finished:
                return

    def _train(self, part: Part) -> None:
        """Train a network until its schedule or the session ends."""
        examples, validation = self._ready(part, self._scans)
        retention = self._retention(part, validation)
        distillation = None
        if self._teacher is not None:
            distillation = self._teacher.distillation(part, self._config, self._device)
        self._examples[part] = examples
        state = self._run.states[part]
        share = self._share(state)
        ended = state.seconds >= share
        while self._group.first(not ended and time.monotonic() < self._stop_at):
            ended = train_until(
                state,
                examples,
                validation or examples,
                self._config,
                total_seconds=share,
                stop_at=min(self._stop_at, time.monotonic() + _CHECKPOINT_EVERY),
                report=self._report,
                retention=retention,
                distillation=distillation,
                group=self._group,
                clock=time.monotonic,
            )
            began = time.monotonic()
            if ended:
                # A later session, perhaps on another machine, must not train further.
                state.share = state.seconds
            self._save()
            if not ended:
                # The time of writing a checkpoint counts as training.
                state.seconds = self._group.first(state.seconds + time.monotonic() - began)
        self.finished = ended

    def frozen(self) -> dict[Part, Trainable]:
        """Return the networks with averaged weights.

        If the run is finished, fit their tables; in an update keep the tables, and fall back on the
        networks of before where the new ones are not better.
        """
        networks: dict[Part, Trainable] = {}
        states = self._run.states
        for number, (part, state) in enumerate(states.items()):
            networks[part] = averaged(state)
            if self.finished and self._old is not None:
                self._report(f"comparing the {titled(part)} network with that of before", 1.0)
                before = self._before(part)
                networks[part], self.verdicts[part] = judged(
                    part, before, networks[part], *self._checked[part], self._config
                )
            elif self.finished:
                self._report(f"freezing the tables of the {titled(part)} network", 1.0)
                freeze_tables(
                    state,
                    networks[part],
                    self._examples[part],
                    self._config,
                    batches=_TABLE_BATCHES,
                    seconds=_BATCHES_SHARE * self._budget.left / (len(states) - number),
                )
        return networks

    def _retention(self, part: Part, validation: list[Example]) -> Retention | None:
        """Return what keeps a network as it was; None where no bundle is updated."""
        if self._old is None:
            return None
        ndim = 2 if part == 2 else 3
        own = of_kind(self._old, ndim, "train")
        scans = self._old if own else synthetic_scans(ndim, self._run.shape, self._config.seed)
        used = self.used[part]
        examples, checked = self._ready(part, scans)
        self.used[part] = used
        self._checked[part] = validation, checked or examples
        return Retention(self._before(part), examples, is_replay=bool(own))

    def _before(self, part: Part) -> Trainable:
        """Return a network of the bundle that is updated, on the device of the run."""
        if self._start is None:
            raise InputError(f"the run updates {self._run.start}: name that with --update")
        return deepcopy(self._start.networks[part]).to(self._device).eval()

    def _ready(self, part: Part, scans: list[CachedScan]) -> tuple[list[Example], list[Example]]:
        """Return the training and the validation examples of a network from scans.

        Raises:
            InputError: no scan is thick enough for the network of predicted slices.
        """
        config, run, budget = self._config, self._run, self._budget
        ndim = 3 if isinstance(part, str) else part
        fewest = FEWEST if isinstance(part, str) else 1
        chosen = by_chance(of_kind(scans, ndim, "train", fewest), config.seed)
        checked = from_every_source(of_kind(scans, ndim, "validation", fewest))
        checked = checked[:_VALIDATION_SCANS]
        if not chosen and not (part == 2 and config.learns_slices):
            raise InputError(
                f"the cache holds no scan of {fewest} slices or more to train the network for "
                "slices between others on"
            )
        if config.template:
            chosen, checked = self._registered(part, chosen, checked)

        def example(scan: CachedScan) -> Example:
            return make_example(scan, run.shape, run.fields.get(scan.key)).to(self._device)

        share = READY_SHARE / len(self.parts)
        validation = [example(scan) for scan in checked]
        examples = list(budget.within(map(example, chosen), share))
        if len(examples) < len(chosen):
            message = f"the time is enough to learn from {len(examples)} of {len(chosen)} scans"
            self._report(message, 0.0)
        self.used[part] = {scan.key for scan in chosen[: len(examples)]}
        if part == 2 and config.learns_slices:
            volumes = by_chance(of_kind(scans, 3, "train"), config.seed)
            first = budget.within(map(example, volumes), share)
            checked = from_every_source(of_kind(scans, 3, "validation"))[:_VALIDATION_SCANS]
            examples.extend(slices_from(first, every=True))
            validation.extend(slices_from(map(example, checked), every=False))
        return examples, validation

    def _registered(
        self, part: Part, chosen: list[CachedScan], checked: list[CachedScan]
    ) -> tuple[list[CachedScan], list[CachedScan]]:
        """Register scans within the budget; return training and validation scans with fields."""
        run, group = self._run, self._group
        if run.shape is not None and group.leads and not run.states[part].steps:
            began = time.monotonic()
            wanted = interleaved(chosen, checked)
            register_within(wanted, run.shape, run.fields, self._budget, self._report)
            run.shape_seconds += time.monotonic() - began
            self._save()
        group.wait()
        if not group.leads:
            made = load_checkpoint(self._folder, self._config, self._device)
            run.shape, run.fields = made.shape, made.fields
            run.shape_seconds = made.shape_seconds
        return with_fields(chosen, run.fields), with_fields(checked, run.fields)

    def _begin(self, part: Part) -> None:
        """Make a network that the checkpoint lacks, from scratch or from the start bundle."""
        run, start, group = self._run, self._start, self._group
        if part in run.states:
            return
        if start is None and run.start is not None:
            raise InputError(f"the run began with {run.start}: name that with --from")
        sizes = self._config.network(part)
        network = untrained(sizes) if start is None else start.network(part, sizes)
        group.same(network.to(self._device))
        run.states[part] = new_state(part, network, self._config)
        # A later session may be on a machine without the bundle.
        self._save()

    def _share(self, state: TrainingState) -> float:
        """Return the training time of a network over all sessions, equal for all processes."""
        budget, run = self._budget, self._run
        begun = sum(other.share > 0 for other in run.states.values())
        if state.share:
            share = min(state.share, state.seconds + budget.left_for_networks)
        elif state.seconds:
            left = max(budget.total - run.shape_seconds, _FORMER_SHARE * budget.total)
            share = min(left / len(self.parts), state.seconds + budget.left_for_networks)
        else:
            share = budget.for_next_network(len(self.parts) - begun, len(self.parts))
        state.share = self._group.first(share)
        return state.share

    def _save(self) -> None:
        """Write the checkpoint from the first process."""
        if self._group.leads:
            self._run.seconds, self._run.total = self._budget.spent, self._budget.total
            save_checkpoint(self._folder, self._config, self._run)
