"""Codec of autoencoder textures, with the interface of `texture.codec.TextureCodec`.

frame ─▶ AutoencoderEncoder     CodedTexture ─ check, decode ─▶ DecodedTexture
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deepstd.conditioning import Conditioning
from deepstd.devices import Workers
from deepstd.errors import InputError
from deepstd.texture.autoencoder.decoder import check_latents, decode_latents
from deepstd.texture.autoencoder.encoder import AutoencoderEncoder
from deepstd.texture.autoencoder.network import AutoencoderNetwork
from deepstd.texture.coded import CodedTexture, DecodedTexture
from deepstd.texture.opened import Kept, OpenedTexture, OpenedWhole


@dataclass(frozen=True)
class AutoencoderCodec:
    """Codec of frames by autoencoder.

    Attributes:
        network: network of the frames, on the first of the workers.
        workers: devices that share the work.
    """

    network: AutoencoderNetwork
    workers: Workers

    @property
    def slices(self) -> None:
        """No networks for slices: frames are coded as a whole."""
        return None

    def encoder(
        self,
        values: np.ndarray,
        spacing: Sequence[float] | None,
        conditioning: Conditioning | None,
        coarse: tuple[int, ...] | None,
    ) -> AutoencoderEncoder:
        """Make the encoder of one frame; the autoencoder does not depend on voxel sizes."""
        return AutoencoderEncoder(self.network, values, conditioning, workers=self.workers)

    def check(self, coded: CodedTexture, level: int) -> tuple[int, ...]:
        """Check a texture before memory is taken (`TextureCodec.check`)."""
        check_latents(coded)
        if level:
            raise InputError(
                "there is no preview of a scan whose bundle uses the autoencoder: only the wavelet "
                "codes coarse levels first. Leave out --level"
            )
        return (1,) * len(coded.shape)

    def decode(
        self, coded: CodedTexture, conditioning: Conditioning | None, level: int
    ) -> DecodedTexture:
        """Decode the texture of one frame; `check` refuses levels."""
        return decode_latents(self.network, coded, conditioning, workers=self.workers)

    def opened(
        self, coded: CodedTexture, conditioning: Conditioning | None, kept: Kept
    ) -> OpenedTexture:
        """Open the texture of one frame; the autoencoder decodes it whole (`TextureCodec`)."""
        check_latents(coded)
        head, _ = coded.read_header()
        scale = head.scaling.step(head.step_code), head.scaling.offset
        return OpenedWhole(lambda: self.decode(coded, conditioning, 0), scale, kept)
