"""Validation of a network: bits per voxel and PSNR of validation scans at three steps.

scan ─ random crop, or slices of a volume ─ code at range / 1, 4, 16 ─▶ bits, PSNR
"""

from __future__ import annotations

import math

import numpy as np
import torch

from deepstd.texture.kinds import BETWEEN, Part
from deepstd.texture.networks.network import TextureNetwork
from deepstd.texture.scaling import STEPS_PER_OCTAVE
from deepstd.texture.trainable import Trainable
from deepstd.train.between import draw_batch
from deepstd.train.coding import Coded, code_batch, code_units
from deepstd.train.config import TrainConfig
from deepstd.train.data import Example, random_crops

VALIDATION_RATES = (0.0, 2.0, 4.0)
"""log2(range / step) of validations."""


def validate(
    part: Part, network: Trainable, validation: list[Example], config: TrainConfig
) -> dict[str, float]:
    """Measure bits per voxel and PSNR at three steps.

    Args:
        part: key of the network.
        network: network to measure.
        validation: scans to code crops of.
        config: description of the run.

    Returns:
        Means over the examples: "bpv_R" and "psnr_R" (in dB, peak: the scan's coding range) for R =
        log2(range / step).
    """
    device = next(network.parameters()).device
    generator = torch.Generator(device=device).manual_seed(0)
    random = np.random.default_rng(0)
    metrics: dict[str, float] = {}
    for rate in VALIDATION_RATES:
        bits, levels = [], []
        for example in validation:
            with torch.no_grad():
                coded = _validated(part, network, example, config, rate, random, generator)
            error = float(coded.error.mean())
            bits.append(float(coded.bits.mean()))
            levels.append(20 * rate * math.log10(2.0) - 10 * math.log10(error))
        metrics[f"bpv_{rate}"] = float(np.mean(bits))
        metrics[f"psnr_{rate}"] = float(np.mean(levels))
    return metrics


def _validated(
    part: Part,
    network: Trainable,
    example: Example,
    config: TrainConfig,
    rate: float,
    random: np.random.Generator,
    generator: torch.Generator,
) -> Coded:
    """Code a crop of a scan, or slices of a volume, at a step of range / 2**rate."""
    largest = 2 * config.crop_2d if network.config.ndim == 2 else config.crop_3d
    step_code = round(rate * STEPS_PER_OCTAVE)
    if part == BETWEEN and isinstance(network, TextureNetwork):
        batch, sizes = draw_batch(
            network, [example], config, random, generator, largest=largest, code=step_code
        )
        return code_units(network, batch, sizes, config.rate_weight, generator)
    crops = random_crops([example], largest, random)
    return code_batch(network, crops, [step_code], config.rate_weight, generator)
