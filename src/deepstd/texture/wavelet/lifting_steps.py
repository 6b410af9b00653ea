"""Lifting steps of the CDF 9/7 wavelet: `Steps` for each use, and their rational factors.

split: predict high, update low, predict high, update low, scale
merge: scale, then the same steps undone from the last to the first
"""

from __future__ import annotations

from dataclasses import dataclass

ONE = 16384
"""Denominator of all factors."""
PREDICT_1 = -25987
UPDATE_1 = -868
PREDICT_2 = 14466
UPDATE_2 = 7266
GAIN = 18835
GAIN_INVERSE = 14252


@dataclass(frozen=True)
class Steps:
    """Lifting steps along one axis, whose samples are low, high, low, high …

    Attributes:
        merges: whether halves become samples; scaling then comes first, else last.
        first: half that the first step changes, 0 for low; the halves alternate.
        factors: of each step: a sample changes by this multiple of the sum of its neighbours.
        sign: 1 or −1; the multiple is added or subtracted.
        scales: factors of the low and the high half.
        whole: whether every multiple is rounded to a whole number, half up.
        transposed: whether the steps are transposed: missing neighbours count zero, and the second
            sample from either end counts its outer neighbour twice.
    """

    merges: bool
    first: int
    factors: tuple[float, float, float, float]
    sign: int
    scales: tuple[float, float]
    whole: bool
    transposed: bool


_PREDICT_1, _UPDATE_1, _PREDICT_2, _UPDATE_2, _GAIN, _GAIN_INVERSE = (
    factor / ONE for factor in (PREDICT_1, UPDATE_1, PREDICT_2, UPDATE_2, GAIN, GAIN_INVERSE)
)
_FORWARDS = (_PREDICT_1, _UPDATE_1, _PREDICT_2, _UPDATE_2)
_BACKWARDS = (_UPDATE_2, _PREDICT_2, _UPDATE_1, _PREDICT_1)
SPLIT = Steps(False, 1, _FORWARDS, 1, (_GAIN, _GAIN_INVERSE), whole=False, transposed=False)
SPLIT_WHOLE = Steps(False, 1, _FORWARDS, 1, (_GAIN, _GAIN_INVERSE), whole=True, transposed=False)
MERGE = Steps(True, 0, _BACKWARDS, -1, (_GAIN_INVERSE, _GAIN), whole=True, transposed=False)
ADJOINT = Steps(False, 0, _FORWARDS, -1, (_GAIN_INVERSE, _GAIN), whole=False, transposed=True)
"""Transposed steps of `MERGE`, run from the last to the first."""
