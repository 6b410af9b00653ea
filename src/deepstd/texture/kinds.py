"""Names of the networks and transforms of a bundle, without the networks."""

from __future__ import annotations

BETWEEN = "between"
Part = int | str
"""Which network of a bundle: 2 or 3 for as many axes, `BETWEEN` for slices between others."""
LIFTING, AUTOENCODER = "lifting", "autoencoder"
TRANSFORMS = (LIFTING, AUTOENCODER)
