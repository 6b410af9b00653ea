"""Whether the thick slices of a scan are better coded as a volume or as images.

middle slices ─ as a volume: step that suits the bytes ─ both ways with that step ─▶ which is better
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from deepstd.rate import Start, estimate
from deepstd.texture.encoder import TextureEncoder
from deepstd.texture.network import TextureNetwork
from deepstd.texture.refinement import exchange
from deepstd.texture.scaling import STEP_CODE_MIN, STEPS_PER_OCTAVE
from deepstd.texture.slices import SlicedEncoder
from deepstd.texture.transforms import Encoder

_TRIAL_VOXELS = 1 << 19
_FEWEST_SLICES = 8
# Octaves of squared error: a tenth of a dB, because images take twice as long.
_LEAD = 0.03


@dataclass(frozen=True)
class Trial:
    """What a trial has found.

    Attributes:
        pays: whether slices are better coded as images.
        start: for the search of the whole scan's step.
    """

    pays: bool
    start: Start


def try_slices(
    whole: TextureEncoder,
    network: TextureNetwork,
    axis: int,
    bytes_per_voxel: float,
    start: Start,
    rate_weight: float,
) -> Trial:
    """Code some slices of a scan both ways.

    Args:
        whole: encoder of the scan as a volume.
        network: for images.
        axis: that the slices follow each other along.
        bytes_per_voxel: of the file that is wanted.
        start: where to begin to search for the step.
        rate_weight: of the quantiser.
    """
    part = whole.middle_slices(_TRIAL_VOXELS, axis=axis, fewest=_FEWEST_SLICES)
    images = SlicedEncoder.of(part, network, axis)
    finest = min(part.finest, images.finest)

    def within(step_code: int) -> int:
        return min(max(step_code, STEP_CODE_MIN), finest)

    found = estimate(
        lambda code: part.encode(within(code), rate_weight).nbytes,
        max(1, math.floor(bytes_per_voxel * math.prod(part.shape))),
        start=start.step_code,
        octave=STEPS_PER_OCTAVE,
    )
    code = within(found.step_code)

    def cost(encoder: Encoder) -> float:
        encoded = encoder.encode(code, rate_weight)
        return exchange(encoder.squared_error(encoded, code), encoded.nbytes)

    costs = cost(part), cost(images)
    return Trial(costs[1] < costs[0] - _LEAD, Start(code, found.slope))
