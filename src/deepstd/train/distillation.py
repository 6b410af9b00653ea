"""Knowledge distillation: a teacher's features supervise those of a network in training.

    crops ─┬ student ─ features of its blocks ─┐
           └ teacher ─ features of its blocks ─┴ relative squared distance ─ mean · weight ─▶ loss

Paper, equations 10 and 11: the teacher has learned from many scans of a related modality, the
student has few. The paper's blocks are the TCM blocks of the autoencoder. The lifting network's are
the residual layers of its context model and of its post-filter. The distance of a block is divided
by the variance of the teacher's features, and blocks are averaged where the paper sums, so that one
weight suits all widths and depths.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import torch
from torch import nn

from deepstd.texture.autoencoder.blocks import TCMBlock
from deepstd.texture.networks.conditioning import TensorHint
from deepstd.texture.networks.integer import fixed_shifts
from deepstd.texture.networks.postfilter import ResidualBlock
from deepstd.texture.trainable import Trainable
from deepstd.train.coding import Batch, Coded, code

_FARTHEST = 64  # largest template coordinate
_LAYERS = re.compile(r"context\.levels\.\d+\.(second|fourth|mix\.\d+)")
_LEAST_VARIANCE = 1e-3
Features = Mapping[str, list[torch.Tensor]]


@dataclass(frozen=True)
class Distillation:
    """Teacher of one network.

    Attributes:
        teacher: trained network on the device of the examples, of the student's sizes.
        weight: weight of the distance of the features (the paper's α).
        sees_places: whether the teacher gets the template's coordinates; otherwise it gets random
            ones, as a teacher of other shapes would mistake them.
    """

    teacher: Trainable
    weight: float
    sees_places: bool

    def code(
        self,
        network: Trainable,
        batch: Batch,
        coarse: tuple[int, ...],
        rate_weight: float,
        generator: torch.Generator,
        last_level: int,
    ) -> tuple[Coded, torch.Tensor]:
        """Code a batch through student and teacher; the arguments are those of `coding.code`.

        Returns:
            The student's rate and distortion, and the weighted distance of the features, a scalar
            with gradient.
        """
        shown = replace(batch, hint=self._hint(batch.hint, generator))
        with torch.no_grad(), fixed_shifts(self.teacher), _recorded(self.teacher) as taught:
            code(self.teacher, shown, coarse, rate_weight, generator, last_level=last_level)
        with _recorded(network) as own:
            coded = code(network, batch, coarse, rate_weight, generator, last_level=last_level)
        return coded, self.weight * distance(own, taught)

    def _hint(self, hint: TensorHint | None, generator: torch.Generator) -> TensorHint | None:
        """Return the template as the teacher sees it."""
        if hint is None or not self.teacher.config.template:
            return None
        if self.sees_places:
            return hint
        places = torch.randint(
            -_FARTHEST,
            _FARTHEST + 1,
            hint.places.shape,
            generator=generator,
            device=hint.places.device,
        )
        return TensorHint(hint.units, places.to(hint.places.dtype))


@dataclass
class _Recorder:
    """Outputs of the compared blocks by name, in the order of their calls."""

    features: dict[str, list[torch.Tensor]] = field(default_factory=dict)

    def hook(self, name: str, block: nn.Module) -> torch.utils.hooks.RemovableHandle:
        """Record the outputs of a block until the handle is removed."""

        def record(module: nn.Module, inputs: object, output: torch.Tensor) -> None:
            self.features.setdefault(name, []).append(output)

        return block.register_forward_hook(record)


@contextmanager
def _recorded(network: Trainable) -> Iterator[Features]:
    """Record the features of a network's blocks in the passes within the context."""
    recorder = _Recorder()
    handles = [recorder.hook(name, block) for name, block in compared(network).items()]
    try:
        yield recorder.features
    finally:
        for handle in handles:
            handle.remove()


def compared(network: Trainable) -> dict[str, nn.Module]:
    """Return the blocks whose features are compared, by name."""
    return {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, TCMBlock | ResidualBlock) or _LAYERS.fullmatch(name)
    }


def distance(own: Features, taught: Features) -> torch.Tensor:
    """Return the mean over the blocks of the squared distance relative to the teacher's variance.

    Args:
        own: features of the student by block.
        taught: features of the teacher, of the same shapes.
    """
    parts = [
        (mine - theirs).square().mean() / theirs.var().clamp(min=_LEAST_VARIANCE)
        for name, features in own.items()
        for mine, theirs in zip(features, taught[name], strict=True)
    ]
    # Crops too small for the wavelet pass no block.
    return torch.stack(parts).mean() if parts else torch.zeros(())
