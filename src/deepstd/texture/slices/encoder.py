"""Scans coded slice by slice, by networks for two axes: what encodes them.

    scan ─ slices along an axis ─ some alone, some between others ─▶ streams, one after the other

Devices share the slices of a wave, and those that no other one looks at can be coded again to meet
a size.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from deepstd.coding.bytes import encode_varint
from deepstd.devices import CPU, Workers
from deepstd.texture.conditioning import Hint
from deepstd.texture.header import TextureHead
from deepstd.texture.runtime import replicas
from deepstd.texture.scaling import Scaling
from deepstd.texture.slices.decoder import SliceNetworks
from deepstd.texture.slices.schedule import Turn, groups_of, hint_of_group, unneeded, waves
from deepstd.texture.wavelet.bitstream import EncodedTexture
from deepstd.texture.wavelet.encoder import (
    TextureEncoder,
    encode_together,
    middle_slices,
    refine_together,
)

_FEWEST_SLICES = 4


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
        slices: in the order of their numbers.
        free: numbers of those that no other one looks at.
    """

    head: TextureHead
    slices: tuple[EncodedSlice, ...]
    free: tuple[int, ...]

    @property
    def coded(self) -> tuple[EncodedSlice, ...]:
        """Those that can be coded again alone."""
        return tuple(self.slices[number] for number in self.free)

    @cached_property
    def payload(self) -> bytes:
        """Head, then length and stream of every slice."""
        return self.head.pack() + b"".join(map(_framed, self.slices))

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
        return hashlib.sha256(b"".join(s.texture.latents for s in self.slices)).digest()


def _framed(coded: EncodedSlice) -> bytes:
    return encode_varint(len(coded.stream)) + coded.stream


class SlicedEncoder:
    """Encodes a scan slice by slice, with the interface of `encoder.TextureEncoder`.

    Args:
        networks: for the slices.
        values: finite grey values, (I, J, K).
        axis: that the slices follow each other along.
        coarse: relative voxel sizes of the three axes.
        octaves: every ``2**octaves``-th slice is coded alone, 0 for all of them.
        scaling: of the whole scan; fitted if None.
        workers: share the slices; the networks are on the first of them.

    Attributes:
        values: as given.
        finest: largest step code at which all coefficients can be coded.

    Raises:
        InputError: the values span more than can be coded.
    """

    conditioned = False
    divided = True

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
        self._workers, self._octaves = workers, octaves
        self.shape, self.coarse = tuple(values.shape), coarse
        self.scaling = scaling or Scaling.fit(values)
        self._waves = waves(values.shape[axis], octaves)
        self._free = unneeded(self._waves)
        self._turns = {turn.index: turn for wave in self._waves for turn in wave}
        sizes = self._head(0).of_slice().coarse
        copies = {
            network: list(replicas(network, workers).items())
            for network in set(map(networks.of, self._turns.values()))
        }
        self._encoders = []
        for number, image in enumerate(np.moveaxis(values, axis, 0)):
            every = copies[networks.of(self._turns[number])]
            device, copy = every[number % len(every)]
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
    def of(
        volume: TextureEncoder, networks: SliceNetworks, axis: int, octaves: int
    ) -> SlicedEncoder:
        """An encoder of what another one encodes as a volume; not with a template."""
        return SlicedEncoder(
            networks,
            volume.values,
            axis,
            volume.coarse,
            octaves,
            scaling=volume.scaling,
            workers=volume.workers,
        )

    def encode(self, step_code: int, rate_weight: float) -> EncodedSlices:
        """Code at one step."""
        coded = self._coded(step_code, rate_weight, 0)
        slices = tuple(coded[number] for number in range(len(coded)))
        return EncodedSlices(self._head(step_code), slices, tuple(self._free))

    def recode(self, encoded: EncodedSlices, weights: Mapping[int, float]) -> EncodedSlices:
        """An encoding with some of its free slices coded again with other weights of the rate."""
        slices = dict(enumerate(encoded.slices))
        by_slice = {encoded.free[n]: weight for n, weight in weights.items()}
        for group, found in self._mapped(
            lambda group: self._encode_group(group, encoded.head.step_code, by_slice, slices),
            [self._turns[number] for number in by_slice],
        ):
            slices.update(zip((turn.index for turn in group), found, strict=True))
        return replace(encoded, slices=tuple(slices[n] for n in range(len(slices))))

    def refine(self, step_code: int, rate_weight: float, rounds: int) -> None:
        """`TextureEncoder.refine` of every slice, given its neighbours as they are then coded."""
        self._coded(step_code, rate_weight, rounds)

    def settle(self) -> None:
        """Nothing is kept between encodings."""

    def significant(self, step_code: int) -> float:
        """About how many coefficients are not quantised to zero."""
        return sum(encoder.significant(step_code) for encoder in self._encoders)

    def middle_slices(self, voxels: int) -> SlicedEncoder:
        """An encoder of about so many voxels of the middle slices."""
        fewest = 2**self._octaves + 1
        return SlicedEncoder(
            self._networks,
            middle_slices(self.values, voxels, self._axis, max(_FEWEST_SLICES, fewest)),
            self._axis,
            self.coarse,
            self._octaves,
            scaling=self.scaling,
            workers=self._workers,
        )

    def restored(self, encoded: EncodedSlices, step_code: int) -> np.ndarray:
        """Values in steps after the post-filter, (*shape) float32."""
        slices = dict(enumerate(encoded.slices))

        def work(_: torch.device, number: int) -> np.ndarray:
            hint = self._hint([self._turns[number]], slices)
            return self._encoders[number].restored(slices[number].texture, step_code, hint)

        found = list(self._workers.map(work, range(len(self._encoders))))
        return np.stack(found, self._axis)

    def _head(self, step_code: int) -> TextureHead:
        return TextureHead(self.scaling, step_code, self.coarse, self._axis, self._octaves)

    def _weight(self, turn: Turn, rate_weight: float) -> float:
        return rate_weight * (turn.price if self._octaves else 1.0)

    def _coded(self, step_code: int, rate_weight: float, rounds: int) -> dict[int, EncodedSlice]:
        """All slices, refined first where there are rounds."""
        coded: dict[int, EncodedSlice] = {}

        def work(group: list[Turn]) -> list[EncodedSlice]:
            weight = self._weight(group[0], rate_weight)
            if rounds:
                encoders = [self._encoders[turn.index] for turn in group]
                refine_together(encoders, step_code, weight, rounds, self._hint(group, coded))
            weights = {turn.index: weight for turn in group}
            return self._encode_group(group, step_code, weights, coded)

        for wave in self._waves:
            # Slices of a wave do not look at each other.
            for group, found in list(self._mapped(work, wave)):
                coded.update(zip((turn.index for turn in group), found, strict=True))
        return coded

    def _encode_group(
        self,
        group: list[Turn],
        step_code: int,
        weights: Mapping[int, float],
        coded: Mapping[int, EncodedSlice],
    ) -> list[EncodedSlice]:
        encoders = [self._encoders[turn.index] for turn in group]
        own = [weights[turn.index] for turn in group]
        textures = encode_together(encoders, step_code, own, self._hint(group, coded))
        return [EncodedSlice(t, weight) for t, weight in zip(textures, own, strict=True)]

    def _mapped(
        self, work: Callable[[list[Turn]], list[EncodedSlice]], turns: Sequence[Turn]
    ) -> Iterator[tuple[list[Turn], list[EncodedSlice]]]:
        """Work on turns in groups that one network on one device may code at once."""
        on_device: dict[torch.device, list[Turn]] = {}
        for turn in turns:
            on_device.setdefault(self._encoders[turn.index].workers.first, []).append(turn)
        image = math.prod(self._encoders[0].shape)
        groups = [g for some in on_device.values() for g in groups_of(some, image, self._workers)]
        results = self._workers.map(lambda _, group: work(group), groups)
        return zip(groups, results, strict=True)

    def _hint(self, group: list[Turn], coded: Mapping[int, EncodedSlice]) -> Hint | None:
        device = self._encoders[group[0].index].workers.first
        lows = {side: coded[side].texture.low for turn in group for side in turn.sides}
        return hint_of_group(group, lows, device)
