"""In which order slices are coded between each other, and what their neighbours tell of them.

    every 8th slice ─▶ those half way ─▶ those half way between all of them ─▶ the rest
    decoded slices on both sides ─ motion ─▶ Hint: what to expect, and how sure it is

This is the hierarchy of bidirectional frames of video codecs. The slices of one wave depend on
earlier waves alone, so devices share them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch

from deepstd.devices import Workers
from deepstd.texture.features import signed_log
from deepstd.texture.inputs import Hint
from deepstd.texture.motion import halfway

# Pixels of slices that are coded at once.
TOGETHER = 1 << 17
_OCTAVE = 32
_NEAREST = -32
# By distance, 0 being that of slices coded alone.
_PRICES = {0: 0.6, 4: 0.75, 2: 1.0, 1: 1.4}


@dataclass(frozen=True)
class Turn:
    """One slice.

    Attributes:
        index: its number.
        distance: to the slices on both sides that are known by then; 0 where it is coded alone.
    """

    index: int
    distance: int

    @property
    def price(self) -> float:
        """By how much a bit is dearer than elsewhere: what others rely on is coded better."""
        return _PRICES[self.distance]

    @property
    def sides(self) -> tuple[int, int]:
        """The slices on both sides."""
        return self.index - self.distance, self.index + self.distance


def waves(count: int, octaves: int) -> list[list[Turn]]:
    """Slices in coding order, those of one wave together.

    Args:
        count: how many there are.
        octaves: every ``2**octaves``-th is coded alone, and as many of the last as it takes for
            every other one to lie half way between two others; 0 for all of them.
    """
    alone = [0]
    while alone[-1] < count - 1:
        left = count - 1 - alone[-1]
        alone.append(alone[-1] + 2 ** min(octaves, left.bit_length() - 1))
    found = [[Turn(index, 0) for index in alone]]
    for octave in reversed(range(octaves)):
        distance = 2**octave
        gaps = [(a, b) for a, b in pairwise(alone) if b - a > distance]
        wave = [
            Turn(index, distance) for a, b in gaps for index in range(a + distance, b, 2 * distance)
        ]
        found += [wave] if wave else []
    return found


def unneeded(turns: Sequence[Sequence[Turn]]) -> list[int]:
    """Slices that no other one looks at."""
    all_turns = [turn for wave in turns for turn in wave]
    needed = {side for turn in all_turns if turn.distance for side in turn.sides}
    return sorted(turn.index for turn in all_turns if turn.index not in needed)


def hint_between(before: torch.Tensor, after: torch.Tensor, distance: int) -> Hint:
    """What two decoded slices tell of the one half way between them.

    Args:
        before, after: (B, 1, h, w) whole numbers in units.
        distance: of each from the slice in question, a power of two.
    """
    expected, difference = halfway(before, after)
    places = expected.new_empty((len(expected), 2, *expected.shape[2:]))
    places[:, 0] = _NEAREST + _OCTAVE * (distance.bit_length() - 1)
    # Between −64 and 63, as are the places of a template.
    places[:, 1:] = torch.floor(signed_log(difference) * 0.5)
    return Hint(expected, places)


def groups_of(turns: Sequence[Turn], image: int, workers: Workers) -> list[list[Turn]]:
    """Turns at one distance, in groups to code at once: small images are faster together.

    Args:
        turns: of one wave.
        image: pixels of a slice.
        workers: each of which shall have work.
    """
    share = -(-len(turns) // len(workers.devices))
    size = max(1, min(TOGETHER // max(image, 1), share))
    return [list(turns[start : start + size]) for start in range(0, len(turns), size)]


def hint_of_group(
    group: Sequence[Turn], lows: Mapping[int, torch.Tensor], device: torch.device
) -> Hint | None:
    """The hint of slices at one distance, (B, …); None for those coded alone.

    Args:
        group: the slices.
        lows: what is decoded, by number, (1, 1, h, w) in units.
        device: where to compute.
    """
    distance = group[0].distance
    if not distance:
        return None
    before, after = (
        torch.cat([lows[turn.sides[side]].to(device) for turn in group]) for side in (0, 1)
    )
    return hint_between(before, after, distance)
