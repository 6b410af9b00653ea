"""The two transforms of the texture stage under one roof: which network codes how.

description ─▶ TextureNetwork (lifting: wavelet, context model, post-filter)
             └ AutoencoderNetwork ("transform": "autoencoder": the paper's 3DTCMPE)
network ─▶ its encoder · its decoder · its previews
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch

from deepstd.coding.bytes import Cursor
from deepstd.devices import Workers
from deepstd.errors import DamagedError, InputError
from deepstd.texture.autoencoder.decoder import decode_latents
from deepstd.texture.autoencoder.encoder import AutoencoderEncoder
from deepstd.texture.autoencoder.network import AutoencoderNetwork
from deepstd.texture.header import TextureHeader
from deepstd.texture.models import Network
from deepstd.texture.scaling import Scaling
from deepstd.texture.slices.decoder import SliceNetworks, check_slices, decode_slices
from deepstd.texture.slices.encoder import EncodedSlices, SlicedEncoder
from deepstd.texture.wavelet.bitstream import EncodedTexture
from deepstd.texture.wavelet.check import check_texture
from deepstd.texture.wavelet.decoder import DecodedTexture, decode_texture
from deepstd.texture.wavelet.encoder import TextureEncoder
from deepstd.texture.wavelet.preview import subsampling

Encoded = EncodedTexture | EncodedSlices
Divisible = TextureEncoder | SlicedEncoder


class Encoder(Protocol):
    """Encodes one frame at any step; `TextureEncoder` says what each of these is."""

    values: np.ndarray
    shape: tuple[int, ...]
    coarse: tuple[int, ...]
    scaling: Scaling
    finest: int

    @property
    def conditioned(self) -> bool:
        """Whether there is a template."""
        ...

    def encode(self, step_code: int, rate_weight: float) -> Any:
        """Code at one step: an `Encoded` of a kind that the encoder knows."""
        ...

    def refine(self, step_code: int, rate_weight: float, rounds: int) -> None:
        """Find what to aim at so that encodings of about this step err less."""
        ...

    def release(self) -> None:
        """Let go of what is kept of the latest encoding."""
        ...

    def restored(self, encoded: Any, step_code: int) -> np.ndarray:
        """Values in steps, before the Wiener filter."""
        ...


def squared_error(encoder: Encoder, encoded: Any, step_code: int) -> float:
    """Mean squared error in grey values of an encoding at a step, before the Wiener filter."""
    step, offset = np.float64(encoder.scaling.step(step_code)), encoder.scaling.offset
    restored, total = encoder.restored(encoded, step_code), 0.0
    for row, truth in zip(restored, encoder.values, strict=True):
        with np.errstate(over="ignore"):  # infinite is larger than all others, and that is enough
            total += float(np.square(row * step + offset - truth).sum())
    return total / restored.size


def encoder_for(
    network: Network,
    values: np.ndarray,
    spacing: Sequence[float] | None,
    template: torch.Tensor | None,
    places: torch.Tensor | None,
    *,
    coarse: tuple[int, ...] | None,
    workers: Workers,
) -> Encoder:
    """Encoder of one frame; arguments as for `TextureEncoder`."""
    if isinstance(network, AutoencoderNetwork):
        return AutoencoderEncoder(network, values, template, places, workers=workers)
    return TextureEncoder(
        network, values, spacing, template, places, coarse=coarse, workers=workers
    )


def decode(
    network: Network,
    of_slices: SliceNetworks | None,
    payload: bytes,
    tiles: Sequence[bytes],
    shape: tuple[int, ...],
    template: torch.Tensor | None,
    places: torch.Tensor | None,
    *,
    name: str,
    workers: Workers,
    level: int,
) -> DecodedTexture:
    """Decode one frame's texture; arguments as for `check` and `decode_texture`."""
    if of_slices is not None and check_slices(of_slices, payload, shape, level, name):
        return decode_slices(of_slices, payload, shape, name=name, workers=workers, level=level)
    if isinstance(network, AutoencoderNetwork):
        head, stream = _autoencoded(payload, tiles, shape, name)
        return decode_latents(network, head, stream, shape, template, places, workers=workers)
    return decode_texture(
        network, payload, tiles, shape, template, places, name=name, workers=workers, level=level
    )


def check(
    network: Network,
    of_slices: SliceNetworks | None,
    payload: bytes,
    tiles: Sequence[bytes],
    shape: tuple[int, ...],
    *,
    name: str,
    level: int,
) -> tuple[int, ...]:
    """Check a texture before memory is taken for its scan.

    Args:
        network: of the frame's number of axes.
        of_slices: where frames may be coded slice by slice.
        payload, tiles, shape, name, level: as for `decode_texture`.

    Returns:
        Of every how many voxels along each axis a preview of this level has one.

    Raises:
        DamagedError: the head makes no sense, or the tiles are not those of such a scan.
        InputError: there is no such preview.
    """
    if isinstance(network, AutoencoderNetwork):
        _autoencoded(payload, tiles, shape, name)
        if level:
            raise InputError(
                "there is no preview of a scan whose bundle uses the autoencoder: only the wavelet "
                "codes coarse levels first. Leave out --level"
            )
        return (1,) * len(shape)
    if of_slices is not None:
        factors = check_slices(of_slices, payload, shape, level, name)
        if factors is not None:
            if tiles and not level:
                raise DamagedError(f"{name} is damaged: texture tiles beside slices")
            return factors
    _, plan, _ = check_texture(payload, None if level else tiles, shape, name)
    return subsampling(plan, level, len(shape))


def _autoencoded(
    payload: bytes, tiles: Sequence[bytes], shape: tuple[int, ...], name: str
) -> tuple[TextureHeader, bytes]:
    cursor = Cursor(payload, name, "texture")
    head = TextureHeader.read(cursor, len(shape))
    if tiles:
        raise DamagedError(f"{name} is damaged: expected no texture tiles, found {len(tiles)}")
    return head, cursor.take(cursor.remaining)
