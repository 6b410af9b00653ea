"""Coding order of slices and their prediction from reference slices.

    key slices (interval 2, 4 or 8): intra or forward ─▶ slices half way between ─▶ … ─▶ the rest
    reference slices ─ motion ─▶ Hint: prediction and its confidence

The order is the hierarchy of bidirectional frames (B-frame pyramid) of video codecs. Slice count
and key interval decide it; `codec.slice_decision` chooses the interval. Slices of one layer depend
on earlier layers alone, so devices share them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from deepstd.devices import Workers
from deepstd.texture.conditioning import Hint
from deepstd.texture.entropy.features import signed_log
from deepstd.texture.slices.motion import halfway

TOGETHER = 1 << 17
"""Most pixels of a batch of slices."""
# Codes of the distance to the reference slices in the first coordinate, which is within ±64.
_OCTAVE = 32
_NEAREST_BETWEEN, _NEAREST_AFTER = -32, -16
_UNKNOWN, _LARGEST_PLACE = -64, 64
# Key slices are predicted forward from this log2 key interval on, which only thin slices have.
# Key slices of thicker slices predict each other poorly.
_CHAINED_OCTAVES = 3
# Factors on λ: of key slices, and of bidirectional slices by their distance in slices. Slices that
# others are predicted from get more bits.
_KEY_FACTOR = 0.6
_LAMBDA_FACTORS = {4: 0.75, 2: 1.0, 1: 1.4}


@dataclass(frozen=True)
class SliceNode:
    """A slice and its prediction mode.

    Attributes:
        index: number of the slice along the coding axis.
        distance: slices between it and its references, a power of two; 0 for intra slices.
        bidirectional: whether it has a reference slice on each side; otherwise its only reference
            is the slice ``distance`` before it.
    """

    index: int
    distance: int = 0
    bidirectional: bool = False

    @property
    def lambda_factor(self) -> float:
        """Factor on λ in a scan with predicted slices: less where later slices inherit quality."""
        return _LAMBDA_FACTORS[self.distance] if self.bidirectional else _KEY_FACTOR

    @property
    def references(self) -> tuple[int, ...]:
        """Numbers of the reference slices: none, one or two."""
        if not self.distance:
            return ()
        both = (self.index - self.distance, self.index + self.distance)
        return both if self.bidirectional else both[:1]


def coding_order(count: int, octaves: int) -> list[list[SliceNode]]:
    """Return the layers of slices in coding order.

    Layer n holds the slices whose longest chain of references has n links. With 17 slices and an
    interval of 8 the layers are 0 · 8 · 4, 16 · 2, 6, 12 and so on: a layer mixes key slices and
    bidirectional slices. The last key intervals shrink to powers of two, so that every other slice
    lies half way between two references. From an interval of 8 on, each key slice is predicted
    from the key slice before it; below, key slices are intra.

    Args:
        count: number of slices.
        octaves: log2 of the key interval (GOP size); 0 makes every slice intra.
    """
    if not octaves:
        return [[SliceNode(index) for index in range(count)]]
    keys = [0]
    while keys[-1] < count - 1:
        left = count - 1 - keys[-1]
        keys.append(keys[-1] + 2 ** min(octaves, left.bit_length() - 1))
    nodes = [SliceNode(0), *(_key(before, after, octaves) for before, after in pairwise(keys))]
    for octave in reversed(range(octaves)):
        distance = 2**octave
        nodes += [
            SliceNode(index, distance, bidirectional=True)
            for before, after in pairwise(keys)
            for index in range(before + distance, after, 2 * distance)
        ]
    layer_of: dict[int, int] = {}
    found: list[list[SliceNode]] = []
    for node in nodes:
        layer = max((layer_of[reference] + 1 for reference in node.references), default=0)
        layer_of[node.index] = layer
        found += [[]] if layer == len(found) else []
        found[layer].append(node)
    return found


def _key(before: int, index: int, octaves: int) -> SliceNode:
    return SliceNode(index, index - before) if octaves >= _CHAINED_OCTAVES else SliceNode(index)


def non_reference(layers: Sequence[Sequence[SliceNode]]) -> list[int]:
    """Return the numbers of the non-reference slices, ascending."""
    nodes = [node for layer in layers for node in layer]
    needed = {reference for node in nodes for reference in node.references}
    return sorted(node.index for node in nodes if node.index not in needed)


def hint_between(before: np.ndarray, after: np.ndarray, distance: int) -> Hint:
    """Predict slices half way between two reference slices.

    Args:
        before, after: reference slices, (B, 1, h, w) whole numbers in 1/64 step.
        distance: slices between each reference and the predicted slice, a power of two.

    Returns:
        The motion-compensated mean and two coordinates: distance and difference of the references.
    """
    expected, difference = halfway(before, after)
    places = np.empty((len(expected), 2, *expected.shape[2:]))
    places[:, 0] = _NEAREST_BETWEEN + _OCTAVE * (distance.bit_length() - 1)
    # From −64 to 63, the range of template coordinates.
    places[:, 1:] = np.floor(signed_log(difference) * 0.5)
    return Hint(expected, places)


def hint_after(before: np.ndarray, distance: int) -> Hint:
    """Predict slices from the reference slice before them.

    Args:
        before: reference slices, (B, 1, h, w) whole numbers in 1/64 step.
        distance: slices between the reference and the predicted slice, a power of two.

    Returns:
        The reference slice itself and two coordinates: distance and an unknown difference.
    """
    places = np.full((len(before), 2, *before.shape[2:]), float(_UNKNOWN))
    place = _NEAREST_AFTER + _OCTAVE * (distance.bit_length() - 1)
    places[:, 0] = min(place, _LARGEST_PLACE)
    return Hint(before, places)


def groups_of(nodes: Sequence[SliceNode], image: int, workers: Workers) -> list[list[SliceNode]]:
    """Batch slices of one layer that share prediction mode and reference distance.

    Small images are faster in batches.

    Args:
        nodes: slices of one layer.
        image: pixels of a slice.
        workers: devices that share the batches; each gets at least one where there are enough
            slices.
    """
    alike: dict[tuple[int, bool], list[SliceNode]] = {}
    for node in nodes:
        alike.setdefault((node.distance, node.bidirectional), []).append(node)
    groups = []
    for some in alike.values():
        share = -(-len(some) // len(workers.devices))
        size = max(1, min(TOGETHER // max(image, 1), share))
        groups += [some[start : start + size] for start in range(0, len(some), size)]
    return groups


def hint_of_group(group: Sequence[SliceNode], lows: Mapping[int, np.ndarray]) -> Hint | None:
    """Return the predictions of a batch from `groups_of`; None for intra slices.

    Args:
        group: B slices of one prediction mode and reference distance.
        lows: reconstructions by slice number, (1, 1, h, w) whole numbers in 1/64 step.
    """
    first = group[0]
    known = [
        np.concatenate([lows[node.references[number]] for node in group])
        for number in range(len(first.references))
    ]
    if not known:
        return None
    if first.bidirectional:
        return hint_between(known[0], known[1], first.distance)
    return hint_after(known[0], first.distance)
