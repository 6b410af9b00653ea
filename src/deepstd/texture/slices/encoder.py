"""Encoder of scans that are coded slice by slice with networks of two axes.

    scan ─ slices along an axis ─ intra, or predicted from reference slices ─▶ a stream each

Devices share the slices of a layer. Non-reference slices can be coded again to meet a size.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np

from deepstd.coding.bytes import encode_varint
from deepstd.devices import CPU, Device, Workers
from deepstd.texture.conditioning import Hint
from deepstd.texture.header import TextureHeader
from deepstd.texture.scaling import Scaling
from deepstd.texture.slices.decoder import SliceNetworks
from deepstd.texture.slices.schedule import (
    SliceNode,
    coding_order,
    groups_of,
    hint_of_group,
    non_reference,
)
from deepstd.texture.tiling import middle_slices
from deepstd.texture.wavelet.bitstream import EncodedTexture
from deepstd.texture.wavelet.encoder import (
    TextureEncoder,
    encode_together,
    refine_together,
)

# Fewest slices of a part of the scan on which the step is estimated.
_FEWEST_SLICES = 4


@dataclass(frozen=True)
class EncodedSlice:
    """An encoded slice.

    Attributes:
        texture: the slice coded as an image.
        rate_weight: λ of its quantiser.
    """

    texture: EncodedTexture
    rate_weight: float

    @property
    def stream(self) -> bytes:
        """Bytes of the slice."""
        return self.texture.stream


@dataclass(frozen=True)
class EncodedSlices:
    """The texture of one frame, slice by slice; it has the interface of `EncodedTexture`.

    Attributes:
        head: header of the texture.
        slices: all slices in the order of their numbers.
        free: numbers of the non-reference slices.
    """

    head: TextureHeader
    slices: tuple[EncodedSlice, ...]
    free: tuple[int, ...]

    @property
    def coded(self) -> tuple[EncodedSlice, ...]:
        """Non-reference slices, which can be coded again without changing others."""
        return tuple(self.slices[number] for number in self.free)

    @cached_property
    def payload(self) -> bytes:
        """Header, then length and stream of every slice."""
        return self.head.pack() + b"".join(map(_framed, self.slices))

    @property
    def tiles(self) -> tuple[bytes, ...]:
        """No tiles: slices have their streams in the payload."""
        return ()

    @property
    def nbytes(self) -> int:
        """Bytes of the payload."""
        return len(self.payload)

    @cached_property
    def latents(self) -> bytes:
        """SHA-256 of the symbol hashes of all slices."""
        return hashlib.sha256(b"".join(s.texture.latents for s in self.slices)).digest()


def _framed(coded: EncodedSlice) -> bytes:
    return encode_varint(len(coded.stream)) + coded.stream


class Prepared(Protocol):
    """Encoder of a volume, as far as an encoder of slices takes it over.

    Attributes:
        values: finite grey values, (I, J, K).
        coarse: relative voxel sizes in half octaves.
        scaling: range and offset of the grey values.
        workers: devices that share the work.
    """

    values: np.ndarray
    coarse: tuple[int, ...]
    scaling: Scaling
    workers: Workers


class SlicedEncoder:
    """Encoder of a scan slice by slice, with the interface of `TextureEncoder`.

    Args:
        networks: networks for slices.
        values: finite grey values, (I, J, K).
        axis: axis along which the slices follow each other.
        coarse: relative voxel sizes of the three axes in half octaves.
        octaves: log2 of the key interval; 0 makes every slice intra.
        scaling: scaling of the whole scan; fitted if None.
        workers: devices that share the slices.

    Attributes:
        values: finite grey values, (I, J, K).
        workers: devices that share the slices.
        finest: largest step code at which all coefficients can be coded.

    Raises:
        InputError: the values span more than can be coded.
    """

    conditioned = False
    undivided = None

    def __init__(
        self,
        networks: SliceNetworks,
        values: np.ndarray,
        axis: int,
        coarse: tuple[int, ...],
        octaves: int = 0,
        *,
        scaling: Scaling | None = None,
        workers: Workers = CPU,
    ) -> None:
        self._networks, self.values, self._axis = networks, values, axis
        self.workers, self._octaves = workers, octaves
        self.shape, self.coarse = tuple(values.shape), coarse
        self.scaling = scaling or Scaling.fit(values)
        self._layers = coding_order(values.shape[axis], octaves)
        self._free = non_reference(self._layers)
        self._nodes = {node.index: node for layer in self._layers for node in layer}
        sizes = self._head(0).of_slice().coarse
        devices = workers.devices
        self._encoders = [
            TextureEncoder(
                networks.of(self._nodes[number]),
                image,
                None,
                scaling=self.scaling,
                coarse=sizes,
                workers=Workers((devices[number % len(devices)],)),
            )
            for number, image in enumerate(np.moveaxis(values, axis, 0))
        ]
        self.finest = min(encoder.finest for encoder in self._encoders)

    @staticmethod
    def of(volume: Prepared, networks: SliceNetworks, axis: int, octaves: int) -> SlicedEncoder:
        """Make an encoder of the scan of a volume encoder, which must have no template."""
        return SlicedEncoder(
            networks,
            volume.values,
            axis,
            volume.coarse,
            octaves,
            scaling=volume.scaling,
            workers=volume.workers,
        )

    @property
    def divisible(self) -> SlicedEncoder:
        """The encoder: it counts coefficients and makes encoders of middle slices."""
        return self

    @property
    def priced(self) -> None:
        """No encoder: λ follows the references."""
        return None

    @property
    def recoder(self) -> SlicedEncoder:
        """The encoder: non-reference slices can be coded again."""
        return self

    def encode(self, step_code: int, rate_weight: float) -> EncodedSlices:
        """Encode all slices at a step code and a λ."""
        return self._coded(step_code, rate_weight, 0)

    def recode(self, encoded: EncodedSlices, weights: Mapping[int, float]) -> EncodedSlices:
        """Encode some non-reference slices again.

        Args:
            encoded: the latest encoding.
            weights: λ by position in ``encoded.free``.
        """
        slices = dict(enumerate(encoded.slices))
        by_slice = {encoded.free[n]: weight for n, weight in weights.items()}
        for group, found in self._mapped(
            lambda group: self._encode_group(group, encoded.head.step_code, by_slice, slices),
            [self._nodes[number] for number in by_slice],
        ):
            slices.update(zip((node.index for node in group), found, strict=True))
        return replace(encoded, slices=tuple(slices[n] for n in range(len(slices))))

    def refine(self, step_code: int, rate_weight: float, rounds: int) -> EncodedSlices:
        """Refine the quantisation targets of every slice, given its coded reference slices.

        Args:
            step_code: step of the quantiser.
            rate_weight: λ of the quantiser.
            rounds: number of corrections of each slice.

        Returns:
            The encoding with the refined targets.
        """
        return self._coded(step_code, rate_weight, rounds)

    def release(self) -> None:
        """Release nothing: no arrays are kept between encodings."""

    def significant(self, step_code: int) -> float:
        """Estimate the number of coefficients that are not quantised to zero."""
        return sum(encoder.significant(step_code) for encoder in self._encoders)

    def middle_slices(
        self, voxels: int, *, axis: int | None = None, fewest: int | None = None
    ) -> SlicedEncoder:
        """Make an encoder of the middle slices along an axis.

        Args:
            voxels: approximate number of voxels.
            axis: axis along which the scan is cut; None for that of the coded slices.
            fewest: smallest number of slices; None for as many as the key interval needs.
        """
        axis = self._axis if axis is None else axis
        fewest = fewest or max(_FEWEST_SLICES, 2**self._octaves + 1)
        return SlicedEncoder(
            self._networks,
            middle_slices(self.values, voxels, axis, fewest),
            self._axis,
            self.coarse,
            self._octaves,
            scaling=self.scaling,
            workers=self.workers,
        )

    def restored(self, encoded: EncodedSlices, step_code: int) -> np.ndarray:
        """Return the values after the post-filter in steps, (*shape) float32."""
        slices = dict(enumerate(encoded.slices))

        def work(_: Device, number: int) -> np.ndarray:
            hint = self._hint([self._nodes[number]], slices)
            return self._encoders[number].restored(slices[number].texture, step_code, hint)

        found = list(self.workers.map(work, range(len(self._encoders))))
        return np.stack(found, self._axis)

    def _head(self, step_code: int) -> TextureHeader:
        return TextureHeader(self.scaling, step_code, self.coarse, self._axis, self._octaves)

    def _weight(self, node: SliceNode, rate_weight: float) -> float:
        return rate_weight * (node.lambda_factor if self._octaves else 1.0)

    def _coded(self, step_code: int, rate_weight: float, rounds: int) -> EncodedSlices:
        """Encode all slices, each with refined targets where ``rounds`` is above 0."""
        coded: dict[int, EncodedSlice] = {}

        def work(group: list[SliceNode]) -> list[EncodedSlice]:
            weight = self._weight(group[0], rate_weight)
            if not rounds:
                weights = {node.index: weight for node in group}
                return self._encode_group(group, step_code, weights, coded)
            encoders, hint = [self._encoders[n.index] for n in group], self._hint(group, coded)
            textures = refine_together(encoders, step_code, weight, rounds, hint)
            return [EncodedSlice(texture, weight) for texture in textures]

        for layer in self._layers:
            # Slices of a layer do not depend on each other.
            for group, found in list(self._mapped(work, layer)):
                coded.update(zip((node.index for node in group), found, strict=True))
        slices = tuple(coded[number] for number in range(len(coded)))
        return EncodedSlices(self._head(step_code), slices, tuple(self._free))

    def _encode_group(
        self,
        group: list[SliceNode],
        step_code: int,
        weights: Mapping[int, float],
        coded: Mapping[int, EncodedSlice],
    ) -> list[EncodedSlice]:
        encoders = [self._encoders[node.index] for node in group]
        own = [weights[node.index] for node in group]
        textures = encode_together(encoders, step_code, own, self._hint(group, coded))
        return [EncodedSlice(t, weight) for t, weight in zip(textures, own, strict=True)]

    def _mapped(
        self, work: Callable[[list[SliceNode]], list[EncodedSlice]], nodes: Sequence[SliceNode]
    ) -> Iterator[tuple[list[SliceNode], list[EncodedSlice]]]:
        """Run ``work`` on batches of slices; each batch has one network on one device."""
        on_device: dict[Device, list[SliceNode]] = {}
        for node in nodes:
            on_device.setdefault(self._encoders[node.index].workers.first, []).append(node)
        image = math.prod(self._encoders[0].shape)
        groups = [g for some in on_device.values() for g in groups_of(some, image, self.workers)]
        results = self.workers.map(lambda _, group: work(group), groups)
        return zip(groups, results, strict=True)

    def _hint(self, group: list[SliceNode], coded: Mapping[int, EncodedSlice]) -> Hint | None:
        lows = {n: coded[n].texture.low for node in group for n in node.references}
        return hint_of_group(group, lows)
