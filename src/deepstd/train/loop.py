"""The training loop: one network, one clock.

    examples ─ crops, random steps ─ code ─▶ loss ─ gradients ─▶ Adam ─▶ running average

The learning rate follows a cosine fitted to the time given. Every few steps see large crops and
code only their coarse levels, which small crops show little of; the autoencoder has none.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field

import numpy as np
import torch

from deepstd.texture.entropy.integer import fixed_shifts
from deepstd.texture.kinds import BETWEEN, Part
from deepstd.texture.models import Network
from deepstd.texture.scaling import STEPS_PER_OCTAVE
from deepstd.texture.wavelet.network import TextureNetwork
from deepstd.train.between import draw_batch
from deepstd.train.coding import Coded, Seen, code_batch, code_units
from deepstd.train.config import TrainConfig
from deepstd.train.data import Example, draw, random_crops
from deepstd.train.distributed import ALONE, Group
from deepstd.train.frequencies import fitted_tables
from deepstd.train.variation import magnified_crops, varied_crops

_WARM_UP = 30
_BIAS_RATE = 4.0
_GRADIENT_LIMIT = 5.0
_AVERAGE = 0.998
_VALIDATION_RATES = (0.0, 2.0, 4.0)
_VALIDATIONS = 10
_COARSE_EVERY = 4
_FEWEST_TABLE_BATCHES = 2
_COARSE_LEVEL = {2: 2, 3: 1}


@dataclass
class TrainingState:
    """All that a run needs to go on where it stopped.

    Attributes:
        part: which network.
        network, optimiser: as the last step left them.
        average: running average of the weights.
        seconds: time that it was trained for.
        steps: that it was trained for.
        history: validation figures.
        share: seconds that it is to be trained for; 0 where that is not decided.
    """

    part: Part
    network: Network
    optimiser: torch.optim.Adam
    average: dict[str, torch.Tensor]
    seconds: float = 0.0
    steps: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    share: float = 0.0


def new_state(part: Part, network: Network, config: TrainConfig) -> TrainingState:
    """A run at its start."""
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
    group: Group = ALONE,
    clock: Callable[[], float] = time.monotonic,
) -> bool:
    """Train until the clock reads ``stop_at``, or to the end of the schedule and a last validation.

    Args:
        state: changed in place.
        examples: to train on, all of one number of axes.
        validation: to measure on now and then.
        config: of the run.
        total_seconds: that the schedule is fitted to, over all sessions of the run.
        stop_at: when to stop in this session.
        report: called with a sentence and the share done.
        group: processes that average their gradients and go by the first one's clock.
        clock: seconds by the clock on the wall; or those of the CPU, for runs to be compared.

    Returns:
        Whether the schedule has ended.
    """
    network = state.network
    device = next(network.parameters()).device
    seed = config.seed + state.steps + group.seed
    random = np.random.default_rng(seed)
    generator = torch.Generator(device=device).manual_seed(seed)
    began, before = clock(), state.seconds
    validate_every = max(30.0, total_seconds / _VALIDATIONS)
    validated = state.history[-1]["seconds"] if state.history else 0.0
    next_validation = validated + validate_every
    validating = 0.0

    def measure() -> float:
        """Validate; the seconds that this took."""
        start = state.seconds
        figures = validate(state, validation, config)
        state.history.append({"seconds": start, "steps": state.steps, **figures})
        report(_sentence(state, figures), start / total_seconds)
        state.seconds = group.first(before + clock() - began)
        return state.seconds - start

    def is_over() -> bool:
        """Whether what is left of the schedule is enough for the last validation alone."""
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
            coded = _coded(state, network, examples, config, random, generator, level=level)
        state.optimiser.zero_grad(set_to_none=True)
        coded.loss.mean().backward()
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


def _coded(
    state: TrainingState,
    network: Network,
    examples: list[Example],
    config: TrainConfig,
    random: np.random.Generator,
    generator: torch.Generator,
    *,
    level: int = 0,
    varied: bool = True,
    seen: Seen | None = None,
) -> Coded:
    """Random crops coded; larger ones where levels of the wavelet are left out."""
    largest = (config.crop_2d if network.config.ndim == 2 else config.crop_3d) << level
    if state.part == BETWEEN and isinstance(network, TextureNetwork):
        batch, sizes = draw_batch(network, examples, config, random, generator, largest=largest)
        return code_units(
            network, batch, sizes, config.rate_weight, generator, last_level=level, seen=seen
        )
    crops_of = random_crops
    if varied and config.varied:
        crops_of = magnified_crops if config.template else varied_crops
    crops = crops_of(draw(examples, config.batch, random), largest, random)
    codes = _step_codes(crops, config, random)
    return code_batch(
        network, crops, codes, config.rate_weight, generator, last_level=level, seen=seen
    )


def _step_codes(
    crops: list[Example], config: TrainConfig, random: np.random.Generator
) -> list[int]:
    return [round(float(random.uniform(*config.rates)) * STEPS_PER_OCTAVE) for _ in crops]


def _update_average(state: TrainingState) -> None:
    keep = min(_AVERAGE, (state.steps + 1) / (state.steps + 10))
    with torch.no_grad():
        for name, parameter in state.network.named_parameters():
            state.average[name].lerp_(parameter, 1.0 - keep)


def _sentence(state: TrainingState, figures: dict[str, float]) -> str:
    points = ", ".join(
        f"{figures[f'bpv_{r}']:.4f} bpv {figures[f'psnr_{r}']:.2f} dB" for r in _VALIDATION_RATES
    )
    return f"{titled(state.part)} network, step {state.steps}: {points}"


def titled(part: Part) -> str:
    """A part in words."""
    return part if isinstance(part, str) else f"{part}-D"


def averaged(state: TrainingState) -> Network:
    """The network with the running average of its weights."""
    network = deepcopy(state.network)
    network.load_state_dict({**network.state_dict(), **state.average})
    return network.eval()


def validate(
    state: TrainingState, validation: list[Example], config: TrainConfig
) -> dict[str, float]:
    """Mean bits per voxel and PSNR (peak: the scan's range) at three steps."""
    network = averaged(state)
    device = next(network.parameters()).device
    generator = torch.Generator(device=device).manual_seed(0)
    random = np.random.default_rng(0)
    figures: dict[str, float] = {}
    for rate in _VALIDATION_RATES:
        bits, levels = [], []
        for example in validation:
            with torch.no_grad():
                coded = _validated(state, network, example, config, rate, random, generator)
            error = float(coded.error.mean())
            bits.append(float(coded.bits.mean()))
            levels.append(20 * rate * math.log10(2.0) - 10 * math.log10(error))
        figures[f"bpv_{rate}"] = float(np.mean(bits))
        figures[f"psnr_{rate}"] = float(np.mean(levels))
    return figures


def _validated(
    state: TrainingState,
    network: Network,
    example: Example,
    config: TrainConfig,
    rate: float,
    random: np.random.Generator,
    generator: torch.Generator,
) -> Coded:
    """A crop of a scan, or some of its slices, at one step."""
    largest = 2 * config.crop_2d if network.config.ndim == 2 else config.crop_3d
    code = round(rate * STEPS_PER_OCTAVE)
    if state.part == BETWEEN and isinstance(network, TextureNetwork):
        batch, sizes = draw_batch(
            network, [example], config, random, generator, largest=largest, code=code
        )
        return code_units(network, batch, sizes, config.rate_weight, generator)
    crops = random_crops([example], largest, random)
    return code_batch(network, crops, [code], config.rate_weight, generator)


def freeze_tables(
    state: TrainingState,
    network: Network,
    examples: list[Example],
    config: TrainConfig,
    *,
    batches: int,
    seconds: float = math.inf,
) -> None:
    """Fit a network's integer frequency tables to the symbols of training crops.

    Args:
        state: of its training.
        network: whose tables are replaced.
        examples: to take crops from.
        config: of the run.
        batches: of crops.
        seconds: after which no further batches are coded, once there are a few.
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
            _coded(state, network, examples, config, random, generator, varied=False, seen=seen)
    residual = torch.cat([r for r, _ in seen]).float().cpu().numpy()
    scales = torch.cat([i for _, i in seen]).cpu().numpy().astype(np.uint8)
    network.tables = fitted_tables(residual, scales, network.tables, config.rate_weight)
