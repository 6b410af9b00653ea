"""Products of matrices on one thread.

a (M, K), b (K, N) ─ rows of a in parts ─▶ BLAS, part by part ─▶ a b

Matrices of a field are small: threads that share a product wait longer than they compute. OpenBLAS,
which numpy's packages contain, keeps to one thread for products below a fixed size.
"""

from __future__ import annotations

import numpy as np

_LARGEST = 1 << 18  # multiplications that OpenBLAS leaves to one thread


def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Multiply matrices, in parts if they are large.

    Args:
        a: (..., M, K).
        b: (..., K, N), of the same type.

    Returns:
        (..., M, N).
    """
    count, inner = a.shape[-2:]
    rows = max(1, _LARGEST // (inner * b.shape[-1]))
    if count <= rows:
        return a @ b
    outer = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    result = np.empty((*outer, count, b.shape[-1]), a.dtype)
    whole = count - count % rows
    parts = (-1, rows)
    np.matmul(
        a[..., :whole, :].reshape(*a.shape[:-2], *parts, inner),
        b[..., None, :, :],
        out=result[..., :whole, :].reshape(*outer, *parts, b.shape[-1]),
    )
    if whole < count:
        np.matmul(a[..., whole:, :], b, out=result[..., whole:, :])
    return result
