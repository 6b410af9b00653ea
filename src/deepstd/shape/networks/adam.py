"""Adam (Kingma and Ba 2015) without the imports of torch.optim.

gradients ─ running mean, running square ─▶ parameters, in place

The first optimiser of torch.optim imports torch's compiler. The import takes two to four seconds,
longer than a registration.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from deepstd.shape.adam import MEAN_DECAY, SQUARE_DECAY, TINY


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
        mean_share, square_share = 1 - MEAN_DECAY**self._steps, 1 - SQUARE_DECAY**self._steps
        moments = zip(self.parameters, gradients, self._means, self._squares, rates, strict=True)
        for parameter, gradient, mean, square, rate in moments:
            mean.lerp_(gradient, 1 - MEAN_DECAY)
            square.lerp_(gradient.square(), 1 - SQUARE_DECAY)
            parameter.addcdiv_(
                mean, (square / square_share).sqrt_().add_(TINY), value=-rate / mean_share
            )
