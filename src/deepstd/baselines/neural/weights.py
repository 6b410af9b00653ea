"""Weights of a learned codec in a safetensors file, with what they were trained on; no torch.

network's arrays, Training ─ write ─▶ FILE.safetensors ─ read ─▶ arrays, Training
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

from deepstd.errors import InputError

_KEY = "deepstd-reference"


@dataclass(frozen=True)
class Training:
    """Description of trained weights.

    Attributes:
        kind: "tcm" or "dvc".
        sizes: sizes of the networks, of `AutoencoderConfig.to_dict`.
        data_set: name of the data set.
        minutes: CPU time of the training.
        steps: training steps.
    """

    kind: str
    sizes: Mapping[str, Any]
    data_set: str
    minutes: float
    steps: int


def write(path: Path, arrays: Mapping[str, np.ndarray], training: Training) -> None:
    """Write weights and their description.

    Args:
        path: file to write or replace.
        arrays: arrays by name.
        training: description.
    """
    save_file(dict(arrays), path, metadata={_KEY: json.dumps(asdict(training))})


def read_training(path: Path) -> Training:
    """Read the description of weights.

    Raises:
        InputError: the file is none of `write`.
    """
    try:
        with safe_open(path, framework="numpy") as opened:
            return Training(**json.loads((opened.metadata() or {})[_KEY]))
    except (OSError, SafetensorError, ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"{path}: not the weights of a learned reference codec ({error})"
        ) from error


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read the arrays of a file that `read_training` accepts."""
    return load_file(path)
