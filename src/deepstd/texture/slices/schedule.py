"""In which order slices are coded between each other, and what their neighbours tell of them.

    key slices, every 2nd, 4th or 8th: alone, or after the one before ─▶ those half way ─▶ the rest
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
from deepstd.texture.conditioning import Hint
from deepstd.texture.entropy.features import signed_log
from deepstd.texture.slices.motion import halfway

# Pixels of slices that are coded at once.
TOGETHER = 1 << 17
_OCTAVE = 32
_NEAREST_BETWEEN, _NEAREST_AFTER = -32, -16
_UNKNOWN, _LARGEST_PLACE = -64, 64
# So many octaves are for thin slices only, and key slices of thick ones tell little of each other.
_CHAINED_OCTAVES = 3
# Of key slices, and of others by their distance.
_KEY_PRICE = 0.6
_PRICES = {4: 0.75, 2: 1.0, 1: 1.4}


@dataclass(frozen=True)
class Turn:
    """One slice.

    Attributes:
        index: its number.
        distance: to the slices it looks at, a power of two; 0 where it is coded alone.
        between: whether those are two, one on each side, and not only the one before.
    """

    index: int
    distance: int = 0
    between: bool = False

    @property
    def price(self) -> float:
        """By how much a bit is dearer than elsewhere: what others rely on is coded better."""
        return _PRICES[self.distance] if self.between else _KEY_PRICE

    @property
    def sides(self) -> tuple[int, ...]:
        """The slices it looks at."""
        if not self.distance:
            return ()
        sides = (self.index - self.distance, self.index + self.distance)
        return sides if self.between else sides[:1]


def waves(count: int, octaves: int) -> list[list[Turn]]:
    """Slices in coding order, those of one wave together: all that look at earlier waves alone.

    Args:
        count: how many there are.
        octaves: every ``2**octaves``-th is a key slice, and as many of the last as it takes for
            every other one to lie half way between two others; 0 for all of them, coded alone.
            Key slices look at the one before from 3 octaves on; below, they are coded alone.
    """
    if not octaves:
        return [[Turn(index) for index in range(count)]]
    keys = [0]
    while keys[-1] < count - 1:
        left = count - 1 - keys[-1]
        keys.append(keys[-1] + 2 ** min(octaves, left.bit_length() - 1))
    turns = [Turn(0), *(_key(before, after, octaves) for before, after in pairwise(keys))]
    for octave in reversed(range(octaves)):
        distance = 2**octave
        turns += [
            Turn(index, distance, between=True)
            for before, after in pairwise(keys)
            for index in range(before + distance, after, 2 * distance)
        ]
    wave_of: dict[int, int] = {}
    found: list[list[Turn]] = []
    for turn in turns:
        wave = max((wave_of[side] + 1 for side in turn.sides), default=0)
        wave_of[turn.index] = wave
        found += [[]] if wave == len(found) else []
        found[wave].append(turn)
    return found


def _key(before: int, index: int, octaves: int) -> Turn:
    return Turn(index, index - before) if octaves >= _CHAINED_OCTAVES else Turn(index)


def unneeded(turns: Sequence[Sequence[Turn]]) -> list[int]:
    """Slices that no other one looks at."""
    all_turns = [turn for wave in turns for turn in wave]
    needed = {side for turn in all_turns for side in turn.sides}
    return sorted(turn.index for turn in all_turns if turn.index not in needed)


def hint_between(before: torch.Tensor, after: torch.Tensor, distance: int) -> Hint:
    """What two decoded slices tell of the one half way between them.

    Args:
        before, after: (B, 1, h, w) whole numbers in units.
        distance: of each from the slice in question, a power of two.
    """
    expected, difference = halfway(before, after)
    places = expected.new_empty((len(expected), 2, *expected.shape[2:]))
    places[:, 0] = _NEAREST_BETWEEN + _OCTAVE * (distance.bit_length() - 1)
    # Between −64 and 63, as are the places of a template.
    places[:, 1:] = torch.floor(signed_log(difference) * 0.5)
    return Hint(expected, places)


def hint_after(before: torch.Tensor, distance: int) -> Hint:
    """What one decoded slice tells of one that follows, as `hint_between` of two."""
    places = before.new_full((len(before), 2, *before.shape[2:]), _UNKNOWN)
    place = _NEAREST_AFTER + _OCTAVE * (distance.bit_length() - 1)
    places[:, 0] = min(place, _LARGEST_PLACE)
    return Hint(before, places)


def groups_of(turns: Sequence[Turn], image: int, workers: Workers) -> list[list[Turn]]:
    """Turns that look alike at others, in groups to code at once: small images are faster together.

    Args:
        turns: of one wave.
        image: pixels of a slice.
        workers: each of which shall have work.
    """
    alike: dict[tuple[int, bool], list[Turn]] = {}
    for turn in turns:
        alike.setdefault((turn.distance, turn.between), []).append(turn)
    groups = []
    for some in alike.values():
        share = -(-len(some) // len(workers.devices))
        size = max(1, min(TOGETHER // max(image, 1), share))
        groups += [some[start : start + size] for start in range(0, len(some), size)]
    return groups


def hint_of_group(
    group: Sequence[Turn], lows: Mapping[int, torch.Tensor], device: torch.device
) -> Hint | None:
    """The hint of slices that look alike at others, (B, …); None for those coded alone.

    Args:
        group: the slices.
        lows: what is decoded, by number, (1, 1, h, w) in units.
        device: where to compute.
    """
    first = group[0]
    known = [
        torch.cat([lows[turn.sides[side]].to(device) for turn in group])
        for side in range(len(first.sides))
    ]
    if not known:
        return None
    if first.between:
        return hint_between(known[0], known[1], first.distance)
    return hint_after(known[0], first.distance)
