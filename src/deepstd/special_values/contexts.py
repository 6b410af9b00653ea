"""Context coding of a mask: each voxel with a probability given its known neighbours.

    mask ─ passes (lattice.py) ┬ neighbours all alike ─ groups with an exception ─┐
                               └ others ─ probability by context (chances.py) ────┴▶ range coder

The ragged edge of a brain mask takes a quarter to a half of the bytes of LZMA.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from deepstd.coding.range_coder import RangeDecoder, RangeEncoder
from deepstd.errors import DamagedError
from deepstd.special_values.chances import CERTAIN, ContextChances, RareChance
from deepstd.special_values.lattice import LARGEST_COARSENESS, Lattice, Pass, coarseness_of, levels

_COARSENESS_BITS = 2
# Voxels of a group, where all neighbours are equal; one bit says that a group has no exception.
_GROUP = 64
# Voxels between two updates of the counts: 1/16 of the voxels seen, at least 32, at most 1024.
_FEWEST, _MOST, _SHARE = 32, 1024, 16


class _Source(Protocol):
    """Source of bits: an encoder that writes known bits, or a decoder."""

    def bits(self, known: np.ndarray, chances: np.ndarray | int) -> np.ndarray:
        """Encode known bits, or decode as many; return them, (n,) uint8.

        Args:
            known: (n,) uint8; a decoder uses the length alone.
            chances: probabilities of a set bit in units of 2⁻²⁰, (n,) or one for all bits.
        """
        ...


class _Encoding:
    def __init__(self) -> None:
        self.stream = RangeEncoder()

    def bits(self, known: np.ndarray, chances: np.ndarray | int) -> np.ndarray:
        self.stream.encode_binary(known, _all(chances, len(known)))
        return known


class _Decoding:
    def __init__(self, data: bytes) -> None:
        self._stream = RangeDecoder(data)

    def bits(self, known: np.ndarray, chances: np.ndarray | int) -> np.ndarray:
        return self._stream.decode_binary(_all(chances, len(known)))


def _all(chances: np.ndarray | int, count: int) -> np.ndarray:
    return np.full(count, chances) if isinstance(chances, int) else chances


def encode_contexts(mask: np.ndarray) -> bytes:
    """Encode a mask; `decode_contexts` is the inverse.

    Args:
        mask: bool, 1 to 4 axes, not empty.
    """
    coarseness = coarseness_of(mask)
    coder = _Encoding()
    _code(mask.shape, coarseness, coder, mask)
    code = sum(size << _COARSENESS_BITS * axis for axis, size in enumerate(coarseness))
    return bytes([code]) + coder.stream.finish()


def decode_contexts(data: bytes, shape: Sequence[int]) -> np.ndarray:
    """Decode the bytes of `encode_contexts` to a bool mask of a shape.

    Raises:
        DamagedError: the bytes do not describe such a mask.
    """
    if not data or data[0] >> _COARSENESS_BITS * len(shape):
        raise DamagedError("a mask of an unknown kind")
    coarseness = [
        data[0] >> _COARSENESS_BITS * axis & LARGEST_COARSENESS for axis in range(len(shape))
    ]
    return _code(shape, coarseness, _Decoding(data[1:]), None).view(bool)


def _code(
    shape: Sequence[int], coarseness: Sequence[int], source: _Source, mask: np.ndarray | None
) -> np.ndarray:
    """Encode (``mask`` given) or decode (``mask`` None) all passes; return the voxels, uint8."""
    first = np.zeros(1, np.uint8) if mask is None else mask.reshape(-1)[:1].view(np.uint8)
    known = source.bits(first, CERTAIN // 2).reshape((1,) * len(shape))
    learned: dict[object, _PassModel] = {}
    for level in levels(shape, coarseness):
        lattice = Lattice(level, known)
        truth = None if mask is None else mask[tuple(slice(None, None, s) for s in level.stride)]
        for part in level.passes:
            contexts = lattice.contexts(part)
            model = learned.setdefault((level.split, part.parity), _PassModel(part))
            if truth is None:
                voxels = np.zeros(len(contexts), np.uint8)
            else:
                places = zip(part.parity, part.steps, strict=True)
                ours = truth[tuple(slice(p, None, s) for p, s in places)]
                voxels = np.asarray(ours, np.uint8).reshape(-1)
            coded = model.code(contexts, voxels, source)
            target = lattice.of(part)
            target[...] = coded.reshape(target.shape)
        known = lattice.voxels
    return known


class _PassModel:
    """Adaptive probabilities of one parity class, shared by all levels."""

    def __init__(self, part: Pass) -> None:
        self._full = (1 << len(part.neighbours)) - 1
        self._chances = ContextChances(len(part.neighbours))
        self._groups = {0: RareChance(), self._full: RareChance()}
        self._exceptions = {0: RareChance(), self._full: RareChance()}

    def code(self, contexts: np.ndarray, known: np.ndarray, source: _Source) -> np.ndarray:
        """Encode or decode the voxels of a pass; return them, (n,) uint8."""
        voxels = known.copy()
        mixed = np.ones(len(contexts), bool)
        for alike in self._groups:
            places = np.flatnonzero(contexts == alike)
            mixed[places] = False
            differ = known[places] ^ np.uint8(alike > 0)
            differ = self._differing(differ, alike, source)
            voxels[places] = differ ^ np.uint8(alike > 0)
        places = np.flatnonzero(mixed)
        contexts, known = contexts[places], known[places]
        for part in _parts(len(places), self._chances):
            coded = source.bits(known[part], self._chances.of(contexts[part]))
            self._chances.learn(contexts[part], coded)
            voxels[places[part]] = coded
        return voxels

    def _differing(self, differ: np.ndarray, alike: int, source: _Source) -> np.ndarray:
        """Encode or decode which voxels differ from their equal neighbours; (n,) uint8."""
        groups = -(-len(differ) // _GROUP)
        filled = np.zeros((groups, _GROUP), np.uint8)
        filled.reshape(-1)[: len(differ)] = differ
        any_set = np.asarray(filled.any(axis=1), np.uint8)
        has_one = _adaptive(any_set, self._groups[alike], source)
        exceptions = filled[has_one > 0].reshape(-1)
        filled[has_one == 0] = 0
        filled[has_one > 0] = _adaptive(exceptions, self._exceptions[alike], source).reshape(
            -1, _GROUP
        )
        return filled.reshape(-1)[: len(differ)]


def _adaptive(known: np.ndarray, chance: RareChance, source: _Source) -> np.ndarray:
    """Encode or decode bits with one adaptive probability; return the bits."""
    coded = known.copy()
    for part in _parts(len(known), chance):
        coded[part] = source.bits(known[part], chance.now)
        chance.learn(coded[part])
    return coded


def _parts(count: int, counted: ContextChances | RareChance) -> Iterator[slice]:
    """Yield parts of ``count`` voxels; the length of a part depends on the voxels seen so far."""
    begin = 0
    while begin < count:
        end = min(begin + min(max(_FEWEST, counted.seen // _SHARE), _MOST), count)
        yield slice(begin, end)
        begin = end
