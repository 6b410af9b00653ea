"""Decoder of scans that are coded slice by slice with networks of two axes.

    payload ─ header · (length · stream) of every slice ─▶ layer after layer of slices ─▶ scan

Slices several times as thick as their pixels have little in common with their neighbours. A network
trained on many images then predicts a slice better than a network for volumes. Where neighbours
have more in common, two reference slices predict the slice half way between them (`schedule`).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

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
    head, streams = _parts(networks, coded)
    if head.sliced is None:
        raise ValueError("not a payload of slices")
    image, own = _image_shape(coded.shape, head.sliced), head.of_slice()
    plan = split_plan(image, own.coarse)
    factors = subsampling(plan, level, 2)
    # Reference slices are decoded at full resolution, even for a preview.
    short = level if not head.octaves else 0
    layers = coding_order(coded.shape[head.sliced], head.octaves)
    free = set(non_reference(layers))
    lows: dict[int, np.ndarray] = {}
    latents: dict[int, bytes] = {}
    steps: dict[int, np.ndarray] = {}

    def work(device: Device, group: list[SliceNode]) -> list[tuple[np.ndarray, DecodedStream]]:
        network, only = networks.of(group[0]), Workers((device,))
        hint = hint_of_group(group, lows)
        own_streams = [streams[node.index] for node in group]
        batch = ScanBatch(image, plan, [log_rate(own.step_code)] * len(group), hint)
        every = decode_together(network, batch, own_streams, device, level=short)
        found = []
        for number, one in enumerate(every):
            if level:
                low = one.low if short else decompose(one.low, plan[:level])[0][-1]
                found.append((preview_steps(low, factors), one))
            else:
                part = None if hint is None else hint.row(number)
                found.append((post_filtered(network, own, one.low, part, only), one))
        return found

    for layer in layers:
        groups = groups_of(layer, math.prod(image), workers)
        for group, results in zip(groups, workers.map(work, groups), strict=True):
            for node, (part, one) in zip(group, results, strict=True):
                steps[node.index], latents[node.index] = part, one.latents
                if node.index not in free:
                    lows[node.index] = one.low
    numbers = range(len(streams))
    return DecodedTexture(
        np.stack([steps[n] for n in numbers], head.sliced),
        head.scaling.step(head.step_code),
        head.scaling.offset,
        hashlib.sha256(b"".join(latents[n] for n in numbers)).digest(),
    )


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
