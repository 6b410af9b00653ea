"""Networks on GPUs for the coder, whose values stay arrays in the machine's memory.

arrays ─ GPU: context model, post-filter ─▶ arrays
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from deepstd.devices import Workers
from deepstd.texture.entropy import context
from deepstd.texture.networks.context import LevelContext
from deepstd.texture.networks.network import TextureNetwork
from deepstd.texture.networks.postfilter import Filter
from deepstd.texture.networks.runtime import network_dtype_of, torch_device
from deepstd.texture.networks.source import arrays_of
from deepstd.texture.tiling import Sides
from deepstd.texture.wavelet.network import WaveletNetwork


def placed(
    network: WaveletNetwork, stored: Mapping[str, np.ndarray], workers: Workers
) -> WaveletNetwork:
    """Return a network with its copies on all GPUs of the workers.

    Args:
        network: network on the CPU.
        stored: its arrays in the bundle.
        workers: devices that share the work.
    """
    contexts, filters = {}, {}
    for device in {device for device in workers.devices if not device.is_cpu}:
        own = torch_device(device)
        copy = TextureNetwork.from_tensors(network.config, stored).to(own)
        levels = range(len(network.config.widths))
        contexts[device] = [PlacedContext(copy.context.level(level)[0], own) for level in levels]
        filters[device] = PlacedFilter(copy.postfilter, own)
    return network.on(network.context.on(contexts), filters)


class PlacedContext:
    """Context model of a level on a device of torch (`entropy.context.Predictor`).

    Args:
        model: the model on the device.
        device: the device.
    """

    def __init__(self, model: LevelContext, device: torch.device) -> None:
        self._model, self._device = model, device

    @torch.no_grad()
    def hidden(
        self, features: np.ndarray, condition: np.ndarray, borders: Sides | None = None
    ) -> torch.Tensor:
        """Compute the hidden activations, which stay on the device."""
        return self._model.hidden(self._put(features), self._put(condition), borders)

    @torch.no_grad()
    def predict(self, index: int, hidden: torch.Tensor, known: np.ndarray) -> context.Prediction:
        """Predict the distribution in a pass, as arrays."""
        return arrays_of(self._model.predict(index, hidden, self._put(known)))

    def _put(self, values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(values).to(self._device, network_dtype_of(self._device))


class PlacedFilter:
    """Post-filter on a device of torch (`filters.postfilter.Filter`).

    Args:
        network: the filter on the device.
        device: the device.

    Attributes:
        halo: voxels that a filtered voxel depends on, on either side.
    """

    def __init__(self, network: Filter, device: torch.device) -> None:
        self._network, self._device, self.halo = network, device, network.halo

    @torch.no_grad()
    def __call__(
        self, low: np.ndarray, template: np.ndarray | None, condition: np.ndarray
    ) -> np.ndarray:
        """Return the restored values in steps, (B, 1, *shape) float32."""
        predicted = None if template is None else self._put(template)
        restored = self._network(self._put(low), predicted, self._put(condition))
        return restored.float().cpu().numpy()

    def _put(self, values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(self._device)
