"""Decoder of scans that are coded slice by slice with networks of two axes.

    payload ─ header · (length · stream) of every slice ─▶ layer after layer of slices ─▶ scan

Slices several times as thick as their pixels have little in common with their neighbours. A network
trained on many images then predicts a slice better than a network for volumes. Where neighbours
have more in common, two reference slices predict the slice half way between them (`schedule`).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from deepstd.devices import CPU, Device, Workers
from deepstd.texture.coded import CodedTexture, DecodedTexture
from deepstd.texture.header import TextureHeader
from deepstd.texture.scaling import log_rate
from deepstd.texture.slices.schedule import (
    SliceNode,
    coding_order,
    groups_of,
    hint_of_group,
    non_reference,
)
from deepstd.texture.wavelet.check import tile_count
from deepstd.texture.wavelet.decoder import (
    DecodedStream,
    decode_together,
    post_filtered,
)
from deepstd.texture.wavelet.levels import ScanBatch
from deepstd.texture.wavelet.lifting import decompose, split_plan
from deepstd.texture.wavelet.network import WaveletNetwork
from deepstd.texture.wavelet.preview import preview_steps, subsampling


@dataclass(frozen=True)
class SliceNetworks:
    """Networks that code slices.

    Attributes:
        images: network of intra slices.
        predicted: network of slices with references, or None.
    """

    images: WaveletNetwork
    predicted: WaveletNetwork | None = None

    @property
    def alone(self) -> SliceNetworks:
        """The networks of a scan whose slices are all intra."""
        return SliceNetworks(self.images)

    def of(self, node: SliceNode) -> WaveletNetwork:
        """Return the network of a slice."""
        if not node.references:
            return self.images
        if self.predicted is None:
            raise ValueError("there is no network for predicted slices")
        return self.predicted


def can_be_sliced(shape: Sequence[int], coarse: Sequence[int], axis: int) -> bool:
    """Return whether a scan has several slices along an axis, each small enough to be untiled.

    Args:
        shape: voxels along each axis.
        coarse: relative voxel sizes in half octaves.
        axis: axis along which the slices follow each other.
    """
    sizes = [size for a, size in enumerate(coarse) if a != axis]
    image = _image_shape(tuple(shape), axis)
    return shape[axis] > 1 and not tile_count(split_plan(image, sizes), image)


def check_slices(
    networks: SliceNetworks, coded: CodedTexture, level: int = 0
) -> tuple[int, ...] | None:
    """Check the payload of a scan before memory is taken.

    Args:
        networks: networks for slices.
        coded: payload of slices or of a volume; tiles are not looked at.
        level: number of finest levels that a preview leaves out.

    Returns:
        Subsampling factor of the preview along each axis; None where the payload has no slices.

    Raises:
        DamagedError: the bytes make no sense.
        InputError: the slices have fewer levels than ``level``.
    """
    head, _ = _parts(networks, coded)
    if head.sliced is None:
        return None
    image = _image_shape(coded.shape, head.sliced)
    factors = list(subsampling(split_plan(image, head.of_slice().coarse), level, 2))
    factors.insert(head.sliced, 1)
    return tuple(factors)


def decode_slices(
    networks: SliceNetworks,
    coded: CodedTexture,
    *,
    workers: Workers = CPU,
    level: int = 0,
) -> DecodedTexture:
    """Decode a payload of slices.

    Args:
        networks: networks for slices.
        coded: payload of slices.
        workers: devices that share the slices of a layer.
        level: number of finest levels that a preview leaves out; 0 for the whole scan.

    Raises:
        DamagedError: the bytes make no sense.
    """
    slices = Slices(networks, coded, workers, level)
    lows: dict[int, np.ndarray] = {}
    latents: dict[int, bytes] = {}
    steps: dict[int, np.ndarray] = {}
    every = range(slices.count)
    for number, part, one in slices.decode(every, set(every), lows):
        steps[number], latents[number] = part, one.latents
    return DecodedTexture(
        np.stack([steps[n] for n in every], slices.axis),
        *slices.scale,
        hashlib.sha256(b"".join(latents[n] for n in every)).digest(),
    )


class Slices:
    """Streams of all slices of a scan, from which any are decoded with those they depend on.

    Args:
        networks: networks for slices.
        coded: payload of slices.
        workers: devices that share the slices of a layer.
        level: number of finest levels that a preview leaves out; 0 for the whole scan.

    Attributes:
        axis: axis along which the slices follow each other.
        count: number of slices.

    Raises:
        DamagedError: the bytes make no sense.
    """

    def __init__(
        self, networks: SliceNetworks, coded: CodedTexture, workers: Workers, level: int = 0
    ) -> None:
        head, self._streams = _parts(networks, coded)
        if head.sliced is None:
            raise ValueError("not a payload of slices")
        self.axis, self.count = head.sliced, len(self._streams)
        self._networks, self._workers, self._level = networks, workers, level
        self._image, self._head = _image_shape(coded.shape, head.sliced), head.of_slice()
        self._plan = split_plan(self._image, self._head.coarse)
        # Reference slices are decoded at full resolution, even for a preview.
        self._short = level if not head.octaves else 0
        self._layers = coding_order(self.count, head.octaves)
        self._nodes = {node.index: node for layer in self._layers for node in layer}
        self._free = set(non_reference(self._layers))

    @property
    def scale(self) -> tuple[float, float]:
        """Quantisation step in grey values, and grey value of 0 steps."""
        return self._head.scaling.step(self._head.step_code), self._head.scaling.offset

    def needed(self, wanted: Iterable[int], known: Container[int]) -> set[int]:
        """Return the slices to decode: those wanted, and references that are not known."""
        found, left = set(wanted), list(wanted)
        while left:
            for reference in self._nodes[left.pop()].references:
                if reference not in known and reference not in found:
                    found.add(reference)
                    left.append(reference)
        return found

    def decode(
        self, wanted: Collection[int], numbers: Container[int], lows: dict[int, np.ndarray]
    ) -> Iterator[tuple[int, np.ndarray, DecodedStream]]:
        """Yield number, restored values in steps and stream of the wanted slices.

        Args:
            wanted: numbers of the wanted slices.
            numbers: numbers of the slices to decode (`needed`), the wanted ones included.
            lows: reconstructions of reference slices by number, (1, 1, h, w) whole numbers in 1/64
                step; those that are decoded are added.
        """

        def work(device: Device, group: list[SliceNode]) -> list[tuple[Any, DecodedStream]]:
            return self._decode_group(group, lows, wanted, device)

        for layer in self._layers:
            nodes = [node for node in layer if node.index in numbers]
            groups = groups_of(nodes, math.prod(self._image), self._workers)
            for group, results in zip(groups, self._workers.map(work, groups), strict=True):
                for node, (part, one) in zip(group, results, strict=True):
                    if node.index not in self._free:
                        lows[node.index] = one.low
                    if part is not None:
                        yield node.index, part, one

    def _decode_group(
        self,
        group: list[SliceNode],
        lows: dict[int, np.ndarray],
        wanted: Collection[int],
        device: Device,
    ) -> list[tuple[np.ndarray | None, DecodedStream]]:
        """Decode a batch of slices; restored values of those that are not wanted are None."""
        network, only = self._networks.of(group[0]), Workers((device,))
        hint = hint_of_group(group, lows)
        rates = [log_rate(self._head.step_code)] * len(group)
        batch = ScanBatch(self._image, self._plan, rates, hint)
        streams = [self._streams[node.index] for node in group]
        every = decode_together(network, batch, streams, device, level=self._short)
        found: list[tuple[np.ndarray | None, DecodedStream]] = []
        for number, (node, one) in enumerate(zip(group, every, strict=True)):
            if node.index not in wanted:
                found.append((None, one))
            elif self._level:
                level, short = self._level, self._short
                low = one.low if short else decompose(one.low, self._plan[:level])[0][-1]
                found.append((preview_steps(low, subsampling(self._plan, level, 2)), one))
            else:
                part = None if hint is None else hint.row(number)
                found.append((post_filtered(network, self._head, one.low, part, only), one))
        return found


def _parts(networks: SliceNetworks, coded: CodedTexture) -> tuple[TextureHeader, list[bytes]]:
    """Return the header and the stream of every slice; no streams where the scan has no slices."""
    head, cursor = coded.read_header()
    shape = coded.shape
    if head.sliced is None:
        return head, []
    if head.octaves and networks.predicted is None:
        raise cursor.error("predicted slices, which its bundle has no network for")
    if not can_be_sliced(shape, head.coarse, head.sliced):
        image = _image_shape(shape, head.sliced)
        raise cursor.error(f"slices of {math.prod(image)} pixels cannot be coded so")
    streams = [cursor.take(cursor.varint(cursor.remaining)) for _ in range(shape[head.sliced])]
    cursor.finish()
    return head, streams


def _image_shape(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return tuple(n for a, n in enumerate(shape) if a != axis)
