"""A scan of thick slices, each coded as an image by the network for two axes.

    scan ─ slices along the thick axis ─ TextureEncoder of each ─▶ streams, one after the other
    payload ─ head · (length · stream) of every slice ─▶ slices ─▶ scan

Where slices are several times as thick as their pixels, neighbouring ones have little in common,
and a network that has seen many images knows more of a slice than one for volumes does. Slices do
not depend on each other: devices share them, and some can be coded again to meet a size.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from deepstd.container.format import Cursor, encode_varint
from deepstd.devices import CPU, Workers
from deepstd.texture.decoder import DecodedTexture, decode_stream
from deepstd.texture.encoded import EncodedTexture
from deepstd.texture.encoder import TextureEncoder, middle_slices
from deepstd.texture.head import TextureHead, tile_count
from deepstd.texture.inputs import replicas
from deepstd.texture.lifting import split_plan
from deepstd.texture.network import TextureNetwork
from deepstd.texture.preview import subsampling
from deepstd.texture.scaling import Scaling

# In half octaves: slices at least 2.8 times as thick as their pixels.
_THICK = 3
_FEWEST_SLICES = 4


def thick_axis(coarse: Sequence[int], shape: Sequence[int]) -> int | None:
    """The axis along which a scan may be coded slice by slice, if there is one.

    Args:
        coarse: relative voxel sizes in half octaves.
        shape: of the scan.
    """
    if len(shape) != 3:
        return None
    axis = int(np.argmax(coarse))
    others = [size for a, size in enumerate(coarse) if a != axis]
    if coarse[axis] - max(others) < _THICK or shape[axis] < 2:
        return None
    image = tuple(n for a, n in enumerate(shape) if a != axis)
    return None if tile_count(split_plan(image, others), image) else axis


@dataclass(frozen=True)
class EncodedSlice:
    """One slice.

    Attributes:
        texture: of the slice, as of an image.
        rate_weight: that it was quantised with.
    """

    texture: EncodedTexture
    rate_weight: float

    @property
    def stream(self) -> bytes:
        """Its bytes."""
        return self.texture.stream


@dataclass(frozen=True)
class EncodedSlices:
    """One frame's texture, slice by slice, as `encoded.EncodedTexture` has it.

    Attributes:
        head: what a decoder must know first.
        coded: the slices.
    """

    head: TextureHead
    coded: tuple[EncodedSlice, ...]

    @cached_property
    def payload(self) -> bytes:
        """Head, then length and stream of every slice."""
        streams = [encode_varint(len(s.stream)) + s.stream for s in self.coded]
        return self.head.pack() + b"".join(streams)

    @property
    def tiles(self) -> tuple[bytes, ...]:
        """There are none."""
        return ()

    @property
    def nbytes(self) -> int:
        """Bytes of the payload."""
        return len(self.payload)

    @cached_property
    def latents(self) -> bytes:
        """Hash of the hashes of the slices."""
        return hashlib.sha256(b"".join(s.texture.latents for s in self.coded)).digest()


class SlicedEncoder:
    """Encodes a scan slice by slice, with the interface of `encoder.TextureEncoder`.

    Args:
        network: for two axes.
        values: finite grey values, (I, J, K).
        axis: that the slices follow each other along.
        coarse: relative voxel sizes of the three axes.
        scaling: of the whole scan; fitted if None.
        workers: share the slices; the network is on the first of them.

    Attributes:
        finest: largest step code at which all coefficients can be coded.

    Raises:
        InputError: the values span more than can be coded.
    """

    conditioned = False
    divided = True

    def __init__(
        self,
        network: TextureNetwork,
        values: np.ndarray,
        axis: int,
        coarse: tuple[int, ...],
        *,
        scaling: Scaling | None = None,
        workers: Workers = CPU,
    ) -> None:
        self._network, self._values, self._axis = network, values, axis
        self._workers = workers
        self.shape, self.coarse = tuple(values.shape), coarse
        self.scaling = scaling or Scaling.fit(values)
        sizes = TextureHead(self.scaling, 0, coarse, axis).of_slice().coarse
        networks = list(replicas(network, workers).items())
        self._encoders = []
        for number, image in enumerate(np.moveaxis(values, axis, 0)):
            device, copy = networks[number % len(networks)]
            self._encoders.append(
                TextureEncoder(
                    copy,
                    image,
                    None,
                    scaling=self.scaling,
                    coarse=sizes,
                    workers=Workers((device,)),
                )
            )
        self.finest = min(encoder.finest for encoder in self._encoders)

    @staticmethod
    def of(volume: TextureEncoder, network: TextureNetwork, axis: int) -> SlicedEncoder:
        """An encoder of what another one encodes as a volume; not with a template."""
        return SlicedEncoder(
            network,
            volume.values,
            axis,
            volume.coarse,
            scaling=volume.scaling,
            workers=volume.workers,
        )

    def encode(self, step_code: int, rate_weight: float) -> EncodedSlices:
        """Code at one step."""
        head = TextureHead(self.scaling, step_code, self.coarse, self._axis)
        work = dict.fromkeys(range(len(self._encoders)), rate_weight)
        return EncodedSlices(head, tuple(self._encoded(step_code, work)))

    def recode(self, encoded: EncodedSlices, weights: Mapping[int, float]) -> EncodedSlices:
        """An encoding with some slices coded again with other weights of the rate."""
        coded = list(encoded.coded)
        for number, slice_ in zip(
            weights, self._encoded(encoded.head.step_code, weights), strict=True
        ):
            coded[number] = slice_
        return replace(encoded, coded=tuple(coded))

    def _encoded(self, step_code: int, weights: Mapping[int, float]) -> list[EncodedSlice]:
        def work(_: torch.device, part: tuple[int, float]) -> EncodedSlice:
            number, weight = part
            return EncodedSlice(self._encoders[number].encode(step_code, weight), weight)

        return list(self._workers.map(work, weights.items()))

    def refine(self, step_code: int, rate_weight: float, rounds: int) -> None:
        """`TextureEncoder.refine` of every slice."""

        def work(_: torch.device, encoder: TextureEncoder) -> None:
            encoder.refine(step_code, rate_weight, rounds)

        list(self._workers.map(work, self._encoders))

    def settle(self) -> None:
        """Nothing is kept between encodings."""

    def significant(self, step_code: int) -> float:
        """About how many coefficients are not quantised to zero."""
        return sum(encoder.significant(step_code) for encoder in self._encoders)

    def middle_slices(self, voxels: int) -> SlicedEncoder:
        """An encoder of about so many voxels of the middle slices."""
        return SlicedEncoder(
            self._network,
            middle_slices(self._values, voxels, self._axis, _FEWEST_SLICES),
            self._axis,
            self.coarse,
            scaling=self.scaling,
            workers=self._workers,
        )

    def squared_error(self, encoded: EncodedSlices, step_code: int) -> float:
        """Mean squared error in grey values after the post-filter."""

        def work(_: torch.device, part: tuple[TextureEncoder, EncodedSlice]) -> float:
            encoder, coded = part
            return encoder.squared_error(coded.texture, step_code)

        parts = zip(self._encoders, encoded.coded, strict=True)
        return float(np.mean(list(self._workers.map(work, parts))))


def check_slices(
    payload: bytes, shape: tuple[int, ...], level: int, name: str
) -> tuple[int, ...] | None:
    """Check a payload; None where it is not one of slices.

    Returns:
        Of every how many voxels along each axis a preview of this level has one.

    Raises:
        DamagedError: the bytes make no sense.
        InputError: there are not so many levels.
    """
    head, _ = _parts(payload, shape, name)
    if head.sliced is None:
        return None
    image = _image_shape(shape, head.sliced)
    factors = list(subsampling(split_plan(image, head.of_slice().coarse), level, 2))
    factors.insert(head.sliced, 1)
    return tuple(factors)


def decode_slices(
    network: TextureNetwork,
    payload: bytes,
    shape: tuple[int, ...],
    *,
    name: str,
    workers: Workers = CPU,
    level: int = 0,
) -> DecodedTexture:
    """Decode a payload of slices; arguments as for `decoder.decode_texture`."""
    head, streams = _parts(payload, shape, name)
    if head.sliced is None:
        raise ValueError("not a payload of slices")
    image, own = _image_shape(shape, head.sliced), head.of_slice()
    copies = replicas(network, workers)

    def work(device: torch.device, stream: bytes) -> DecodedTexture:
        only = Workers((device,))
        return decode_stream(copies[device], own, stream, (), image, workers=only, level=level)

    steps, latents = [], hashlib.sha256()
    for part in workers.map(work, streams):
        steps.append(part.steps)
        latents.update(part.latents)
    return DecodedTexture(
        np.stack(steps, head.sliced),
        head.scaling.step(head.step_code),
        head.scaling.offset,
        latents.digest(),
    )


def _parts(payload: bytes, shape: tuple[int, ...], name: str) -> tuple[TextureHead, list[bytes]]:
    """Head, and the streams of the slices where it says that there are any."""
    cursor = Cursor(payload, name, "texture")
    head = TextureHead.read(cursor, len(shape))
    if head.sliced is None:
        return head, []
    image = _image_shape(shape, head.sliced)
    if tile_count(split_plan(image, head.of_slice().coarse), image):
        raise cursor.error(f"slices of {math.prod(image)} pixels are too large to be coded so")
    streams = [cursor.take(cursor.varint(cursor.remaining)) for _ in range(shape[head.sliced])]
    cursor.finish()
    return head, streams


def _image_shape(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return tuple(n for a, n in enumerate(shape) if a != axis)
