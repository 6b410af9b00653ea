"""Access to parts of a compressed scan.

open ─▶ Scan ─ index ─ selection ─▶ box ─ stored (chunks) ─ blocks ─▶ voxels
"""

from deepstd.access.scan import Scan

__all__ = ["Scan"]
