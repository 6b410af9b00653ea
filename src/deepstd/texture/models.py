"""Networks of both transforms, made from the descriptions of bundles.

    description, arrays ─▶ WaveletNetwork (lifting: wavelet, context model, post-filter)
                        └ AutoencoderNetwork ("transform": "autoencoder": the paper's 3DTCMPE)

Only the autoencoder and GPUs need torch, which is imported for them alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from deepstd.devices import Workers
from deepstd.extras import check_torch
from deepstd.texture.autoencoder.config import AutoencoderConfig
from deepstd.texture.codec import Network, TextureCodec, WaveletCodec
from deepstd.texture.description import config_of
from deepstd.texture.slices.decoder import SliceNetworks
from deepstd.texture.wavelet.network import WaveletNetwork


def network_of(
    description: Mapping[str, Any], stored: Mapping[str, np.ndarray], workers: Workers
) -> Network:
    """Load a network of a bundle, ready to code.

    Args:
        description: sizes of the network.
        stored: its arrays by name.
        workers: devices that share the work.

    Raises:
        BundleError: description and arrays do not fit.
        MissingExtraError: the network needs PyTorch, which is not installed.
    """
    config = config_of(description)
    if isinstance(config, AutoencoderConfig):
        check_torch("its transform, the autoencoder,", "train")
        from deepstd.texture.autoencoder.network import AutoencoderNetwork

        return AutoencoderNetwork.from_tensors(config, stored).to(str(workers.first))
    network = WaveletNetwork.from_tensors(config, stored)
    if all(device.is_cpu for device in workers.devices):
        return network
    from deepstd.texture.networks.placed import placed

    return placed(network, stored, workers)


def codec_of(network: Network, slices: SliceNetworks | None, workers: Workers) -> TextureCodec:
    """Return the codec of frames of a network.

    Args:
        network: network of the frames.
        slices: networks for slices; None where frames cannot be coded slice by slice.
        workers: devices that share the work.
    """
    if isinstance(network, WaveletNetwork):
        return WaveletCodec(network, workers, slices)
    from deepstd.texture.autoencoder.codec import AutoencoderCodec
    from deepstd.texture.autoencoder.network import AutoencoderNetwork

    if not isinstance(network, AutoencoderNetwork):
        raise TypeError(f"no codec for a {type(network).__name__}")
    return AutoencoderCodec(network, workers)
