"""Price of bytes in distortion: one rate-distortion cost for every decision of the encoder.

squared error, bytes ─▶ rate-distortion cost; the candidate with the smallest is kept
"""

from __future__ import annotations

import math

# Octaves of squared error that an octave of bytes is worth, roughly.
_ERROR_OCTAVES = 0.8


def rd_cost(error: float, nbytes: float) -> float:
    """What to make small: octaves of squared error, and of bytes at their usual price."""
    return math.log2(error + 1e-9) + _ERROR_OCTAVES * math.log2(nbytes)
