"""Learned networks at work: frames to a stream and back.

frames ─ pad ─ chunks of slices (TCM), one slice after the other (DVC) ─▶ stream ─▶ frames
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from deepstd.baselines.neural.frames_network import FrameNetwork
from deepstd.baselines.neural.slices_network import SliceNetwork, frames_of
from deepstd.baselines.neural.symbols import DecoderSource, EncoderSource, Source
from deepstd.baselines.neural.weights import Training, read_arrays, read_training, write
from deepstd.coding.tables import ScaleTables
from deepstd.errors import BundleError, InputError
from deepstd.texture.autoencoder.config import AutoencoderConfig
from deepstd.texture.autoencoder.transform import padded, whole_blocks

_TABLES = "tables"
# Pixels of the slices that are coded at once, which bounds memory.
_AT_ONCE = 1 << 18

Network = SliceNetwork | FrameNetwork
KINDS: dict[str, type[SliceNetwork] | type[FrameNetwork]] = {
    "tcm": SliceNetwork,
    "dvc": FrameNetwork,
}


def slices_of(network: Network) -> SliceNetwork:
    """Return the network of slices, which holds the tables."""
    return network if isinstance(network, SliceNetwork) else network.slices


def save(path: Path, network: Network, training: Training) -> None:
    """Write a network and its tables (`weights.write`)."""
    arrays = {name: p.detach().numpy() for name, p in network.named_parameters()}
    arrays[_TABLES] = slices_of(network).tables.to_array()
    write(path, arrays, training)


@dataclass(frozen=True)
class Running:
    """A network ready to code.

    Attributes:
        network: the network.
    """

    network: Network

    @staticmethod
    def load(path: Path) -> Running:
        """Load the network of a file of `save`.

        Raises:
            InputError: the arrays do not fit the description.
        """
        training, arrays = read_training(path), read_arrays(path)
        try:
            network = KINDS[training.kind](AutoencoderConfig.from_dict(training.sizes))
            slices_of(network).tables = ScaleTables.from_array(arrays.pop(_TABLES))
            tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
            network.load_state_dict(tensors)
        except (KeyError, RuntimeError, BundleError) as error:
            raise InputError(f"{path}: the weights do not fit ({error})") from error
        return Running(network.eval().requires_grad_(False))

    def encode(self, frames: np.ndarray, knob: float) -> bytes:
        """Encode frames relative to the range, float32 (N, rows, columns)."""
        source = EncoderSource(slices_of(self.network).tables)
        values = padded(torch.from_numpy(frames)[:, None], self.network.config.stride)
        self._code(values, frames.shape, knob, source, whole=False)
        return source.finish()

    def decode(self, stream: bytes, shape: tuple[int, int, int], knob: float) -> np.ndarray:
        """Decode frames of a shape, float32 (N, rows, columns)."""
        source = DecoderSource(slices_of(self.network).tables, stream)
        restored = self._code(None, shape, knob, source, whole=True)
        return restored[:, 0, : shape[1], : shape[2]].numpy()

    @torch.no_grad()
    def _code(
        self,
        values: torch.Tensor | None,
        shape: tuple[int, ...],
        knob: float,
        source: Source,
        *,
        whole: bool,
    ) -> torch.Tensor:
        """Code frames; return them restored, (N, 1, *whole blocks), if they are asked for."""
        if isinstance(self.network, SliceNetwork):
            return _independent(self.network, values, shape, knob, source, whole=whole)
        return _predicted(self.network, values, shape, knob, source)


def _independent(
    network: SliceNetwork,
    values: torch.Tensor | None,
    shape: tuple[int, ...],
    knob: float,
    source: Source,
    *,
    whole: bool,
) -> torch.Tensor:
    config, steps = network.config, 2.0**knob
    restored = torch.empty((shape[0], 1, *_padded_shape(config, shape)))
    at_once = max(1, _AT_ONCE // (restored.shape[2] * restored.shape[3]))
    for begin in range(0, shape[0], at_once):
        part = slice(begin, min(begin + at_once, shape[0]))
        frames = frames_of(config, knob, shape[1:], batch=part.stop - begin)
        latents = network.code(None if values is None else values[part] * steps, frames, source)
        if whole:
            restored[part] = network.restore(latents, frames) / steps
    return restored


def _predicted(
    network: FrameNetwork,
    values: torch.Tensor | None,
    shape: tuple[int, ...],
    knob: float,
    source: Source,
) -> torch.Tensor:
    config = network.config
    restored = torch.empty((shape[0], 1, *_padded_shape(config, shape)))
    previous = None
    for number in range(shape[0]):
        frames = frames_of(config, knob, shape[1:], batch=1, predicted=number > 0)
        current = None if values is None else values[number : number + 1]
        previous = network.code(current, previous, frames, knob, source)
        restored[number] = previous[0]
    return restored


def _padded_shape(config: AutoencoderConfig, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(n * config.stride for n in whole_blocks(shape[1:], config.stride))
