"""The exact coder: voxels of every type <-> bytes, bit by bit the same.

    voxels ─ mapping ─▶ levels ─ arrangement ─▶ slabs ─ native | reference ─▶ streams ─▶ payload

Nothing is trained: predictors and probabilities adapt to the scan while it is coded.
"""

from deepstd.lossless.opened import OpenedVoxels
from deepstd.lossless.payload import decode, encode

__all__ = ["OpenedVoxels", "decode", "encode"]
