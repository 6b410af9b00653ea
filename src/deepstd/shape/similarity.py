"""Similarity of two scans at sampled points.

values a, b, weights ─▶ weighted normalised cross-correlation per scan (paper, Eq. 6), derivative
"""

from __future__ import annotations

import numpy as np

TINY = 1e-8
"""Number that keeps the divisions of a correlation finite."""


def correlation(a: np.ndarray, b: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the weighted normalised cross-correlation over the last axis, in [-1, 1].

    Args:
        a: (B, N) values of one image.
        b: (B, N) or (1, N) values of the other.
        weight: (B, N) non-negative; 0 leaves a point out.

    Returns:
        (B,); 0 where either image is constant.
    """
    return correlation_and_slope(a, b, weight)[0]


def correlation_and_slope(
    a: np.ndarray, b: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the correlation, (B,), and its derivative by ``a``, (B, N).

    Args:
        a, b, weight: as of `correlation`.
    """
    share = weight / np.maximum(weight.sum(-1, keepdims=True), TINY)
    a = a - _dot(share, a)
    b = b - _dot(share, b)
    shared_a = share * a
    share *= b
    own, product = _dot(shared_a, a), _dot(shared_a, b)
    other = _dot(share, b)
    power = own * other + TINY
    root = np.sqrt(power)
    # The means are constants here: deviations from a mean sum to 0.
    share -= shared_a * (product * other / power)
    share /= root
    return (product / root)[:, 0], share


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.einsum("bn,bn->b", a, b)[:, None]
