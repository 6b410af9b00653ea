"""Choice of the texture coder: wavelet, slices or autoencoder, by network and payload.

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
    """Interface of the encoder of one frame.

    Attributes:
        values: finite grey values, (*shape).
        shape: voxels along each axis.
        coarse: relative voxel sizes in half octaves.
        scaling: range and offset of the grey values.
        finest: largest step code at which all coefficients can be coded.
    """

    values: np.ndarray
    shape: tuple[int, ...]
    coarse: tuple[int, ...]
    scaling: Scaling
    finest: int

    @property
    def conditioned(self) -> bool:
        """True where the encoder is conditioned on a template."""
        ...

    def encode(self, step_code: int, rate_weight: float) -> Any:
        """Encode at a step code and a λ; the result is an `Encoded` of the encoder's own kind."""
        ...

    def refine(self, step_code: int, rate_weight: float, rounds: int) -> None:
        """Refine the quantisation targets, so that encodings near this step have less error."""
        ...

    def release(self) -> None:
        """Release the tensors kept of the latest encoding."""
        ...

    def restored(self, encoded: Any, step_code: int) -> np.ndarray:
        """Return the restored values in steps before the adaptive loop filter, (*shape)."""
        ...


def squared_error(encoder: Encoder, encoded: Any, step_code: int) -> float:
    """Return the mean squared error of an encoding in squared grey values.

    The error is measured before the adaptive loop filter.

    Args:
        encoder: encoder of the frame.
        encoded: an encoding of this encoder.
        step_code: step of the encoding.
    """
    step, offset = np.float64(encoder.scaling.step(step_code)), encoder.scaling.offset
    restored, total = encoder.restored(encoded, step_code), 0.0
    for row, truth in zip(restored, encoder.values, strict=True):
        with np.errstate(over="ignore"):  # an infinite error loses every comparison
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
    """Make the encoder of one frame.

    Args:
        network: network of the frame's number of axes.
        values: finite grey values, (*shape).
        spacing: voxel size along each axis in mm, or None.
        template: warped template, whole numbers 0 … 1023, (1, 1, *shape), or None.
        places: template coordinates, whole numbers −64 … 64, (1, ndim, *shape), or None.
        coarse: relative voxel sizes of another frame of the scan; found if None.
        workers: devices that share the work; the network is on the first of them.

    Raises:
        InputError: the values span more than can be coded.
    """
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
    """Decode the texture of one frame.

    Args:
        network: network of the frame's number of axes.
        of_slices: networks for slices; None where frames cannot be coded slice by slice.
        payload: header and first stream.
        tiles: streams of the tiles.
        shape: voxels along each axis.
        template: warped template, whole numbers 0 … 1023, (1, 1, *shape), or None.
        places: template coordinates, whole numbers −64 … 64, (1, ndim, *shape), or None.
        name: name of the file, for messages.
        workers: devices that share the work; the networks are on the first of them.
        level: number of finest levels that a preview leaves out; 0 for the whole scan.

    Raises:
        DamagedError: the bytes make no sense.
        InputError: the frame has fewer levels.
    """
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
        network: network of the frame's number of axes.
        of_slices: networks for slices; None where frames cannot be coded slice by slice.
        payload: header and first stream.
        tiles: streams of the tiles.
        shape: voxels along each axis.
        name: name of the file, for messages.
        level: number of finest levels that a preview leaves out; 0 for the whole scan.

    Returns:
        Subsampling factor of the preview along each axis.

    Raises:
        DamagedError: the header makes no sense, or the tiles do not fit the shape.
        InputError: there is no preview of this level.
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
