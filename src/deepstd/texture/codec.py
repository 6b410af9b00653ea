"""Interfaces of the texture stage, and the codec of the wavelet and of slices.

frame ─ TextureCodec.encoder ─▶ Encoder ─ encode at a step and a λ ─▶ payload, tiles
CodedTexture ─ check ─▶ factors of a preview     CodedTexture ─ decode ─▶ DecodedTexture
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from deepstd.coding.tables import ScaleTables
from deepstd.conditioning import Conditioning
from deepstd.devices import Workers
from deepstd.errors import DamagedError
from deepstd.rate.tile_fit import TileCoder
from deepstd.texture.coded import CodedTexture, DecodedTexture
from deepstd.texture.opened import Kept, OpenedTexture
from deepstd.texture.scaling import Scaling
from deepstd.texture.slices.decoder import SliceNetworks, Slices, check_slices, decode_slices
from deepstd.texture.slices.encoder import EncodedSlices
from deepstd.texture.slices.opened import OpenedSlices
from deepstd.texture.wavelet.bitstream import EncodedTexture
from deepstd.texture.wavelet.check import check_texture
from deepstd.texture.wavelet.decoder import decode_texture
from deepstd.texture.wavelet.encoder import TextureEncoder
from deepstd.texture.wavelet.network import WaveletNetwork
from deepstd.texture.wavelet.opened import open_texture
from deepstd.texture.wavelet.preview import subsampling

Encoded = EncodedTexture | EncodedSlices


class NetworkSizes(Protocol):
    """Interface of the sizes of a network."""

    @property
    def ndim(self) -> int:
        """2 or 3 spatial axes."""
        ...

    @property
    def template(self) -> bool:
        """True where the network is conditioned on a warped template."""
        ...


class Network(Protocol):
    """Interface of the networks of one number of axes."""

    @property
    def config(self) -> NetworkSizes:
        """Sizes of the networks."""
        ...

    @property
    def tables(self) -> ScaleTables:
        """Frequencies of the symbols."""
        ...


class Encoder(Protocol):
    """Interface of the encoder of one frame.

    An encoder states as properties what else it can do: each is the encoder itself, or None.

    Attributes:
        values: finite grey values, (*shape).
        shape: voxels along each axis.
        coarse: relative voxel sizes in half octaves.
        scaling: range and offset of the grey values.
        finest: largest step code at which all coefficients can be coded.
        workers: devices that share the work.
    """

    values: np.ndarray
    shape: tuple[int, ...]
    coarse: tuple[int, ...]
    scaling: Scaling
    finest: int
    workers: Workers

    @property
    def conditioned(self) -> bool:
        """True where the encoder is conditioned on a template."""
        ...

    @property
    def divisible(self) -> Divisible | None:
        """The encoder where it counts coefficients and makes encoders of a part of the frame."""
        ...

    @property
    def recoder(self) -> TileCoder[Any] | None:
        """The encoder where tiles or slices of an encoding can be coded again."""
        ...

    @property
    def undivided(self) -> Undivided | None:
        """The encoder where an encoding has no such tiles or slices."""
        ...

    @property
    def priced(self) -> Priced | None:
        """The encoder where λ can differ between voxels."""
        ...

    def encode(self, step_code: int, rate_weight: float) -> Any:
        """Encode at a step code and a λ; the result is an `Encoded` of the encoder's own kind."""
        ...

    def refine(self, step_code: int, rate_weight: float, rounds: int) -> Any:
        """Refine the quantisation targets, so that encodings near this step have less error.

        Args:
            step_code: code of the quantisation step.
            rate_weight: λ, squared steps that a bit is worth.
            rounds: number of corrections.

        Returns:
            The encoding with the refined targets.
        """
        ...

    def release(self) -> None:
        """Release the arrays kept of the latest encoding."""
        ...

    def restored(self, encoded: Any, step_code: int) -> np.ndarray:
        """Return the restored values in steps before the adaptive loop filter, (*shape)."""
        ...


class Divisible(Encoder, Protocol):
    """Interface of an encoder that counts its coefficients and can encode a part of its frame."""

    def significant(self, step_code: int) -> float:
        """Estimate the number of coefficients that are not quantised to zero."""
        ...

    def middle_slices(
        self, voxels: int, *, axis: int | None = None, fewest: int | None = None
    ) -> Divisible:
        """Make an encoder of the middle slices along an axis.

        Args:
            voxels: approximate number of voxels.
            axis: axis along which the slices follow each other; None for the encoder's own.
            fewest: smallest number of slices; None for the encoder's own.
        """
        ...


class Priced(Encoder, Protocol):
    """Interface of an encoder whose λ can differ between voxels."""

    def set_prices(self, prices: np.ndarray) -> None:
        """Set the factor of λ at every voxel, (*shape), for later encodings."""
        ...


class Undivided(Encoder, Protocol):
    """Interface of an encoder whose last pass can have a λ of its own."""

    def encode(
        self, step_code: int, rate_weight: float, *, last_weight: float | None = None
    ) -> EncodedTexture:
        """Encode at a step code and a λ.

        Args:
            step_code: code of the quantisation step.
            rate_weight: λ, squared steps that a bit is worth.
            last_weight: λ of the last pass; None to use ``rate_weight``.
        """
        ...


class TextureCodec(Protocol):
    """Interface of the codec of frames of one number of axes."""

    @property
    def network(self) -> Network:
        """Network of the frames."""
        ...

    @property
    def slices(self) -> SliceNetworks | None:
        """Networks for slices; None where frames cannot be coded slice by slice."""
        ...

    def encoder(
        self,
        values: np.ndarray,
        spacing: Sequence[float] | None,
        conditioning: Conditioning | None,
        coarse: tuple[int, ...] | None,
    ) -> Encoder:
        """Make the encoder of one frame.

        Args:
            values: finite grey values, (*shape).
            spacing: voxel size along each axis in mm, or None.
            conditioning: warped template and coordinates, or None.
            coarse: relative voxel sizes of another frame of the scan; found if None.

        Raises:
            InputError: the values span more than can be coded.
        """
        ...

    def check(self, coded: CodedTexture, level: int) -> tuple[int, ...]:
        """Check a texture before memory is taken for its scan.

        Args:
            coded: texture of one frame.
            level: number of finest levels that a preview leaves out; 0 for the whole scan.

        Returns:
            Subsampling factor of the preview along each axis.

        Raises:
            DamagedError: the header makes no sense, or the tiles do not fit the shape.
            InputError: there is no preview of this level.
        """
        ...

    def decode(
        self, coded: CodedTexture, conditioning: Conditioning | None, level: int
    ) -> DecodedTexture:
        """Decode the texture of one frame.

        Args:
            coded: texture of one frame.
            conditioning: warped template and coordinates, or None.
            level: number of finest levels that a preview leaves out; 0 for the whole scan.

        Raises:
            DamagedError: the bytes make no sense.
            InputError: the frame has fewer levels.
        """
        ...

    def opened(
        self, coded: CodedTexture, conditioning: Conditioning | None, kept: Kept
    ) -> OpenedTexture:
        """Open the texture of one frame for decoding parts of it.

        Args:
            coded: texture of one frame; a tile is read when it is needed.
            conditioning: warped template and coordinates, or None.
            kept: place of decoded parts.

        Raises:
            DamagedError: the header makes no sense, or the tiles do not fit the shape.
        """
        ...


@dataclass(frozen=True)
class WaveletCodec:
    """Codec of frames as a whole by wavelet, which also decodes frames coded slice by slice.

    Attributes:
        network: network of the frames.
        workers: devices that share the work.
        slices: networks for slices; None where frames cannot be coded slice by slice.
    """

    network: WaveletNetwork
    workers: Workers
    slices: SliceNetworks | None = None

    def encoder(
        self,
        values: np.ndarray,
        spacing: Sequence[float] | None,
        conditioning: Conditioning | None,
        coarse: tuple[int, ...] | None,
    ) -> TextureEncoder:
        """Make the encoder of one frame as a whole (`TextureCodec.encoder`)."""
        return TextureEncoder(
            self.network, values, spacing, conditioning, coarse=coarse, workers=self.workers
        )

    def check(self, coded: CodedTexture, level: int) -> tuple[int, ...]:
        """Check a texture before memory is taken (`TextureCodec.check`)."""
        factors = None if self.slices is None else check_slices(self.slices, coded, level)
        if factors is None:
            return subsampling(check_texture(coded, level).plan, level, len(coded.shape))
        if coded.tiles and not level:
            raise DamagedError(f"{coded.name} is damaged: texture tiles beside slices")
        return factors

    def decode(
        self, coded: CodedTexture, conditioning: Conditioning | None, level: int
    ) -> DecodedTexture:
        """Decode the texture of one frame (`TextureCodec.decode`)."""
        if self.slices is not None and check_slices(self.slices, coded, level):
            return decode_slices(self.slices, coded, workers=self.workers, level=level)
        return decode_texture(self.network, coded, conditioning, workers=self.workers, level=level)

    def opened(
        self, coded: CodedTexture, conditioning: Conditioning | None, kept: Kept
    ) -> OpenedTexture:
        """Open the texture of one frame for decoding parts of it (`TextureCodec.opened`)."""
        self.check(coded, 0)
        if self.slices is not None and check_slices(self.slices, coded):
            return OpenedSlices(Slices(self.slices, coded, self.workers), kept)
        return open_texture(self.network, coded, conditioning, self.workers, kept)


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
