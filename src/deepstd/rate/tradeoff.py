"""Price of a byte in choices between whole encodings.

squared error, bytes ─▶ rate-distortion cost; the encoding with the smallest cost is kept

One per cent more bytes must save one per cent of squared error. The quantiser prices single
symbols by a λ of its own, in squared steps a bit (`texture.entropy.quantizer`; ``rate_weight`` of
a bundle).
"""

from __future__ import annotations

import math
import sys

# Octaves of squared error that an octave of bytes buys: on test scans of 8 studies 0.6 to 1.5 by
# study, 1.0 in the mean (docs/decisions, 0018).
_OCTAVES_PER_OCTAVE = 1.0


def rd_cost(error: float, nbytes: float) -> float:
    """Return the rate-distortion cost log2(error) + log2(bytes), to be minimised.

    Args:
        error: squared error, in a unit that is the same for all encodings compared.
        nbytes: bytes of the encoding.
    """
    return math.log2(max(error, sys.float_info.min)) + _OCTAVES_PER_OCTAVE * math.log2(nbytes)


def bytes_of_octaves(octaves: float, *, squared: bool) -> float:
    """Return the factor in bytes that a smaller error takes, roughly.

    Args:
        octaves: octaves by which the error falls.
        squared: True for an error that is a square, such as the distance of an SSIM to 1.
    """
    return 2.0 ** (octaves * (1 if squared else 2) / _OCTAVES_PER_OCTAVE)


def decibels(cost: float) -> float:
    """Return a difference between two rate-distortion costs in dB of PSNR."""
    return 10 * math.log10(2) * cost
