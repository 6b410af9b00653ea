"""Model bundles: immutable folders with the networks and the template for one kind of scan.

    name or folder ─ find ──┬ check hashes ─▶ Bundle (description, arrays, template)
    hash that a file names ─┘

Nothing here needs torch; the codec builds networks from the arrays.
"""

from deepstd.bundle.manifest import Manifest
from deepstd.bundle.store import Bundle, available, find, folders, load, load_exact, save

__all__ = ["Bundle", "Manifest", "available", "find", "folders", "load", "load_exact", "save"]
