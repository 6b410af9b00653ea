"""Names of the networks and transforms of a bundle, without the networks."""

from __future__ import annotations

BETWEEN = "between"
Part = int | str
"""Key of a network in a bundle: 2 or 3 axes, or `BETWEEN` for predicted slices."""
LIFTING, AUTOENCODER = "lifting", "autoencoder"
TRANSFORMS = (LIFTING, AUTOENCODER)
