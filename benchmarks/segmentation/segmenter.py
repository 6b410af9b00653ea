"""A small network that segments scans, trained on one core in minutes.

    scans, labels ─ scaled ─ shifted, brighter, darker ─ blocks ─▶ SegResNet ─ Dice + cross entropy
    scan ─ scaled ─ blocks of voxels as channels ─ SegResNet ─ blocks ─▶ label map on the same grid

The paper's network has transformers and a GPU; what is asked here is whether compression moves the
borders that a network finds, and for that a small one that finds them will do. It works on blocks
of voxels, each a channel, which costs a fourth of the same network on single voxels.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
import torch
from monai.losses.dice import DiceCELoss
from monai.networks.nets.segresnet import SegResNet
from safetensors.torch import load_file, save_file
from torch.nn import functional

logger = logging.getLogger("segmenter")

_PERCENTILES = (0.5, 99.5)
_FILTERS = 16
_GROUPS = 4
_LEVELS = 2
_BATCH = 4
_LEARNING_RATE = 4e-3
_WARM_UP = 0.03
_MOST_GAIN, _MOST_OFFSET, _MOST_NOISE = 0.2, 0.2, 0.15
_SEED = 1
_REPORT_EVERY = 50
_DIGEST_LETTERS = 12


@dataclass(frozen=True)
class Task:
    """Classes that a network finds, and how it sees the scan.

    Attributes:
        labels: what each label above 0 is.
        crop: voxels of a training example along each axis, from the middle of the scan.
        block: voxels along each axis that become channels.
    """

    labels: Mapping[int, str]
    crop: tuple[int, int, int]
    block: tuple[int, int, int]


class Segmenter:
    """A network and the task it was trained for."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.network = SegResNet(
            spatial_dims=3,
            init_filters=_FILTERS,
            in_channels=prod(task.block),
            out_channels=prod(task.block) * (len(task.labels) + 1),
            blocks_down=(1, 2),
            blocks_up=(1,),
            norm=("GROUP", {"num_groups": _GROUPS}),
        )

    @property
    def digest(self) -> str:
        """Which weights these are."""
        found = hashlib.sha256()
        for value in self.network.state_dict().values():
            found.update(value.half().numpy().tobytes())
        return found.hexdigest()[:_DIGEST_LETTERS]

    def __call__(self, voxels: np.ndarray) -> np.ndarray:
        """Labels of a scan of 3 axes, uint8 of the same shape."""
        image = torch.from_numpy(_scaled(voxels))[None, None]
        multiples = [_LEVELS * size for size in self.task.block]
        missing = [-n % m for n, m in zip(voxels.shape, multiples, strict=True)]
        padding = [p for n in reversed(missing) for p in (0, n)]
        with torch.inference_mode():
            self.network.eval()
            logits = self._logits(functional.pad(image, padding, mode="replicate"))
        labels = logits.argmax(1)[0].numpy().astype(np.uint8)
        return labels[tuple(slice(n) for n in voxels.shape)]

    def train(self, pairs: Sequence[tuple[np.ndarray, np.ndarray]], seconds: float) -> int:
        """Train from the start, and round the weights to the 16 bits that `save` keeps.

        Args:
            pairs: scans of 3 axes and their label maps.
            seconds: of the processor.

        Returns:
            steps that were done.
        """
        torch.manual_seed(_SEED)
        rng = np.random.default_rng(_SEED)
        self.network.apply(_begin_again)
        examples = [(_scaled(image), labels.astype(np.float32)) for image, labels in pairs]
        loss_of = DiceCELoss(to_onehot_y=True, softmax=True, include_background=False)
        optimiser = torch.optim.AdamW(self.network.parameters(), _LEARNING_RATE)
        self.network.train()
        begin, steps = time.process_time(), 0
        while (share := (time.process_time() - begin) / seconds) < 1:
            for group in optimiser.param_groups:
                group["lr"] = _LEARNING_RATE * min(1, share / _WARM_UP) * (1 - share)
            chosen = rng.choice(len(examples), _BATCH)
            batch = [_varied(examples[n], self.task.crop, rng) for n in chosen]
            parts = zip(*batch, strict=True)
            images, labels = (torch.from_numpy(np.stack(part)[:, None]) for part in parts)
            loss = loss_of(self._logits(images), labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            steps += 1
            if steps % _REPORT_EVERY == 0:
                logger.info("step %d, %.0f %%: loss %.3f", steps, 100 * share, loss.item())
        self._set({name: value.half() for name, value in self.network.state_dict().items()})
        return steps

    def save(self, path: Path) -> None:
        """Write the weights as 16-bit numbers."""
        save_file({name: value.half() for name, value in self.network.state_dict().items()}, path)

    @staticmethod
    def load(path: Path, task: Task) -> Segmenter:
        """A network that `save` wrote."""
        segmenter = Segmenter(task)
        segmenter._set(load_file(path))
        return segmenter

    def _set(self, weights: Mapping[str, torch.Tensor]) -> None:
        self.network.load_state_dict({name: value.float() for name, value in weights.items()})

    def _logits(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 1, I, J, K) to (B, labels, I, J, K)."""
        return _from_blocks(self.network(_to_blocks(images, self.task.block)), self.task.block)


def _scaled(voxels: np.ndarray) -> np.ndarray:
    """Grey values without their extremes, mean 0 and deviation 1."""
    values = np.clip(voxels.astype(np.float64), *np.percentile(voxels, _PERCENTILES))
    values = (values - values.mean()) / max(float(values.std()), 1e-6)
    return values.astype(np.float32)


def _varied(
    example: tuple[np.ndarray, np.ndarray], crop: tuple[int, int, int], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A crop near the middle, with other brightness, contrast and noise."""
    image, labels = example
    corner = []
    for length, wanted in zip(image.shape, crop, strict=True):
        spare = length - wanted
        # A scan shorter than the crop is moved within it, a longer one under it.
        low, high = (spare // 4, spare - spare // 4) if spare > 0 else (spare, 0)
        corner.append(int(rng.integers(low, high + 1)))
    image, labels = (_cut(part, corner, crop) for part in (image, labels))
    gain = 1 + rng.uniform(-_MOST_GAIN, _MOST_GAIN)
    noise = rng.normal(0, rng.uniform(0, _MOST_NOISE), image.shape)
    image = image * gain + rng.uniform(-_MOST_OFFSET, _MOST_OFFSET) + noise
    return image.astype(np.float32), labels


def _cut(part: np.ndarray, corner: Sequence[int], crop: Sequence[int]) -> np.ndarray:
    """A box that may stick out of a scan, where the scan's edge is repeated."""
    axes = zip(part.shape, corner, crop, strict=True)
    places = [np.clip(np.arange(c, c + n), 0, length - 1) for length, c, n in axes]
    return part[np.ix_(*places)]


def _to_blocks(images: torch.Tensor, block: tuple[int, int, int]) -> torch.Tensor:
    """(B, C, I, J, K) to (B, C · voxels of a block, I / a, J / b, K / c)."""
    (n, c, i, j, k), (a, b, d) = images.shape, block
    split = images.reshape(n, c, i // a, a, j // b, b, k // d, d)
    return split.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(n, -1, i // a, j // b, k // d)


def _from_blocks(images: torch.Tensor, block: tuple[int, int, int]) -> torch.Tensor:
    """The reverse of `_to_blocks`."""
    (n, _, i, j, k), (a, b, d) = images.shape, block
    split = images.reshape(n, -1, a, b, d, i, j, k)
    return split.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(n, -1, i * a, j * b, k * d)


def _begin_again(module: torch.nn.Module) -> None:
    if hasattr(module, "reset_parameters"):
        module.reset_parameters()  # pyright: ignore[reportCallIssue]
