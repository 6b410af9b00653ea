"""The shared library of the native engine, and the signatures of its functions.

package folder ─ libdeepstd_engine.{so,dylib,dll} ─ interface number checked ─▶ `engine()`
"""

from __future__ import annotations

import ctypes
import os
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from deepstd.errors import InputError

DISABLED = "DEEPSTD_NO_ENGINE"
"""Environment variable that turns the engine off, with any value but "" and "0"."""
LIMIT = "DEEPSTD_INSTRUCTIONS"
"""Environment variable with the best instruction set to use, one of `LIMITS`."""
LIMITS = ("plain", "avx2", "avx512")
OUT_OF_MEMORY, DAMAGED, TOO_LARGE = -1, -2, -3
_INTERFACE = 10
_CACHE_LINE = 64
_SUFFIXES = {"darwin": ".dylib", "win32": ".dll"}
_INSTRUCTIONS = ("plain C", "AVX2", "AVX-512 VNNI")
_POINTER, _SIZE, _INT, _WORD = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_uint32
_LONG = ctypes.c_int64
_SIGNATURES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "engine_instructions": (_INT, ()),
    "engine_limit": (None, (_INT,)),
    "encoder_new": (_POINTER, ()),
    "encoder_free": (None, (_POINTER,)),
    "encoder_encode": (_INT, (_POINTER, _POINTER, _POINTER, _POINTER, _SIZE, _SIZE)),
    "encoder_put": (_INT, (_POINTER, _WORD, _WORD)),
    "encoder_finish": (_SIZE, (_POINTER, _POINTER, _SIZE)),
    "decoder_new": (_POINTER, (_POINTER, _SIZE)),
    "decoder_free": (None, (_POINTER,)),
    "decoder_decode": (_INT, (_POINTER, _POINTER, _POINTER, _SIZE, _POINTER)),
    "decoder_walk": (
        _INT,
        (_POINTER, _POINTER, _POINTER, _SIZE, _SIZE, _POINTER, _POINTER, _POINTER),
    ),
    "decoder_get": (_INT, (_POINTER, _POINTER, _INT)),
    "convolve": (None, (_POINTER, _POINTER, _LONG, _LONG)),
    "tile_encode": (_INT, (_POINTER,) * 7),
    "tile_decode": (_INT, (_POINTER,) * 8),
    "postfilter_run": (_INT, (_POINTER, _POINTER)),
    "lift_level": (_INT, (_POINTER, _INT)),
    "motion_halfway": (_INT, (_POINTER, _INT)),
    "signed_logs": (None, (_POINTER, _LONG, _POINTER)),
    "wiener_run": (None, (_POINTER,)),
    "window_means": (_INT, (_POINTER,)),
    "lossless_run": (None, (_POINTER, _LONG, _INT, _INT)),
    "lossless_free": (None, (_POINTER, _LONG)),
    "trellis_search": (
        _INT,
        (
            *(_POINTER, _POINTER, _SIZE, _SIZE, _POINTER),
            *(_POINTER, _POINTER, _POINTER, _POINTER, _POINTER),
        ),
    ),
}


def library_path() -> Path:
    """Return the path of the shared library in the installed package."""
    return Path(__file__).with_name("libdeepstd_engine" + _SUFFIXES.get(sys.platform, ".so"))


@lru_cache(maxsize=1)
def engine() -> Any:
    """Load the library; return None where it is missing, of another interface or turned off.

    Raises:
        InputError: the limit of instructions is none.
    """
    if os.environ.get(DISABLED, "0") not in ("", "0"):
        return None
    try:
        library = ctypes.CDLL(str(library_path()))
        library.engine_interface.restype = _INT
        if library.engine_interface() != _INTERFACE:
            return None
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError):
        return None
    library.engine_limit(_limit())
    return library


def _limit() -> int:
    """Return the number of the best instruction set to use."""
    given = os.environ.get(LIMIT, "") or LIMITS[-1]
    if given not in LIMITS:
        raise InputError(f"{LIMIT} is {given!r}: expected one of {', '.join(LIMITS)}")
    return LIMITS.index(given)


def describe() -> str:
    """Return one line that describes the engine, for reports."""
    library = engine()
    if library is None:
        return "MISSING: the slower reference in Python computes the same"
    limit = f", limited by {LIMIT}={os.environ[LIMIT]}" if os.environ.get(LIMIT) else ""
    return f"native, {_INSTRUCTIONS[library.engine_instructions()]}{limit}"


def aligned(array: np.ndarray) -> np.ndarray:
    """Return a contiguous copy that begins at a cache line, as loads of whole lines like it."""
    room = np.empty(array.nbytes + _CACHE_LINE, np.uint8)
    start = -room.ctypes.data % _CACHE_LINE
    copy = room[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def address(array: np.ndarray) -> int:
    """Return the address of a C-contiguous array's first element.

    Raises:
        ValueError: the array is not C-contiguous.
    """
    if not array.flags.c_contiguous:
        raise ValueError("the engine takes contiguous arrays only")
    return array.ctypes.data
