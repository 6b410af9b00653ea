"""Teachers of a run: the texture networks of a finished bundle.

bundle.json, texture-*.safetensors ─ check hashes ─▶ networks ─ sizes of the run? ─▶ Distillation

Read without the packages that bundles otherwise need, as `python -m deepstd.train` has few.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load

from deepstd.errors import BundleError, InputError, named
from deepstd.texture.description import Config, description_of, part_named
from deepstd.texture.kinds import Part
from deepstd.texture.trainable import Trainable, trainable_of
from deepstd.texture.wavelet.network import TextureConfig
from deepstd.train.config import TrainConfig
from deepstd.train.distillation import Distillation
from deepstd.train.start import Start


@dataclass(frozen=True)
class Teacher:
    """Networks of a bundle that supervise those of a run.

    Attributes:
        name: name and version of the bundle.
        networks: texture networks by key.
    """

    name: str
    networks: Mapping[Part, Trainable]

    @staticmethod
    def read(folder: Path) -> Teacher:
        """Read the networks of a bundle.

        Raises:
            BundleError: a file is missing, damaged or not understood.
        """
        manifest = folder / "bundle.json"
        try:
            described = json.loads(manifest.read_text(encoding="utf-8"))
            name = f"{described['name']} {described['version']}"
            files, networks = dict(described["files"]), dict(described["networks"])
        except OSError as error:
            raise BundleError(f"{manifest}: cannot be read: {error.strerror}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise BundleError(f"{manifest}: not a bundle's description ({error})") from error
        found = {}
        for part, sizes in networks.items():
            file = (
                f"texture-{part}d.safetensors" if part.isdigit() else f"texture-{part}.safetensors"
            )
            arrays = _arrays(folder / file, str(files.get(file)))
            with named(f"bundle {name}"):
                found[part_named(part)] = trainable_of(sizes, arrays)
        return Teacher(name, found)

    def sizes(self, ndims: Sequence[int]) -> dict[str, Any]:
        """Return the entries of a run's description with the sizes of the networks.

        Template and slices between others are left to the run.

        Raises:
            InputError: the bundle has no network for a number of axes.
        """
        of_run = ("template", "widths_between", "filter_between")
        found = Start(self.name, None, self.networks).sizes(ndims)
        return {key: value for key, value in found.items() if key not in of_run}

    def check(self, config: TrainConfig) -> None:
        """Raise an InputError where a network of a run has no teacher of its sizes."""
        for part in config.parts:
            if str(part) not in config.kept:
                self._fit(part, config.network(part))

    def distillation(
        self, part: Part, config: TrainConfig, device: torch.device | str
    ) -> Distillation:
        """Return the teacher of a network of a run."""
        network = deepcopy(self._fit(part, config.network(part)))
        network = network.to(device).eval().requires_grad_(requires_grad=False)
        return Distillation(network, config.teacher_weight, config.teacher_places)

    def _fit(self, part: Part, config: Config) -> Trainable:
        title = part if isinstance(part, str) else f"{part}-D"
        network = self.networks.get(part)
        if network is None:
            raise InputError(f"the teacher {self.name} has no {title} network")
        if not _alike(network.config, config):
            raise InputError(
                f"the {title} network of the teacher {self.name} is "
                f"{description_of(network.config)}, the run's {description_of(config)}: features "
                "are compared between networks of equal sizes. Leave the sizes out of the settings "
                "to take the teacher's"
            )
        if network.config.template and not config.template:
            raise InputError(
                f"the teacher {self.name} is conditioned on a template, the run is not: set "
                "template = true, or choose a teacher without a template"
            )
        return network


def _alike(one: Config, other: Config) -> bool:
    """Return True where networks have features of equal sizes; templates may differ."""
    if isinstance(one, TextureConfig) != isinstance(other, TextureConfig):
        return False
    first, second = description_of(one), description_of(other)
    return {**first, "template": None} == {**second, "template": None}


def _arrays(path: Path, digest: str) -> dict[str, np.ndarray]:
    try:
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != digest:
            raise BundleError(f"{path}: the file is damaged or was changed. Install it again")
        return load(data)
    except OSError as error:
        raise BundleError(f"{path}: the bundle is incomplete: {error.strerror}") from error
    except (SafetensorError, ValueError) as error:
        raise BundleError(f"{path}: not readable as safetensors ({error})") from error
