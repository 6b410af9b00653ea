"""Network of frames: each slice is predicted from the previous one by coded motion.

    slice, previous ─ motion estimation ─▶ motion ─ symbols ─▶ flow ─ warp ─ network ─▶ prediction
    slice − prediction ─ network of slices ─ symbols ─▶ residual ─ + prediction ─▶ restored slice

A short own implementation of DVC (Lu et al., CVPR 2019), far smaller than theirs. Motion is
estimated for blocks of 8 × 8: a soft choice of the best of 49 displacements, and a correction by
convolutions that begins as zero. The residual is coded by the network of `slices_network`, which
also codes the first slice.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from deepstd.baselines.neural.slices_network import (
    Frames,
    RateGain,
    RateIndex,
    SliceNetwork,
    whole_index,
)
from deepstd.baselines.neural.symbols import Source
from deepstd.resampling import resample
from deepstd.texture.autoencoder.blocks import SLOPE, convolution, zero_convolution
from deepstd.texture.autoencoder.config import AutoencoderConfig

_REACH = 3  # pixels of the search along each axis
# Sharpness of the choice of a displacement: mean absolute differences relative to the range.
_SHARPNESS = 60.0
_WIDTH = 16  # channels of the networks of motion
# When training begins: steps a pixel of motion at log2(range / step) of 0, its growth with that
# logarithm, and the logistic scale of motion in pixels.
_MOTION_GAIN, _GROWTH, _MOTION_SCALE = 0.5, 0.5, 0.3


class MotionEstimate(nn.Module):
    """Motion of blocks between two slices."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self._stride = stride
        count = (2 * _REACH + 1) ** 2
        self.first = convolution(2, count + 2, _WIDTH, 3)
        self.second = convolution(2, _WIDTH, _WIDTH, 3)
        self.exit = zero_convolution(2, _WIDTH, 2)

    def forward(self, current: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
        """Return displacements in pixels, (B, 2, *grid), from slices (B, 1, *whole blocks)."""
        span = 2 * _REACH + 1
        padded = functional.pad(reference, [_REACH] * 4, mode="replicate")
        height, width = current.shape[2:]
        moved = [
            padded[..., a : a + height, b : b + width] for a in range(span) for b in range(span)
        ]
        different = functional.avg_pool2d((torch.cat(moved, 1) - current).abs(), self._stride)
        share = torch.softmax(-_SHARPNESS * different, 1)
        along = torch.arange(span, dtype=current.dtype) - _REACH
        places = torch.cartesian_prod(along, along)
        choice = torch.einsum("bnij,nk->bkij", share, places)
        x = functional.leaky_relu(self.first(torch.cat([share, choice], 1)), SLOPE)
        x = functional.leaky_relu(self.second(x), SLOPE)
        return choice + self.exit(x)


class MotionCompensation(nn.Module):
    """Prediction of a slice from the previous one and the motion of blocks."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self._stride = stride
        self.first = convolution(2, 4, _WIDTH, 3)
        self.second = convolution(2, _WIDTH, _WIDTH, 3)
        self.exit = zero_convolution(2, _WIDTH, 1)

    def forward(self, motion: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
        """Return a prediction, (B, 1, *whole blocks), from displacements in pixels."""
        flow = functional.interpolate(motion, scale_factor=self._stride, mode="bilinear")
        height, width = reference.shape[2:]
        rows = torch.arange(height, dtype=flow.dtype)[:, None].expand(height, width)
        columns = torch.arange(width, dtype=flow.dtype).expand(height, width)
        coordinates = torch.stack([rows, columns], -1) + flow.movedim(1, -1)
        warped = resample(reference, coordinates)
        x = functional.leaky_relu(self.first(torch.cat([warped, reference, flow], 1)), SLOPE)
        x = functional.leaky_relu(self.second(x), SLOPE)
        return warped + self.exit(x)


class FrameNetwork(nn.Module):
    """Codec of slices one after the other.

    Attributes:
        config: sizes.
        slices: network of first slices and of residuals; it holds the tables.
    """

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        self.slices = SliceNetwork(config)
        self.estimate = MotionEstimate(config.stride)
        self.compensate = MotionCompensation(config.stride)
        self.motion_gain = RateGain(config, _MOTION_GAIN, _GROWTH)
        scales = np.full(2, _MOTION_GAIN * _MOTION_SCALE)
        self.motion_index = RateIndex(config, scales, _GROWTH)

    def code(
        self,
        values: torch.Tensor | None,
        reference: torch.Tensor | None,
        frames: Frames,
        knob: float,
        source: Source,
    ) -> torch.Tensor:
        """Code one slice of each of B scans; return it restored, (B, 1, *whole blocks).

        Args:
            values: true slices relative to the range, or None in a decoder.
            reference: restored previous slices, or None for the first ones.
            frames: grid, rate and number of slices.
            knob: log2(range / step).
            source: source of the symbols.
        """
        steps = 2.0**knob
        prediction = None
        if reference is not None:
            prediction = self._predict(values, reference, frames, source)
        residual = values
        if values is not None and prediction is not None:
            residual = values - prediction
        latents = self.slices.code(None if residual is None else residual * steps, frames, source)
        restored = self.slices.restore(latents, frames) / steps
        return restored if prediction is None else restored + prediction

    def _predict(
        self,
        values: torch.Tensor | None,
        reference: torch.Tensor,
        frames: Frames,
        source: Source,
    ) -> torch.Tensor:
        gain = self.motion_gain(frames.condition)
        target = None if values is None else gain * self.estimate(values, reference)
        shape = (frames.batch, 2, *frames.grid)
        index = whole_index(self.motion_index(frames.condition).expand(shape))
        motion = source.code(target, index.new_zeros(shape), index)
        return self.compensate(motion / gain, reference)
