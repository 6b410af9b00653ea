"""Adam (Kingma and Ba 2015) without the imports of torch.optim.

gradients ─ running mean, running square ─▶ parameters, in place

The first optimiser of torch.optim imports torch's compiler. The import takes two to four seconds,
longer than a registration.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

# Decay of the running means of gradients (β₁) and of their squares (β₂).
_MEAN, _SQUARE = 0.9, 0.99
_TINY = 1e-8  # ε: keeps the division finite


class Adam:
    """Adam optimiser of several tensors, each with its own learning rate."""

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self.parameters = list(parameters)
        self._means = [torch.zeros_like(p) for p in parameters]
        self._squares = [torch.zeros_like(p) for p in parameters]
        self._steps = 0

    @torch.no_grad()
    def step(self, loss: Tensor, rates: Sequence[float]) -> None:
        """Differentiate a loss and update the parameters in place.

        Args:
            loss: scalar.
            rates: learning rate of each parameter, in the order of `parameters`.
        """
        gradients = torch.autograd.grad(loss, self.parameters)
        self._steps += 1
        mean_share, square_share = 1 - _MEAN**self._steps, 1 - _SQUARE**self._steps
        moments = zip(self.parameters, gradients, self._means, self._squares, rates, strict=True)
        for parameter, gradient, mean, square, rate in moments:
            mean.lerp_(gradient, 1 - _MEAN)
            square.lerp_(gradient.square(), 1 - _SQUARE)
            parameter.addcdiv_(
                mean, (square / square_share).sqrt_().add_(_TINY), value=-rate / mean_share
            )
