"""First quantisation steps of the searches for one target size.

nothing known ─ significant coefficients ─▶ step ─ large scan: encode a part ─▶ better step
earlier encoding of the whole scan ─ extrapolate ─▶ step
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from deepstd.progress import Progress
from deepstd.rate.start import Point, Start, StepScale, estimate, first_start, start_near
from deepstd.texture.codec import Encoder
from deepstd.texture.scaling import STEP_CODE_MIN, STEPS_PER_OCTAVE

# Grey values: stored integers are exact at this step.
_FINEST_INTEGER_STEP = 0.125
# Voxels of the part of a large scan on which the step is estimated.
_GUESS_VOXELS = 1 << 20
# Of the significant coefficients, so that an empty part does not divide by zero.
_SMALLEST_SHARE = 1e-3
# First step of encoders that cannot estimate it.
_FIRST_START = Start(2 * STEPS_PER_OCTAVE)


@dataclass
class FirstSteps:
    """First steps, which get better with each encoding of the scan.

    Attributes:
        allowed: most bytes of the file.
        fixed_bytes: bytes of a file that do not depend on the encoding.
        rate_weight: λ that the searches begin with.
        dtype: stored type of the scan.
        progress: progress of the job.
        after_trial: whether a trial has shown how the size of this scan changes with the step.
    """

    allowed: int
    fixed_bytes: int
    rate_weight: float
    dtype: np.dtype
    progress: Progress
    _start: Start | None = None
    _whole: bool = False
    after_trial: bool = False

    def tried(self, start: Start) -> None:
        """Take over the step of a trial on a part of the scan."""
        self._start, self._whole, self.after_trial = start, False, True

    def aim(self, point: Point, fill: float, nbytes: float | None = None) -> Start:
        """Extrapolate the next first step from an encoding of the whole scan.

        Args:
            point: quantiser and bytes of the encoding.
            fill: smallest accepted share of the allowed bytes.
            nbytes: bytes that the file is expected to take at this quantiser; None for those of
                the encoding.
        """
        self._whole = True
        self._start = start_near(
            point if nbytes is None else replace(point, nbytes=round(nbytes)),
            self.allowed * (1 + fill) / 2,
            slope=(self._start or _FIRST_START).slope,
            rate_weight=self.rate_weight,
            octave=STEPS_PER_OCTAVE,
        )
        return self._start

    def beginning(self, encoders: Sequence[Encoder]) -> Start:
        """Return the step known so far, else estimate one without encoding."""
        divisible = [e.divisible for e in encoders if e.divisible is not None]
        if self._start is not None or not divisible:
            return self._start or _FIRST_START
        return first_start(
            lambda code: sum(encoder.significant(code) for encoder in divisible),
            sum(math.prod(encoder.shape) for encoder in divisible),
            max(self.allowed - self.fixed_bytes, 1),
            self.scale(encoders),
        )

    def first(self, encoders: Sequence[Encoder]) -> Start:
        """Return the first step of a search; encode a part of a large scan where none is known."""
        start = self.beginning(encoders)
        voxels = sum(math.prod(e.shape) for e in encoders)
        divisible = [e.divisible for e in encoders if e.divisible is not None]
        known = self._whole or voxels <= 4 * _GUESS_VOXELS
        if known or not divisible or encoders[0].conditioned:
            self._start = start
            return start
        part = divisible[len(divisible) // 2].middle_slices(_GUESS_VOXELS)
        self.progress("estimating the step on a part of the scan")

        def size(step_code: int) -> int:
            code = min(max(step_code, STEP_CODE_MIN), part.finest)
            whole = sum(encoder.significant(code) for encoder in divisible)
            share = part.significant(code) / whole if whole else 1.0
            encoded = part.encode(code, self.rate_weight)
            return math.ceil(encoded.nbytes / max(share, _SMALLEST_SHARE))

        self._start = estimate(size, self.allowed, start=start, octave=STEPS_PER_OCTAVE)
        return self._start

    def scale(self, encoders: Sequence[Encoder]) -> StepScale:
        """Return the scale up to the finest useful step; stored integers are exact there."""
        return StepScale(STEP_CODE_MIN, self._finest(encoders), STEPS_PER_OCTAVE)

    def _finest(self, encoders: Sequence[Encoder]) -> int:
        finest = min(e.finest for e in encoders)
        if self.dtype.kind == "f":
            return finest
        span = max(e.scaling.range for e in encoders)
        code = math.ceil(math.log2(span / _FINEST_INTEGER_STEP) * STEPS_PER_OCTAVE)
        return min(max(code, STEP_CODE_MIN + 1), finest)
