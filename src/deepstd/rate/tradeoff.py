"""Rate-distortion cost for the decisions of the encoder.

squared error, bytes ─▶ rate-distortion cost; the encoding with the smallest cost is kept
"""

from __future__ import annotations

import math

# λ on logarithms: octaves of squared error that an octave of bytes is worth, roughly.
_ERROR_OCTAVES = 0.8


def rd_cost(error: float, nbytes: float) -> float:
    """Return the rate-distortion cost log2(error) + λ log2(bytes), to be minimised.

    Args:
        error: squared error, in a unit that is the same for all encodings compared.
        nbytes: bytes of the encoding.
    """
    return math.log2(error + 1e-9) + _ERROR_OCTAVES * math.log2(nbytes)
