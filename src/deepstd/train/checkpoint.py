"""State of a run on disk: a safetensors file with JSON in its metadata, no pickle.

Checkpoint: TrainingState of each network, ShapeModel, fields ─▶ DIR/checkpoint.safetensors
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

from deepstd.coding.tables import ScaleTables
from deepstd.errors import InputError
from deepstd.io import atomic_path
from deepstd.shape.model import FieldCode, ShapeModel
from deepstd.texture.description import config_of, description_of, part_named
from deepstd.texture.kinds import Part
from deepstd.texture.trainable import untrained
from deepstd.train.config import TrainConfig
from deepstd.train.loop import TrainingState, new_state

_FILE = "checkpoint.safetensors"
_DEFAULTS = json.loads(json.dumps(TrainConfig("").to_dict()))


@dataclass
class Checkpoint:
    """State of a run.

    Attributes:
        shape: template and shape model; None before they are built.
        fields: deformation field of each registered scan, by its key.
        shape_seconds: seconds spent on template, shape model and fields.
        states: training state of each network.
        start: name and version of the bundle whose networks the run began with, or None.
        template_from: name and version of the bundle whose template was taken over, or None.
        teacher: name and version of the bundle that teaches the networks, or None.
        seconds: seconds spent by all sessions.
        total: seconds requested for the run; 0 in older checkpoints without the entry.
    """

    shape: ShapeModel | None = None
    fields: dict[str, FieldCode] = field(default_factory=dict)
    shape_seconds: float = 0.0
    states: dict[Part, TrainingState] = field(default_factory=dict)
    start: str | None = None
    template_from: str | None = None
    teacher: str | None = None
    seconds: float = 0.0
    total: float = 0.0


def save_checkpoint(folder: Path, config: TrainConfig, run: Checkpoint) -> None:
    """Write the state of a run; an interruption leaves the previous checkpoint intact.

    Raises:
        InputError: the file cannot be written, as where the disk is full.
    """
    arrays: dict[str, np.ndarray] = {}
    values: dict[str, Any] = {
        "config": config.to_dict(),
        "shape": None,
        "start": run.start,
        "template_from": run.template_from,
        "teacher": run.teacher,
        "shape_seconds": run.shape_seconds,
        "seconds": run.seconds,
        "total": run.total,
        "networks": {},
    }
    if run.shape is not None:
        values["shape"] = run.shape.metadata()
        arrays.update({f"shape.{n}": a for n, a in run.shape.to_tensors().items()})
    for name, code in run.fields.items():
        arrays[f"field.{name}"] = np.array([code.omega_index, *code.symbols], dtype=np.int32)
    for part, state in run.states.items():
        values["networks"][str(part)] = {
            "texture": description_of(state.network.config),
            "seconds": state.seconds,
            "steps": state.steps,
            "share": state.share,
            "history": state.history,
        }
        arrays[f"tables.{part}"] = state.network.tables.to_array()
        for name, parameter in state.network.named_parameters():
            key = f"{part}.{name}"
            arrays[f"weight.{key}"] = _numpy(parameter)
            arrays[f"average.{key}"] = _numpy(state.average[name])
            moments = state.optimiser.state.get(parameter)
            if moments:
                arrays[f"first.{key}"] = _numpy(moments["exp_avg"])
                arrays[f"second.{key}"] = _numpy(moments["exp_avg_sq"])
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / _FILE, overwrite=True) as temporary:
        try:
            save_file(arrays, temporary, metadata={"values": json.dumps(values)})
        except SafetensorError as error:
            nbytes = sum(array.nbytes for array in arrays.values())
            message = f"{folder / _FILE}: {nbytes:,} bytes cannot be written ({error})"
            raise InputError(message) from error


def load_checkpoint(folder: Path, config: TrainConfig, device: torch.device | str) -> Checkpoint:
    """Read the state of a run.

    Args:
        folder: folder of the checkpoint.
        config: description of the run; must equal the stored one.
        device: device of the networks.

    Raises:
        InputError: there is no checkpoint, or it belongs to another run.
    """
    path = folder / _FILE
    try:
        arrays = load_file(path)
        with safe_open(path, framework="numpy") as opened:
            values = json.loads(opened.metadata()["values"])
    except (OSError, SafetensorError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path}: no checkpoint to resume from ({error})") from error
    described = json.loads(json.dumps(config.to_dict()))
    # A checkpoint of an older release lacks settings that had their defaults then.
    if {**_DEFAULTS, **values["config"]} != described:
        raise InputError(f"{path}: the checkpoint belongs to a run with another description")
    shape = None
    if values["shape"] is not None:
        prefix = "shape."
        tensors = {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}
        shape = ShapeModel.from_tensors(tensors, values["shape"])
    prefix = "field."
    fields = {
        n.removeprefix(prefix): FieldCode(int(a[0]), a[1:])
        for n, a in arrays.items()
        if n.startswith(prefix)
    }
    states: dict[Part, TrainingState] = {}
    for key, entry in values["networks"].items():
        network = untrained(config_of(entry["texture"])).to(device)
        if f"tables.{key}" in arrays:
            network.tables = ScaleTables.from_array(arrays[f"tables.{key}"])
        state = new_state(part_named(key), network, config)
        for name, parameter in network.named_parameters():
            full = f"{key}.{name}"
            with torch.no_grad():
                parameter.copy_(torch.from_numpy(arrays[f"weight.{full}"]))
            state.average[name] = torch.from_numpy(arrays[f"average.{full}"]).to(device)
            if f"first.{full}" in arrays:
                state.optimiser.state[parameter] = {
                    "step": torch.tensor(float(entry["steps"])),
                    "exp_avg": torch.from_numpy(arrays[f"first.{full}"]).to(device),
                    "exp_avg_sq": torch.from_numpy(arrays[f"second.{full}"]).to(device),
                }
        state.seconds, state.steps = entry["seconds"], entry["steps"]
        state.history, state.share = entry["history"], entry.get("share", 0.0)
        states[part_named(key)] = state
    shape_seconds = float(values["shape_seconds"])
    known = shape_seconds + sum(state.seconds for state in states.values())
    seconds, total = values.get("seconds", known), values.get("total", 0.0)
    # In older checkpoints a run with a template took it over from the bundle that it began with.
    start = values.get("start")
    begun = start, values.get("template_from", start), values.get("teacher")
    return Checkpoint(shape, fields, shape_seconds, states, *begun, seconds, total)


def _numpy(tensor: torch.Tensor) -> np.ndarray:
    return np.ascontiguousarray(tensor.detach().cpu().numpy())
