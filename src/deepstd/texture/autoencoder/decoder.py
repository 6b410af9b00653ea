"""Decoder of autoencoder textures.

payload ─ hyper-latents, latents (DecoderSource) ─ synthesis ─▶ values
"""

from __future__ import annotations

import hashlib

import torch

from deepstd.conditioning import Conditioning
from deepstd.devices import CPU, Workers
from deepstd.errors import DamagedError
from deepstd.texture.autoencoder.latents import code_latents, in_steps, latent_grid
from deepstd.texture.autoencoder.network import AutoencoderNetwork
from deepstd.texture.autoencoder.parts import surroundings, synthesise
from deepstd.texture.coded import CodedTexture, DecodedTexture
from deepstd.texture.entropy.symbols import DecoderSource, as_hashed
from deepstd.texture.header import TextureHeader
from deepstd.texture.networks.runtime import Arithmetic, replicas, torch_device
from deepstd.texture.networks.source import OnTensors
from deepstd.texture.scaling import log_rate


def check_latents(coded: CodedTexture) -> tuple[TextureHeader, bytes]:
    """Check a texture before memory is taken; return its header and its stream.

    Raises:
        DamagedError: the header makes no sense, or there are tiles.
    """
    head, cursor = coded.read_header()
    if coded.tiles:
        raise DamagedError(
            f"{coded.name} is damaged: expected no texture tiles, found {len(coded.tiles)}"
        )
    return head, cursor.take(cursor.remaining)


def decode_latents(
    network: AutoencoderNetwork,
    coded: CodedTexture,
    conditioning: Conditioning | None = None,
    *,
    workers: Workers = CPU,
    network_dtype: torch.dtype | None = None,
) -> DecodedTexture:
    """Decode the texture of one frame.

    Args:
        network: network that the texture was coded with.
        coded: payload of an autoencoder.
        conditioning: warped template and coordinates, or None.
        workers: devices that share the synthesis; the network is on the first of them.
        network_dtype: type of the entropy model's activations; symbols do not depend on it.

    Raises:
        DamagedError: the bytes make no sense.
    """
    head, stream = check_latents(coded)
    device = torch_device(workers.first)
    around = surroundings(network.config, conditioning, head.step_code, device)
    source = DecoderSource(network.tables, stream)
    units = code_latents(
        network.latents,
        latent_grid(network.config, coded.shape),
        [log_rate(head.step_code)],
        around.blocks,
        OnTensors(source),
        Arithmetic.on(device, network_dtype),
    )
    symbols = hashlib.sha256(b"".join(map(as_hashed, source.symbols_coded)))
    steps = synthesise(replicas(network, workers), in_steps(units), around, workers)
    steps = steps[0, 0][tuple(slice(0, n) for n in coded.shape)].cpu().numpy()
    step = head.scaling.step(head.step_code)
    return DecodedTexture(steps, step, head.scaling.offset, symbols.digest())
