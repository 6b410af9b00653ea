"""Training of the learned reference codecs, against the clock on one core.

    splits.json ─ train ─▶ crops of slices, random rate ─ network ─▶ bits + error / λ ─ Adam ─▶ FILE

Usage: python -m benchmarks.neural_training {tcm,dvc} DATA_SET --minutes 8 -o FILE.safetensors

DATA_SET is hippocampus or xray. The minutes are CPU time with one thread, without reading the
scans. They are stored in the file with the number of steps, and the codec's name shows them.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.neural_symbols import TrainingSource, counted_tables
from benchmarks.standing.studies import Scan, add_data_option, split
from deepstd.baselines.neural.running import KINDS, Network, save, slices_of
from deepstd.baselines.neural.slices_network import RateIndex, SliceNetwork, frames_of
from deepstd.baselines.neural.symbols import RATE_WEIGHT
from deepstd.baselines.neural.weights import Training
from deepstd.texture.autoencoder.config import AutoencoderConfig
from deepstd.train.coding import weights

SIZES = {
    "tcm": AutoencoderConfig(2, (16, 32, 48), 64, 8, 4, template=False),
    "dvc": AutoencoderConfig(2, (16, 32, 48), 64, 8, 4, template=False),
}
_LEARNING_RATE = 2e-3
# Learning rates relative to it: of the linear paths, and of scale indices, which are larger.
_LINEAR_RATE, _INDEX_RATE = 0.1, 5.0
_WARM_UP = 30  # steps
_GRADIENT_LIMIT = 5.0
_AVERAGE = 0.998  # decay of the running average of weights
_TABLE_BATCHES = 60
_REPORT_EVERY = 20.0  # seconds


@dataclass(frozen=True)
class DataSet:
    """Scans and crops to train on.

    Attributes:
        key, folder: data set in splits.json, and the folder in it.
        crop: rows and columns of a crop, multiples of 8.
        batch: crops in a step.
        frames: slices in a row for networks that predict slices.
        rates: range of log2(range / step) to train for.
    """

    key: str
    folder: str
    crop: tuple[int, int]
    batch: int
    frames: int
    rates: tuple[float, float]


DATA_SETS = {
    "hippocampus": DataSet("hippocampus-t1", "", (40, 48), 8, 4, (-2.0, 6.0)),
    "xray": DataSet("chest-xray", "chest-xray/images/", (96, 96), 2, 1, (0.0, 7.0)),
}


class Trainer:
    """Training of a network on scans.

    Args:
        network: network to train in place. One that predicts slices takes several crops as a row
            of slices.
        scans: scans of 2 or 3 axes.
        chosen: crops and rates.
        seed: seed of all random numbers.
    """

    def __init__(
        self, network: Network, scans: Sequence[np.ndarray], chosen: DataSet, seed: int = 0
    ) -> None:
        self.network, self.steps = network, 0
        self._scans, self._chosen = scans, chosen
        self._frames = 1 if isinstance(network, SliceNetwork) else chosen.frames
        self._batch = max(1, chosen.batch // self._frames)
        self._random = np.random.default_rng(seed)
        self._generator = torch.Generator().manual_seed(seed)
        self._optimiser = torch.optim.Adam(_groups(network), lr=_LEARNING_RATE)
        self._average = {n: p.detach().clone() for n, p in network.named_parameters()}

    def step(self, share: float) -> tuple[float, float, float]:
        """Train one step.

        Args:
            share: share of the training done.

        Returns:
            Knob, bits a pixel and mean squared error relative to the squared range.
        """
        knob = self._random.uniform(*self._chosen.rates)
        rate = 0.5 + 0.5 * math.cos(math.pi * share)
        rate *= min(1.0, (self.steps + 1) / _WARM_UP)
        for group in self._optimiser.param_groups:
            group["lr"] = _LEARNING_RATE * rate * group["relative"]
        loss, bits, error, _ = self.loss(self.draw(), knob)
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), _GRADIENT_LIMIT)
        self._optimiser.step()
        self.steps += 1
        decay = min(_AVERAGE, self.steps / (self.steps + 10))
        with torch.no_grad():
            for name, parameter in self.network.named_parameters():
                self._average[name].lerp_(parameter, 1 - decay)
        return knob, bits, error

    def loss(
        self, crops: torch.Tensor, knob: float
    ) -> tuple[torch.Tensor, float, float, TrainingSource]:
        """Return the loss of crops relative to the range, (B, frames, rows, columns).

        Returns:
            Loss; mean bits a pixel; mean squared error relative to the squared range; symbols.
        """
        network, steps = self.network, 2.0**knob
        source = TrainingSource(slices_of(network).tables, self._generator)
        restored, previous = [], None
        for number in range(crops.shape[1]):
            values = crops[:, number : number + 1]
            frames = frames_of(
                network.config, knob, crops.shape[2:], batch=len(crops), predicted=number > 0
            )
            if isinstance(network, SliceNetwork):
                latents = network.code(values * steps, frames, source)
                previous = network.restore(latents, frames) / steps
            else:
                previous = network.code(values, previous, frames, knob, source)
            restored.append(previous)
        error = (torch.cat(restored, 1) - crops).square().flatten(1).mean(1)
        bits = source.bits / math.prod(crops.shape[1:])
        loss = (weights(bits) * (bits + error * (steps**2 / RATE_WEIGHT))).mean()
        return loss, float(bits.detach().mean()), float(error.detach().mean()), source

    @torch.no_grad()
    def finish(self) -> None:
        """Take the average of the weights, and fit the tables to the symbols of crops."""
        for name, parameter in self.network.named_parameters():
            parameter.copy_(self._average[name])
        seen = []
        for knob in np.linspace(*self._chosen.rates, _TABLE_BATCHES):
            seen += self.loss(self.draw(), float(knob))[3].seen
        slices_of(self.network).tables = counted_tables(seen)

    def draw(self) -> torch.Tensor:
        """Return crops of random scans, float32 (B, frames, rows, columns), −0.5 … 0.5."""
        return torch.from_numpy(np.stack([self._row() for _ in range(self._batch)]))

    def _row(self) -> np.ndarray:
        """Return a crop of slices in a row, float32 (frames, rows, columns), −0.5 … 0.5."""
        random = self._random
        scan = self._scans[int(random.integers(len(self._scans)))]
        scan = scan.reshape(*scan.shape[:2], -1)
        size = (*self._chosen.crop, self._frames)
        starts = [
            int(random.integers(max(n - m, 0) + 1)) for n, m in zip(scan.shape, size, strict=True)
        ]
        box = tuple(slice(a, a + m) for a, m in zip(starts, size, strict=True))
        part = scan[box].astype(np.float32)
        part = np.pad(part, [(0, m - n) for n, m in zip(part.shape, size, strict=True)], "edge")
        for axis in range(3):
            if random.random() < 0.5:
                part = np.flip(part, axis)
        low, high = float(scan.min()), float(scan.max())
        return ((part - (low + high) / 2) / ((high - low) or 1.0)).transpose(2, 0, 1).copy()


def _groups(network: Network) -> list[dict[str, object]]:
    indices = {id(p) for m in network.modules() if isinstance(m, RateIndex) for p in m.parameters()}
    groups: dict[float, list[torch.nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        relative = _INDEX_RATE if id(parameter) in indices else 1.0
        if name.endswith("linear"):
            relative = _LINEAR_RATE
        groups.setdefault(relative, []).append(parameter)
    return [{"params": params, "relative": relative} for relative, params in groups.items()]


def train(trainer: Trainer, minutes: float, report: Callable[[str], None]) -> None:
    """Train for CPU minutes.

    Args:
        trainer: training at its beginning.
        minutes: CPU time.
        report: called with a line of progress now and then.
    """
    seconds, began = 60 * minutes, time.process_time()
    gone, told, recent = 0.0, 0.0, []
    while gone < seconds:
        knob, bits, error = trainer.step(gone / seconds)
        # Loss of the rates together: the error a step as bits, 6.02 dB each.
        recent.append((bits, 0.5 * math.log2(error * 4.0**knob + 1e-9)))
        gone = time.process_time() - began
        if gone - told >= _REPORT_EVERY:
            bits, error = np.mean(recent, axis=0)
            report(
                f"{gone:.0f} s, step {trainer.steps}: {bits:.3f} bits a pixel, "
                f"error {error:+.3f} log2 steps"
            )
            told, recent = gone, []
    trainer.finish()


def main() -> None:
    """Train a network and write its weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_option(parser)
    parser.add_argument("kind", choices=tuple(KINDS))
    parser.add_argument("data_set", choices=tuple(DATA_SETS))
    parser.add_argument("--minutes", type=float, required=True, help="CPU time")
    parser.add_argument("-o", "--output", type=Path, required=True, help="FILE.safetensors")
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    chosen, config = DATA_SETS[given.data_set], SIZES[given.kind]
    names = split(chosen.key, "train", chosen.folder)
    scans = [Scan.read(given.data, name).volume.voxels for name in names]
    network = KINDS[given.kind](config)
    parameters = sum(p.numel() for p in network.parameters())
    print(f"{len(scans)} scans, {parameters:,} parameters", flush=True)
    trainer = Trainer(network, scans, chosen)
    train(trainer, given.minutes, lambda line: print(line, flush=True))
    training = Training(given.kind, config.to_dict(), chosen.key, given.minutes, trainer.steps)
    given.output.parent.mkdir(parents=True, exist_ok=True)
    save(given.output, network, training)


if __name__ == "__main__":
    main()
