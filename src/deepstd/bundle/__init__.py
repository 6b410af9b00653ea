"""Model bundles: folders that hold everything one kind of scan needs, and never change.

    name or folder ─ find ──┬ check hashes ─▶ Bundle (description, arrays, template)
    hash that a file names ─┘

Nothing here needs torch; the codec makes networks of the arrays.
"""

from deepstd.bundle.manifest import Manifest
from deepstd.bundle.store import Bundle, available, find, folders, load, load_exact, save

__all__ = ["Bundle", "Manifest", "available", "find", "folders", "load", "load_exact", "save"]
