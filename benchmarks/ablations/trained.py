"""Parts whose worth only training can tell: left out, or added, and trained on for the same time.

    shipped network ─ changed ─ trained further ─▶ bits and error of whole test scans at four steps

Every variant begins with the weights of the study's bundle and has the same CPU time, so that the
one that changes nothing is the measure of the others. Bits are those the model gives the symbols,
which are a file's to a thousandth, and error is that of the whole scan after the post-filter.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch

from benchmarks.ablations import parts
from benchmarks.ablations.left_out import model_of
from benchmarks.standing.results import FOLDER
from benchmarks.standing.studies import STUDIES, Scan, split
from deepstd import io
from deepstd.codec.codec import Codec
from deepstd.codec.model import shape_model_of
from deepstd.evaluate.metrics import bd_rate
from deepstd.shape.register import register_all
from deepstd.texture.networks.integer import thawed
from deepstd.texture.networks.network import TextureNetwork
from deepstd.texture.scaling import STEPS_PER_OCTAVE
from deepstd.train.cache import CachedScan
from deepstd.train.coding import code_batch
from deepstd.train.config import TrainConfig
from deepstd.train.data import Example, TensorConditioning, make_example
from deepstd.train.loop import averaged, new_state, train_until
from deepstd.train.start import Start

_OUT = FOLDER / "ablations-trained.json"
_CONFIGS = Path(__file__).resolve().parents[2] / "configs"
_TRAINING_SCANS, _TEST_SCANS, _TOGETHER = 64, 12, 16
_LEARNING_RATE = 1e-3
SHIPPED, UNCHANGED = "as shipped, not trained further", "unchanged"
# log2(range / step), from about 0.06 to 0.5 bits a voxel.
_STEPS = {"hippocampus": (1.0, 1.75, 2.5, 3.25), "xray": (2.5, 3.5, 4.5, 5.5)}
_DATA_SETS = {"hippocampus": ("hippocampus-t1", ""), "xray": ("chest-xray", "chest-xray/images/")}
STUDIES_TRAINED = tuple(_STEPS)
Examples = list[Example]
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Curve:
    """A variant on one scan.

    Attributes:
        study, variant, scan: which.
        model: name and version of the bundle that it began with.
        minutes, steps: that it was trained for.
        points: bits a voxel and PSNR in dB (peak: the scaling's range) at each quantiser step.
    """

    study: str
    variant: str
    scan: str
    model: str
    minutes: float
    steps: int
    points: list[tuple[float, float]]


@dataclass(frozen=True)
class Variant:
    """What is changed before training goes on.

    Attributes:
        added: to the network; lasts while the context does.
        seen: what becomes of the examples.
        rate: number of the only step it is trained for, or None for all of the bundle's range.
    """

    added: Callable[[TextureNetwork], AbstractContextManager[None]] = lambda _: nullcontext()
    seen: Callable[[TensorConditioning], TensorConditioning] = lambda conditioning: conditioning
    rate: int | None = None


def _without_template(conditioning: TensorConditioning) -> TensorConditioning:
    return TensorConditioning(torch.zeros_like(conditioning.template), conditioning.places)


def _without_places(conditioning: TensorConditioning) -> TensorConditioning:
    return TensorConditioning(conditioning.template, torch.zeros_like(conditioning.places))


VARIANTS = {
    UNCHANGED: Variant(),
    "no template features": Variant(seen=_without_template),
    "no template coordinates": Variant(seen=_without_places),
    "learned lifting step": Variant(parts.learned_update),
    "filter after every level": Variant(parts.level_filter),
    "window attention in the context model": Variant(parts.attention_in_context),
    "TCM blocks in the post-filter": Variant(parts.attention_in_filter),
    "trained for the 1st step alone": Variant(rate=0),
    "trained for the 3rd step alone": Variant(rate=2),
}


def measure(study: str, minutes: float, only: Sequence[str], data: Path) -> None:
    """Train and measure the variants that are missing with the bundle of the day.

    Args:
        study: one of `STUDIES_TRAINED`.
        minutes: of CPU time for each.
        only: names of variants, besides the one to compare with; all if none are given.
        data: folder of the scans.

    Raises:
        ValueError: others were trained for another time.
    """
    codec = Codec.load(STUDIES[study].bundle, device="cpu")
    model = model_of(codec)
    kept = [curve for curve in load() if (curve.study, curve.model) == (study, model)]
    times = {curve.minutes for curve in kept} - {0.0}
    if times - {minutes}:
        raise ValueError(f"the other variants were trained for {times} minutes: go on with that")
    known = {curve.variant for curve in kept}
    asked = {UNCHANGED, *only} if only else VARIANTS
    missing = [name for name in VARIANTS if name in asked and name not in known]
    if not missing:
        return
    config = TrainConfig.read(_CONFIGS / f"{STUDIES[study].bundle}.toml")
    part = config.ndims[0]
    shipped = cast(TextureNetwork, Start.of(codec.bundle).networks[part])
    tested = STUDIES[study].scans[:_TEST_SCANS]
    training = _examples(codec, split(*_of(study))[:_TRAINING_SCANS], data)
    test = _examples(codec, tested, data)
    if SHIPPED not in known:
        _keep(_curves(Curve(study, SHIPPED, "", model, 0.0, 0, []), shipped, test, tested, config))
    for name in missing:
        variant = VARIANTS[name]
        torch.manual_seed(config.seed)
        network = thawed(deepcopy(shipped))
        rates = config.rates
        if variant.rate is not None:
            rates = (_STEPS[study][variant.rate],) * 2
        own = replace(config, learning_rate=_LEARNING_RATE, rates=rates)
        with variant.added(network):
            state = new_state(part, network, own)
            train_until(
                state,
                _seen(training, variant),
                _seen(test[:1], variant),
                own,
                total_seconds=60 * minutes,
                stop_at=math.inf,
                report=lambda message, share, name=name: print(f"{name}: {message}", flush=True),
                clock=time.process_time,
            )
            trained = cast(TextureNetwork, averaged(state))
            examples = _seen(test, variant)
            curve = Curve(study, name, "", model, minutes, state.steps, [])
            _keep(_curves(curve, trained, examples, tested, own))


def _of(study: str) -> tuple[str, str, str]:
    data_set, folder = _DATA_SETS[study]
    return data_set, "train", folder


def _examples(codec: Codec, names: Sequence[str], data: Path) -> Examples:
    """Scans laid on the bundle's template."""
    model = shape_model_of(codec.bundle)
    if model is None:
        raise ValueError("a study of a bundle with a template is needed")
    scans = []
    for name in names:
        volume = Scan.read(data, name).volume
        scans.append(CachedScan(name, name, "", volume.voxels, io.affine_of(volume.source)))
    examples = []
    for start in range(0, len(scans), _TOGETHER):
        some = scans[start : start + _TOGETHER]
        volumes = [scan.voxels.astype(np.float32) for scan in some]
        found = register_all(volumes, [scan.affine for scan in some], model)
        examples += [make_example(s, model, code) for s, (code, _) in zip(some, found, strict=True)]
        print(f"{len(examples)} of {len(scans)} scans registered", flush=True)
    return examples


def _seen(examples: Examples, variant: Variant) -> Examples:
    return [
        replace(e, conditioning=e.conditioning and variant.seen(e.conditioning)) for e in examples
    ]


def _curves(
    one: Curve,
    network: TextureNetwork,
    examples: Examples,
    names: Sequence[str],
    config: TrainConfig,
) -> list[Curve]:
    curves = []
    for name, example in zip(names, examples, strict=True):
        points = []
        for rate in _STEPS[one.study]:
            generator = torch.Generator().manual_seed(config.seed)
            code = round(rate * STEPS_PER_OCTAVE)
            with torch.no_grad():
                coded = code_batch(network, [example], [code], config.rate_weight, generator)
            level = 20 * rate * math.log10(2) - 10 * math.log10(float(coded.error.mean()))
            points.append((round(float(coded.bits.mean()), 6), round(level, 4)))
        curves.append(replace(one, scan=name, points=points))
    return curves


def _keep(curves: list[Curve]) -> None:
    lines = ",\n".join(json.dumps(asdict(curve)) for curve in [*load(), *curves])
    _OUT.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def load() -> list[Curve]:
    """Curves that are known."""
    if not _OUT.is_file():
        return []
    known = json.loads(_OUT.read_text(encoding="utf-8"))
    return [Curve(**{**c, "points": [tuple(p) for p in c["points"]]}) for c in known]


def table(curves: Sequence[Curve], study: str, model: str) -> list[str]:
    """Lines of the table of a study and a bundle."""
    own = [curve for curve in curves if (curve.study, curve.model) == (study, model)]
    reference = {curve.scan: curve for curve in own if curve.variant == UNCHANGED}
    own = [curve for curve in own if curve.scan in reference]
    lines = [
        f"Begun with `{model}`:\n",
        "| variant | CPU minutes | steps of training | bytes at equal PSNR |",
        "| --- | --- | --- | --- |",
    ]
    for name in dict.fromkeys(curve.variant for curve in own):
        some = [curve for curve in own if curve.variant == name]
        rate = VARIANTS[name].rate if name in VARIANTS else None
        more = [
            _change(reference[curve.scan].points, curve.points)
            if rate is None
            else _change_at(reference[curve.scan].points, curve.points[rate])
            for curve in some
        ]
        cells = [name, f"{some[0].minutes:g}", str(some[0].steps), f"{float(np.mean(more)):+.1f} %"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _change(
    reference: Sequence[tuple[float, float]], other: Sequence[tuple[float, float]]
) -> float:
    """BD-rate in per cent."""
    bits, levels = zip(*reference, strict=True)
    other_bits, other_levels = zip(*other, strict=True)
    return bd_rate(bits, levels, other_bits, other_levels)


def _change_at(reference: Points, point: tuple[float, float]) -> float:
    """Bits of one point over those of the reference at the same PSNR, in per cent."""
    bits, levels = zip(*reference, strict=True)
    slope = np.polyfit(levels, np.log(bits), 2)
    nearest = int(np.argmin(np.abs(np.subtract(levels, point[1]))))
    expected = math.log(bits[nearest]) + float(
        np.polyval(slope, point[1]) - np.polyval(slope, levels[nearest])
    )
    return 100 * (point[0] / math.exp(expected) - 1)
