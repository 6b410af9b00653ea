"""Training and measuring of one variant, and the results that are kept.

    N scans ─ template, fields ─▶ examples ─ train for a CPU time ─▶ network
    network, test scans ─▶ bits and PSNR at four steps ─▶ results/fewshot.json

Bits are those the model gives the symbols, which are a file's to a thousandth. Template and shape
model come from the same scans as the network.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from benchmarks.fewshot.studies import BOTH, PLAIN, STUDIES, TEACHER, Study
from benchmarks.standing.results import FOLDER
from benchmarks.standing.studies import Scan
from deepstd import io
from deepstd.errors import InputError
from deepstd.shape.model import FieldCode
from deepstd.shape.register import register_all
from deepstd.texture.description import description_of
from deepstd.texture.scaling import STEPS_PER_OCTAVE
from deepstd.texture.trainable import Trainable, trainable_of, untrained
from deepstd.train.cache import CachedScan
from deepstd.train.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from deepstd.train.coding import code_batch
from deepstd.train.config import TrainConfig
from deepstd.train.data import Example, make_example
from deepstd.train.distillation import Distillation
from deepstd.train.loop import averaged, freeze_tables, new_state, train_until
from deepstd.train.template.build import build_shape_model

OUT = FOLDER / "fewshot.json"
_PART = 3
_TEST, _VALIDATION, _TOGETHER = 12, 8, 16  # scans
_TEMPLATE_SECONDS = 90.0
_TABLE_BATCHES = 20


@dataclass(frozen=True)
class Run:
    """A variant, trained and measured.

    Attributes:
        study, transform, variant: which.
        count: training scans.
        minutes: CPU time of the training.
        steps: of training.
        strength: of the deformations; 0 without.
        points: by test scan, bits a voxel and PSNR in dB (peak: the scaling's range) at each step.
    """

    study: str
    transform: str
    variant: str
    count: int
    minutes: float
    steps: int
    strength: float
    points: dict[str, list[tuple[float, float]]]

    @property
    def key(self) -> tuple[str, str, str, int]:
        """Identity of a measurement that is made once."""
        return self.study, self.transform, self.variant, self.count


@dataclass(frozen=True)
class Bench:
    """Scans of a study with one number of training scans, laid on their template.

    Attributes:
        study: the data set.
        training, validation, test: examples by the scan's name.
    """

    study: Study
    training: dict[str, Example]
    validation: dict[str, Example]
    test: dict[str, Example]


def prepared(study: Study, count: int, data: Path, work: Path) -> Bench:
    """Build the template of the first scans and register all, or take them from ``work``.

    Args:
        study: the data set.
        count: number of training scans.
        data: folder of the scans.
        work: folder of intermediate results.
    """
    parts = {
        "train": study.scans("train", count),
        "validation": study.scans("validation", _VALIDATION),
        "test": study.scans("test", _TEST),
    }
    scans: dict[str, CachedScan] = {}
    for part, names in parts.items():
        for name in names:
            volume = Scan.read(data, name).volume
            affine = io.affine_of(volume.source)
            scans[name] = CachedScan(name, name, part, volume.voxels.astype(np.float32), affine)
    folder = work / f"{study.data_set}-{count}"
    try:
        known = load_checkpoint(folder, study.config, "cpu")
    except InputError:
        known = Checkpoint()
    if known.shape is None:
        own = [scans[name] for name in parts["train"]]
        known.shape = build_shape_model(
            [s.voxels for s in own],
            [s.affine for s in own],
            max_seconds=_TEMPLATE_SECONDS,
            seed=study.config.seed,
        )
        fields: dict[str, FieldCode] = {}
        names = list(scans)
        for start in range(0, len(names), _TOGETHER):
            some = [scans[name] for name in names[start : start + _TOGETHER]]
            found = register_all([s.voxels for s in some], [s.affine for s in some], known.shape)
            fields.update({s.name: code for s, (code, _) in zip(some, found, strict=True)})
            print(f"{len(fields)} of {len(names)} scans registered", flush=True)
        known.fields = fields
        save_checkpoint(folder, study.config, known)

    def examples(part: str) -> dict[str, Example]:
        return {n: make_example(scans[n], known.shape, known.fields[n]) for n in parts[part]}

    return Bench(study, examples("train"), examples("validation"), examples("test"))


def trained(
    bench: Bench, config: TrainConfig, minutes: float, teacher: Trainable | None, label: str
) -> tuple[Trainable, int]:
    """Train a network for a CPU time; return it with fitted tables, and its steps."""
    torch.manual_seed(config.seed)
    state = new_state(_PART, untrained(config.network(_PART)), config)
    distillation = None
    if teacher is not None:
        distillation = Distillation(teacher, config.teacher_weight, config.teacher_places)
    training = list(bench.training.values())
    train_until(
        state,
        training,
        list(bench.validation.values())[:2],
        config,
        total_seconds=60 * minutes,
        stop_at=math.inf,
        report=lambda message, share: print(f"{label}: {message}", flush=True),
        distillation=distillation,
        clock=time.process_time,
    )
    network = averaged(state)
    freeze_tables(state, network, training, config, batches=_TABLE_BATCHES)
    return network, state.steps


def points(
    network: Trainable, examples: dict[str, Example], steps: Sequence[float], config: TrainConfig
) -> dict[str, list[tuple[float, float]]]:
    """Return bits a voxel and PSNR of whole scans at each quantiser step."""
    found: dict[str, list[tuple[float, float]]] = {}
    for name, example in examples.items():
        found[name] = []
        for rate in steps:
            generator = torch.Generator().manual_seed(config.seed)
            code = round(rate * STEPS_PER_OCTAVE)
            with torch.no_grad():
                coded = code_batch(network, [example], [code], config.rate_weight, generator)
            level = 20 * rate * math.log10(2) - 10 * math.log10(float(coded.error.mean()))
            found[name].append((round(float(coded.bits.mean()), 6), round(level, 4)))
    return found


def measure(
    study: str,
    transform: str,
    count: int,
    variant: str,
    minutes: float,
    strength: float,
    data: Path,
    work: Path,
) -> Run:
    """Train and measure a variant, unless it is known; keep it.

    The teacher is the plain network of all scans, which must have been trained before.

    Raises:
        InputError: it was measured with another time, or the teacher is missing.
    """
    one = STUDIES[study]
    known = {run.key: run for run in load()}.get((study, transform, variant, count))
    if known is not None:
        if known.minutes != minutes:
            raise InputError(
                f"{known.key} was trained for {known.minutes:g} minutes: go on with that"
            )
        return known
    config = one.settings(variant, transform, strength)
    teacher = None
    if variant in (TEACHER, BOTH):
        everything = len(one.scans("train"))
        teacher = _kept(_place(work, study, transform, everything, PLAIN), config)
    bench = prepared(one, count, data, work)
    label = f"{study}, {count} scans, {variant}"
    network, steps = trained(bench, config, minutes, teacher, label)
    place = _place(work, study, transform, count, variant)
    save_file(network.to_tensors(), place)
    network = _kept(place, config)
    found = points(network, bench.test, one.steps, config)
    run = Run(study, transform, variant, count, minutes, steps, config.deformation, found)
    _keep(run)
    return run


def _place(work: Path, study: str, transform: str, count: int, variant: str) -> Path:
    return work / f"{study}-{transform}-{count}-{variant}.safetensors"


def _kept(place: Path, config: TrainConfig) -> Trainable:
    """Read a network, ready to code."""
    if not place.is_file():
        raise InputError(f"{place}: train this network first")
    network = trainable_of(description_of(config.network(_PART)), load_file(place))
    return network.eval().requires_grad_(requires_grad=False)


def _keep(run: Run) -> None:
    lines = ",\n".join(json.dumps(asdict(one)) for one in [*load(), run])
    OUT.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def load() -> list[Run]:
    """Return the runs that are known."""
    if not OUT.is_file():
        return []
    known = json.loads(OUT.read_text(encoding="utf-8"))
    return [
        Run(**{**run, "points": {n: [tuple(p) for p in ps] for n, ps in run["points"].items()}})
        for run in known
    ]
