"""TCM and DVC as reference codecs, with weights trained on a data set. Imports torch when used.

    voxels ─ frames relative to the range ─▶ network, one stream ─▶ frames ─▶ voxels
    knob = log2(range / quantisation step), in the stream; range and centre are side information

One network serves all rates: it is given the step. The weights are found by the variables
DEEPSTD_TCM and DEEPSTD_DVC. Decoding repeats the encoder's arithmetic, so both must run on the same
machine with the same number of threads.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from deepstd.baselines.base import Encoded
from deepstd.baselines.grey import filled, to_type
from deepstd.baselines.neural.weights import Training, read_training
from deepstd.errors import InputError, MissingExtraError
from deepstd.extras import check_torch
from deepstd.quality import finite_range

if TYPE_CHECKING:
    from deepstd.baselines.neural import running

# Knobs in the stream: unsigned, in 64ths of an octave from the smallest.
_FINENESS = 64
_LEAST, _MOST = -4.0, 10.0


@dataclass(frozen=True)
class Side:
    """Side information of a scan.

    Attributes:
        shape, dtype: of the scan.
        centre: value in the middle of the range.
        range: difference of the largest and the smallest value.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    centre: float
    range: float


class _Learned:
    """Learned codec; the knob is log2(range / step).

    Args:
        weights: safetensors file; None for the file that the variable names.
    """

    kind: str
    title: str
    variable: str
    knobs = (_LEAST, _MOST)
    step = 1 / _FINENESS
    near = 0.99

    def __init__(self, weights: Path | None = None) -> None:
        self._weights = weights

    @property
    def name(self) -> str:
        """Name in tables, with the minutes of the training where weights are found."""
        try:
            return f"{self.title} ({self._training()[1].minutes:g} min)"
        except (InputError, MissingExtraError):
            return self.title

    def check(self) -> None:
        """Check that the codec can run.

        Raises:
            MissingExtraError: torch or the weights are missing.
            InputError: the file holds other data.
        """
        check_torch(f"comparing with {self.title}", "neural")
        self._training()

    def encode(self, voxels: np.ndarray, knob: float) -> Encoded:
        """Encode a scan of 2 to 4 axes to one stream."""
        low, high = finite_range(values := filled(voxels))
        side = Side(voxels.shape, voxels.dtype, *_scaling(low, high))
        frames = values.reshape(*values.shape[:2], -1).transpose(2, 0, 1).astype(np.float64)
        units = ((frames - side.centre) / (side.range or 1.0)).astype(np.float32)
        code = round((knob - _LEAST) * _FINENESS)
        stream = self._network().encode(units, code / _FINENESS + _LEAST)
        return Encoded((code.to_bytes(2, "big") + stream,), side)

    def decode(self, encoded: Encoded) -> np.ndarray:
        """Decode a scan to the shape and type of the original."""
        side: Side = encoded.side
        (stream,) = encoded.streams
        knob = int.from_bytes(stream[:2], "big") / _FINENESS + _LEAST
        count = int(np.prod(side.shape[2:], dtype=np.int64))
        units = self._network().decode(stream[2:], (count, side.shape[0], side.shape[1]), knob)
        # As other codecs are, the restored values are limited to the range.
        values = side.centre + side.range * np.clip(units.astype(np.float64), -0.5, 0.5)
        return to_type(values.transpose(1, 2, 0).reshape(side.shape), side.dtype)

    def _network(self) -> running.Running:
        self.check()
        path, _ = self._training()
        return _load(path, path.stat().st_mtime_ns)

    def _training(self) -> tuple[Path, Training]:
        remedy = (
            f"train them with `python -m benchmarks.neural_training {self.kind} DATA_SET "
            f"--minutes 8 -o FILE.safetensors`, and name the file in {self.variable}"
        )
        path = self._weights or Path(os.environ.get(self.variable, ""))
        if not path.is_file():
            raise MissingExtraError(f"comparing with {self.title} needs trained weights: {remedy}")
        try:
            training = read_training(path)
        except InputError as error:
            raise InputError(f"{error}: {remedy}") from error
        if training.kind != self.kind:
            raise InputError(f"{path}: weights of {training.kind}, not of {self.kind}: {remedy}")
        return path, training


class Tcm(_Learned):
    """Own small TCM: every slice on its own, transformer-CNN transforms (Liu et al. 2023)."""

    kind, title, variable = "tcm", "TCM", "DEEPSTD_TCM"


class Dvc(_Learned):
    """Own small DVC: slices predicted by coded motion (Lu et al. 2019)."""

    kind, title, variable = "dvc", "DVC", "DEEPSTD_DVC"


def _scaling(low: float, high: float) -> tuple[float, float]:
    if np.isnan(low):
        return 0.0, 0.0
    return low + (high - low) / 2, high - low


@lru_cache(maxsize=4)
def _load(path: Path, changed: int) -> running.Running:
    """Load a network; ``changed`` makes a new file of an old name another one."""
    from deepstd.baselines.neural.running import Running

    del changed
    return Running.load(path)
