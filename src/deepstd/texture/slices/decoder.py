"""Scans coded slice by slice, by networks for two axes: what decodes them.

    payload ─ head · (length · stream) of every slice ─▶ wave after wave of slices ─▶ scan

Where slices are several times as thick as their pixels, neighbouring ones have little in common,
and a network that has seen many images knows more of a slice than one for volumes does. Where
neighbours have more in common, two decoded slices tell a network what to expect half way between
them (`neighbours`).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from deepstd.coding.bytes import Cursor
from deepstd.devices import CPU, Workers
from deepstd.texture.header import TextureHead
from deepstd.texture.runtime import replicas
from deepstd.texture.slices.schedule import Turn, groups_of, hint_of_group, unneeded, waves
from deepstd.texture.wavelet.check import tile_count
from deepstd.texture.wavelet.decoder import (
    DecodedStream,
    DecodedTexture,
    decode_together,
    post_filtered,
)
from deepstd.texture.wavelet.lifting import decompose, split_plan
from deepstd.texture.wavelet.network import TextureNetwork
from deepstd.texture.wavelet.preview import preview_steps, subsampling


@dataclass(frozen=True)
class SliceNetworks:
    """What codes slices.

    Attributes:
        images: for those that are coded alone.
        between: for those that look at others, if there is one.
    """

    images: TextureNetwork
    between: TextureNetwork | None = None

    @property
    def alone(self) -> SliceNetworks:
        """Those for slices that are all coded alone."""
        return SliceNetworks(self.images)

    def of(self, turn: Turn) -> TextureNetwork:
        """The network for a slice."""
        if not turn.sides:
            return self.images
        if self.between is None:
            raise ValueError("there is no network for slices between others")
        return self.between


def can_be_sliced(shape: Sequence[int], coarse: Sequence[int], axis: int) -> bool:
    """Whether the slices along an axis are of a size that can be coded so."""
    sizes = [size for a, size in enumerate(coarse) if a != axis]
    image = _image_shape(tuple(shape), axis)
    return shape[axis] > 1 and not tile_count(split_plan(image, sizes), image)


def check_slices(
    networks: SliceNetworks, payload: bytes, shape: tuple[int, ...], level: int, name: str
) -> tuple[int, ...] | None:
    """Check a payload; None where it is not one of slices.

    Returns:
        Of every how many voxels along each axis a preview of this level has one.

    Raises:
        DamagedError: the bytes make no sense.
        InputError: there are not so many levels.
    """
    head, _ = _parts(networks, payload, shape, name)
    if head.sliced is None:
        return None
    image = _image_shape(shape, head.sliced)
    factors = list(subsampling(split_plan(image, head.of_slice().coarse), level, 2))
    factors.insert(head.sliced, 1)
    return tuple(factors)


def decode_slices(
    networks: SliceNetworks,
    payload: bytes,
    shape: tuple[int, ...],
    *,
    name: str,
    workers: Workers = CPU,
    level: int = 0,
) -> DecodedTexture:
    """Decode a payload of slices; arguments as for `decoder.decode_texture`."""
    head, streams = _parts(networks, payload, shape, name)
    if head.sliced is None:
        raise ValueError("not a payload of slices")
    image, own = _image_shape(shape, head.sliced), head.of_slice()
    plan = split_plan(image, own.coarse)
    factors = subsampling(plan, level, 2)
    # What others look at is decoded whole, even for a preview.
    short = level if not head.octaves else 0
    turns = waves(shape[head.sliced], head.octaves)
    free = set(unneeded(turns))
    used = {networks.of(turn) for wave in turns for turn in wave}
    copies = {network: replicas(network, workers) for network in used}
    lows: dict[int, torch.Tensor] = {}
    latents: dict[int, bytes] = {}
    steps: dict[int, np.ndarray] = {}

    def work(device: torch.device, group: list[Turn]) -> list[tuple[np.ndarray, DecodedStream]]:
        network, only = copies[networks.of(group[0])][device], Workers((device,))
        hint = hint_of_group(group, lows, device)
        own_streams = [streams[turn.index] for turn in group]
        coded = decode_together(network, own, own_streams, image, hint, device=device, level=short)
        found = []
        for number, one in enumerate(coded):
            if level:
                low = one.low if short else decompose(one.low, plan[:level])[0][-1]
                found.append((preview_steps(low, factors), one))
            else:
                part = None if hint is None else hint.row(number)
                found.append((post_filtered(network, own, one.low, part, only), one))
        return found

    for wave in turns:
        groups = groups_of(wave, math.prod(image), workers)
        for group, results in zip(groups, workers.map(work, groups), strict=True):
            for turn, (part, coded) in zip(group, results, strict=True):
                steps[turn.index], latents[turn.index] = part, coded.latents
                if turn.index not in free:
                    lows[turn.index] = coded.low
    numbers = range(len(streams))
    return DecodedTexture(
        np.stack([steps[n] for n in numbers], head.sliced),
        head.scaling.step(head.step_code),
        head.scaling.offset,
        hashlib.sha256(b"".join(latents[n] for n in numbers)).digest(),
    )


def _parts(
    networks: SliceNetworks, payload: bytes, shape: tuple[int, ...], name: str
) -> tuple[TextureHead, list[bytes]]:
    """Head, and the streams of the slices where it says that there are any."""
    cursor = Cursor(payload, name, "texture")
    head = TextureHead.read(cursor, len(shape))
    if head.sliced is None:
        return head, []
    if head.octaves and networks.between is None:
        raise cursor.error("slices between each other, which its bundle has no network for")
    if not can_be_sliced(shape, head.coarse, head.sliced):
        image = _image_shape(shape, head.sliced)
        raise cursor.error(f"slices of {math.prod(image)} pixels cannot be coded so")
    streams = [cursor.take(cursor.varint(cursor.remaining)) for _ in range(shape[head.sliced])]
    cursor.finish()
    return head, streams


def _image_shape(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return tuple(n for a, n in enumerate(shape) if a != axis)
