"""Decoder of autoencoder textures.

payload ─ hyper-latents, latents (DecoderSource) ─ synthesis ─▶ values
"""

from __future__ import annotations

import hashlib

import torch

from deepstd.devices import CPU, Workers
from deepstd.texture.autoencoder.latents import code_latents, in_steps, latent_grid
from deepstd.texture.autoencoder.network import AutoencoderNetwork
from deepstd.texture.autoencoder.parts import surroundings, synthesise
from deepstd.texture.entropy.symbols import DecoderSource, as_hashed
from deepstd.texture.header import TextureHeader
from deepstd.texture.runtime import network_dtype_of, replicas
from deepstd.texture.scaling import log_rate
from deepstd.texture.wavelet.decoder import DecodedTexture


def decode_latents(
    network: AutoencoderNetwork,
    head: TextureHeader,
    stream: bytes,
    shape: tuple[int, ...],
    template: torch.Tensor | None = None,
    places: torch.Tensor | None = None,
    *,
    workers: Workers = CPU,
    network_dtype: torch.dtype | None = None,
) -> DecodedTexture:
    """Decode the texture of one frame.

    Args:
        network: network that the texture was coded with.
        head: header of the texture.
        stream: coded symbols.
        shape: voxels along each axis.
        template: warped template, whole numbers 0 … 1023, (1, 1, *shape), or None.
        places: template coordinates, whole numbers −64 … 64, (1, ndim, *shape), or None.
        workers: devices that share the synthesis; the network is on the first of them.
        network_dtype: type of the entropy model's activations; symbols do not depend on it.

    Raises:
        DamagedError: the bytes make no sense.
    """
    device = workers.first
    around = surroundings(network.config, template, places, head.step_code)
    source = DecoderSource(network.tables, stream)
    units = code_latents(
        network.latents,
        latent_grid(network.config, shape),
        [log_rate(head.step_code)],
        around.blocks,
        around.block_places,
        source,
        network_dtype=network_dtype or network_dtype_of(device),
        device=device,
    )
    symbols = hashlib.sha256(b"".join(map(as_hashed, source.symbols_coded)))
    steps = synthesise(replicas(network, workers), in_steps(units), around, workers)
    steps = steps[0, 0][tuple(slice(0, n) for n in shape)].cpu().numpy()
    step = head.scaling.step(head.step_code)
    return DecodedTexture(steps, step, head.scaling.offset, symbols.digest())
