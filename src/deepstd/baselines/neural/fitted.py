"""Reference codecs that are fitted to the one scan that they compress.

    frame ─ − mean, / spread ─ fit within bytes and seconds ─▶ stream ─ decode ─▶ frame

They are short own implementations after the publications, not the programs of their authors.
Frames of a 4-D scan are fitted one by one, each with its part of the bytes and of the time.
Mean and spread of a frame are not counted. A constant frame takes no bytes.

The modules that compute are loaded by the first use: they need PyTorch.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import ClassVar, Protocol, cast

import numpy as np

from deepstd.baselines.base import Encoded
from deepstd.baselines.grey import filled, to_type
from deepstd.baselines.neural.limit import Limit
from deepstd.extras import check_torch
from deepstd.quality import finite_range


class _Method(Protocol):
    """Module that fits frames and restores them."""

    def encode(self, frame: np.ndarray, max_bytes: int, limit: Limit, name: str) -> bytes:
        """Fit a frame within a number of bytes."""
        ...

    def decode(self, stream: bytes, shape: tuple[int, ...]) -> np.ndarray:
        """Decode a frame."""
        ...


@dataclass(frozen=True)
class _Fitted:
    """Codec of single frames, extended to scans of 2 to 4 axes.

    Attributes:
        title: name of the method.
        module: module that computes it.
        seconds: time that a fit may take.
        steps: number of steps of a fit instead of a time, which is reproducible.
    """

    title: ClassVar[str]
    module: ClassVar[str]

    seconds: float = 30.0
    steps: int | None = None

    @property
    def name(self) -> str:
        """Name in tables, with the limit of a fit."""
        limit = f"{self.seconds:g} s" if self.steps is None else f"{self.steps} steps"
        return f"{self.title} ({limit})"

    def check(self) -> None:
        """Raise a MissingExtraError where PyTorch is not installed."""
        check_torch(f"comparing with {self.title}", "neural")

    def encode(self, voxels: np.ndarray, max_bytes: int) -> Encoded:
        """Fit a scan of 2 to 4 axes within a number of bytes.

        Args:
            voxels: the scan, any real type.
            max_bytes: allowed bytes.

        Raises:
            RateError: even the coarsest quantiser needs more bytes.
            MissingExtraError: PyTorch is not installed.
        """
        self.check()
        frames = list(np.ndindex(voxels.shape[3:]))
        limit = Limit(self.seconds, self.steps).scaled(1 / len(frames))
        values = filled(voxels)
        streams, scales = [], []
        for number, frame in enumerate(frames):
            part = np.atleast_1d(np.squeeze(values[(..., *frame)]))
            unit, low, scale = _standardised(part)
            stream = b""
            if scale:
                left = max_bytes - sum(map(len, streams))
                stream = self._method().encode(
                    unit, left // (len(frames) - number), limit, self.name
                )
            streams.append(stream)
            scales.append((low, scale))
        return Encoded(tuple(streams), (voxels.shape, voxels.dtype, scales))

    def decode(self, encoded: Encoded) -> np.ndarray:
        """Decode a scan to the shape and type of the original."""
        self.check()
        shape, dtype, scales = encoded.side
        restored = np.empty(shape, dtype)
        long_axes = tuple(length for length in shape[:3] if length > 1)
        frames = zip(np.ndindex(shape[3:]), encoded.streams, scales, strict=True)
        for frame, stream, (low, scale) in frames:
            values = np.full(shape[:3], low)
            if scale:
                unit = self._method().decode(stream, long_axes).astype(np.float64)
                values = low + scale * unit.reshape(shape[:3])
            restored[(..., *frame)] = to_type(values, dtype)
        return restored

    def _method(self) -> _Method:
        return cast(_Method, importlib.import_module(f"{__package__}.{self.module}"))


class Brief(_Fitted):
    """BRIEF (Yang et al., PNAS 2024): small sine networks for the blocks of a partition."""

    title, module = "BRIEF", "siren"


class Gaussians(_Fitted):
    """GaussianImage (Zhang et al., ECCV 2024), and the same for volumes: sums of Gaussians."""

    title, module = "Gaussians", "gaussians"


def _standardised(frame: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Return a frame with mean 0 and standard deviation 1, its mean, and its deviation.

    A constant frame has the deviation 0, and its value is returned as its mean.
    """
    low, high = finite_range(frame)
    if not high > low:
        return np.zeros(frame.shape, np.float32), frame.reshape(-1)[0], 0.0
    share = (frame.astype(np.float64) - low) / (high - low)
    mean, spread = float(share.mean()), float(share.std())
    unit = ((share - mean) / spread).astype(np.float32)
    return unit, low + mean * (high - low), spread * (high - low)
