"""Training loop of one network against the clock.

    examples ─ crops, deformed or not, random steps ─ code ─▶ loss ─ gradients ─▶ Adam ─▶ average

The learning rate follows a cosine over the given time. Every fourth step of a wavelet network codes
only the coarse levels of large crops, as small crops hold few of their coefficients.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from deepstd.texture.kinds import BETWEEN, Part
from deepstd.texture.networks.integer import fixed_shifts
from deepstd.texture.networks.network import TextureNetwork
from deepstd.texture.scaling import STEPS_PER_OCTAVE
from deepstd.texture.trainable import Trainable
from deepstd.train.between import draw_batch
from deepstd.train.coding import Batch, Seen, batch_of, code
from deepstd.train.config import TrainConfig
from deepstd.train.data import Cut, Example, draw, random_crops, window_of
from deepstd.train.deformation import Deformations
from deepstd.train.distillation import Distillation
from deepstd.train.distributed import ALONE, Group
from deepstd.train.frequencies import fitted_tables
from deepstd.train.retention import Retention
from deepstd.train.validation import VALIDATION_RATES, validate
from deepstd.train.variation import magnified_crops, varied_crops

_WARM_UP = 30  # steps
_BIAS_RATE = 4.0  # learning rate of biases, relative to weights
_GRADIENT_LIMIT = 5.0  # largest norm of all gradients together
_AVERAGE = 0.998  # decay of the running average of weights
_VALIDATIONS = 10  # in a run
_COARSE_EVERY = 4  # steps
_FEWEST_TABLE_BATCHES = 2
_COARSE_LEVEL = {2: 2, 3: 1}  # finest level of such steps, by number of axes


@dataclass
class TrainingState:
    """State of a network's training, enough to resume it.

    Attributes:
        part: key of the network.
        network, optimiser: network and optimiser after the last step.
        average: running average of the weights, by name.
        seconds: training time so far.
        steps: training steps so far.
        history: validation metrics, in order of time.
        share: seconds of the whole training; 0 before they are decided.
    """

    part: Part
    network: Trainable
    optimiser: torch.optim.Adam
    average: dict[str, torch.Tensor]
    seconds: float = 0.0
    steps: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    share: float = 0.0


def new_state(part: Part, network: Trainable, config: TrainConfig) -> TrainingState:
    """Return the state of a network before its first step."""
    parameters = list(network.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "rate": 1.0},
        {"params": [p for p in parameters if p.ndim == 1], "rate": _BIAS_RATE},
    ]
    optimiser = torch.optim.Adam(groups, lr=config.learning_rate)
    average = {n: p.detach().clone() for n, p in network.named_parameters()}
    return TrainingState(part, network, optimiser, average)


def train_until(
    state: TrainingState,
    examples: list[Example],
    validation: list[Example],
    config: TrainConfig,
    *,
    total_seconds: float,
    stop_at: float,
    report: Callable[[str, float], None],
    retention: Retention | None = None,
    distillation: Distillation | None = None,
    group: Group = ALONE,
    clock: Callable[[], float] = time.monotonic,
) -> bool:
    """Train until the clock reads ``stop_at``, or to the end of the schedule and a last validation.

    Args:
        state: state of the training, changed in place.
        examples: training examples of one number of axes.
        validation: validation examples.
        config: description of the run.
        total_seconds: length of the schedule over all sessions of the run.
        stop_at: time to stop at in this session, on ``clock``.
        report: called with a sentence and the share done.
        retention: loss that keeps the network as it was, with half of each batch; None for none.
        distillation: teacher whose features supervise the network's; None for none.
        group: processes that average their gradients and follow the first one's clock.
        clock: returns seconds: wall time, or CPU time for comparable runs.

    Returns:
        True once the schedule has ended.
    """
    network = state.network
    device = next(network.parameters()).device
    seed = config.seed + state.steps + group.seed
    random = np.random.default_rng(seed)
    generator = torch.Generator(device=device).manual_seed(seed)
    began, before = clock(), state.seconds
    cut = window_of
    if config.deformation:
        cut = Deformations(config.deformation, np.random.default_rng([seed, 1])).crop
    half = config if retention is None else replace(config, batch=max(1, config.batch // 2))
    validate_every = max(30.0, total_seconds / _VALIDATIONS)
    validated = state.history[-1]["seconds"] if state.history else 0.0
    next_validation = validated + validate_every
    validating = 0.0

    def measure() -> float:
        """Validate and return the seconds spent."""
        start = state.seconds
        metrics = validate(state.part, averaged(state), validation, config)
        state.history.append({"seconds": start, "steps": state.steps, **metrics})
        report(_sentence(state, metrics), start / total_seconds)
        state.seconds = group.first(before + clock() - began)
        return state.seconds - start

    def is_over() -> bool:
        """Return True where the remaining time is enough for the last validation only."""
        return state.seconds + validating >= total_seconds

    while group.first(clock() < stop_at and not is_over()):
        share = state.seconds / total_seconds
        warm = min(1.0, (state.steps + 1) / _WARM_UP)
        rate = config.learning_rate * warm * max(0.01, 0.5 * (1 + math.cos(math.pi * share)))
        for parameters in state.optimiser.param_groups:
            parameters["lr"] = rate * parameters["rate"]
        last = state.steps % _COARSE_EVERY == _COARSE_EVERY - 1
        coarse = last and isinstance(network, TextureNetwork)
        level = _COARSE_LEVEL[network.config.ndim] if coarse else 0
        with fixed_shifts(network):
            batch, sizes = _drawn(
                state.part, network, examples, half, random, generator, level=level, cut=cut
            )
            args = network, batch, sizes, half.rate_weight, generator
            if distillation is None:
                loss = code(*args, last_level=level).loss.mean()
            else:
                coded, apart = distillation.code(*args, level)
                loss = coded.loss.mean() + apart
            if retention is not None:
                kept = _drawn(
                    state.part, network, retention.examples, half, random, generator, level=level
                )
                loss = loss + retention.loss(network, *kept, config.rate_weight, generator, level)
        state.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        group.average_gradients(network)
        torch.nn.utils.clip_grad_norm_(network.parameters(), _GRADIENT_LIMIT)
        state.optimiser.step()
        _update_average(state)
        state.steps += 1
        state.seconds = group.first(before + clock() - began)
        if state.seconds >= next_validation and not is_over():
            next_validation = state.seconds + validate_every
            validating = measure()
    if not is_over():
        return False
    if not state.history or state.history[-1]["steps"] < state.steps:
        measure()
    return True


def _drawn(
    part: Part,
    network: Trainable,
    examples: list[Example],
    config: TrainConfig,
    random: np.random.Generator,
    generator: torch.Generator,
    *,
    level: int,
    varied: bool = True,
    cut: Cut = window_of,
) -> tuple[Batch, tuple[int, ...]]:
    """Draw random crops, twice as long an axis for each level left out.

    Returns:
        The crops with their conditioning, and the relative spacing codes of their voxels.
    """
    largest = (config.crop_2d if network.config.ndim == 2 else config.crop_3d) << level
    if part == BETWEEN and isinstance(network, TextureNetwork):
        return draw_batch(network, examples, config, random, generator, largest=largest)
    crops_of = random_crops
    if varied and config.varied:
        crops_of = magnified_crops if config.template else varied_crops
    crops = crops_of(draw(examples, config.batch, random), largest, random, cut)
    return batch_of(crops, _step_codes(crops, config, random)), crops[0].coarse


def _step_codes(
    crops: list[Example], config: TrainConfig, random: np.random.Generator
) -> list[int]:
    return [round(float(random.uniform(*config.rates)) * STEPS_PER_OCTAVE) for _ in crops]


def _update_average(state: TrainingState) -> None:
    keep = min(_AVERAGE, (state.steps + 1) / (state.steps + 10))
    with torch.no_grad():
        for name, parameter in state.network.named_parameters():
            state.average[name].lerp_(parameter, 1.0 - keep)


def _sentence(state: TrainingState, metrics: dict[str, float]) -> str:
    points = ", ".join(
        f"{metrics[f'bpv_{r}']:.4f} bpv {metrics[f'psnr_{r}']:.2f} dB" for r in VALIDATION_RATES
    )
    return f"{titled(state.part)} network, step {state.steps}: {points}"


def titled(part: Part) -> str:
    """Return the name of a network for messages."""
    return part if isinstance(part, str) else f"{part}-D"


def averaged(state: TrainingState) -> Trainable:
    """Return a copy of the network with the running average of its weights, for evaluation."""
    network = deepcopy(state.network)
    network.load_state_dict({**network.state_dict(), **state.average})
    return network.eval()


def freeze_tables(
    state: TrainingState,
    network: Trainable,
    examples: list[Example],
    config: TrainConfig,
    *,
    batches: int,
    seconds: float = math.inf,
) -> None:
    """Fit a network's integer frequency tables to the symbols of training crops.

    Args:
        state: state of its training.
        network: network whose tables are replaced.
        examples: examples to draw crops from.
        config: description of the run.
        batches: number of batches to code.
        seconds: time after which coding stops early, but not before two batches.
    """
    device = next(network.parameters()).device
    random = np.random.default_rng(config.seed)
    generator = torch.Generator(device=device).manual_seed(config.seed)
    seen: Seen = []
    began = time.monotonic()
    for number in range(batches):
        if number >= _FEWEST_TABLE_BATCHES and time.monotonic() - began > seconds:
            break
        with torch.no_grad():
            batch, sizes = _drawn(
                state.part, network, examples, config, random, generator, level=0, varied=False
            )
            code(network, batch, sizes, config.rate_weight, generator, seen=seen)
    residual = torch.cat([r for r, _ in seen]).float().cpu().numpy()
    scales = torch.cat([i for _, i in seen]).cpu().numpy().astype(np.uint8)
    network.tables = fitted_tables(residual, scales, network.tables, config.rate_weight)
