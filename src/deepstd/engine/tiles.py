"""Records that describe a tile to the engine, field by field as in csrc/features.h and passes.h.

model, level, tile, targets ─ ctypes ─▶ tile_encode, tile_decode ─▶ outcome
"""

from __future__ import annotations

import ctypes

_INT, _LONG, _POINTER = ctypes.c_int32, ctypes.c_int64, ctypes.c_void_p
_AXES, _FLAGS = _LONG * 3, _INT * 3
MOST_PASSES = 3


class ModelRecord(ctypes.Structure):
    """Layers of a context model (``struct model``)."""

    _fields_ = [
        *[(name, _POINTER) for name in ("trunk", "known", "mix", "head")],
        *[(name, _INT) for name in ("passes", "bands", "width", "has_template")],
    ]


class LevelRecord(ctypes.Structure):
    """Known subbands of one level of one scan (``struct level``)."""

    _fields_ = [
        *[("grid", _AXES), ("coarse", _AXES), ("split", _FLAGS), ("ndim", _INT), ("bands", _INT)],
        *[(name, _POINTER) for name in ("low", "parents", "template_low", "template_high")],
        *[(name, _POINTER) for name in ("places", "first", "second")],
    ]


class TileRecord(ctypes.Structure):
    """Place of a tile and of the window around it (``struct tile``)."""

    _fields_ = [
        *[("begin", _AXES), ("end", _AXES), ("begins", _FLAGS), ("ends", _FLAGS)],
        *[("tile_begin", _AXES), ("size", _AXES), ("mask", _POINTER)],
        ("threads", _INT),
    ]


class TargetsRecord(ctypes.Structure):
    """Quantisation targets of an encoder in a tile (``struct targets``)."""

    _fields_ = [
        *[("values", _POINTER), ("factor", ctypes.c_double)],
        *[(name, _POINTER) for name in ("corrections", "errors", "prices", "savings", "bits")],
        *[(name, _POINTER) for name in ("before", "taken")],
        *[(name, _POINTER) for name in ("offset_bits", "own_bits", "edges", "cumulative")],
        *[("weights", ctypes.c_float * MOST_PASSES)],
        *[("spacing_weights", ctypes.c_float * MOST_PASSES)],
    ]


class OutcomeRecord(ctypes.Structure):
    """Coefficients and symbols of a tile (``struct outcome``)."""

    _fields_ = [("values", _POINTER), ("symbols", _POINTER), ("count", _LONG)]
