"""Scans in and out of files.

file ─ read ─▶ Volume ─ write ─▶ file
"""

from deepstd.io.atomic import atomic_path
from deepstd.io.registry import affine_of, check_header, read, with_own_header, write

__all__ = ["affine_of", "atomic_path", "check_header", "read", "with_own_header", "write"]
