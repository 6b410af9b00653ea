"""Adam (Kingma and Ba 2015) on arrays.

gradients ─ running mean, running square ─▶ parameters, in place
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

# Decay of the running means of gradients (β₁) and of their squares (β₂).
MEAN_DECAY, SQUARE_DECAY = 0.9, 0.99
TINY = 1e-8
"""Number ε that keeps the division finite."""


class Adam:
    """Adam optimiser of several arrays, each with its own learning rate."""

    def __init__(self, parameters: Sequence[np.ndarray]) -> None:
        self.parameters = list(parameters)
        self._means = [np.zeros_like(p) for p in parameters]
        self._squares = [np.zeros_like(p) for p in parameters]
        self._steps = 0

    def step(self, gradients: Sequence[np.ndarray], rates: Sequence[float]) -> None:
        """Update the parameters in place.

        Args:
            gradients: derivatives of the loss by each parameter.
            rates: learning rate of each parameter, in the order of `parameters`.
        """
        self._steps += 1
        mean_share = 1 - MEAN_DECAY**self._steps
        square_share = math.sqrt(1 - SQUARE_DECAY**self._steps)
        moments = zip(self.parameters, gradients, self._means, self._squares, rates, strict=True)
        for parameter, gradient, mean, square, rate in moments:
            mean += (1 - MEAN_DECAY) * (gradient - mean)
            square += (1 - SQUARE_DECAY) * (gradient * gradient - square)
            parameter -= (rate / mean_share) * mean / (np.sqrt(square) / square_share + TINY)
