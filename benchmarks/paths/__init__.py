"""The same files and voxels, whatever computes them.

scans of all kinds ─ compressed and restored by every path ─▶ files, voxels compared
"""

from deepstd.threads import wait_passively

wait_passively()  # before torch is imported
