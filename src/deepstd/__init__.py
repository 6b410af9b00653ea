"""DeepSTD: shape-texture decoupled compression of medical scans.

    deepstd.compress("ct.nii.gz", "ct.dstd", ratio=64)
    deepstd.decompress("ct.dstd", "ct-restored.nii.gz")

Names are loaded when first used, so that importing the package stays quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deepstd.api import compress, decompress, verify
    from deepstd.codec.codec import Codec
    from deepstd.errors import DeepSTDError
    from deepstd.inspection import info
    from deepstd.io import read, write
    from deepstd.registration.files import register
    from deepstd.volume import SourceHeader, Volume

__version__ = "0.1.0"

_HOMES = {
    "Codec": ("deepstd.codec.codec", "Codec"),
    "DeepSTDError": ("deepstd.errors", "DeepSTDError"),
    "SourceHeader": ("deepstd.volume", "SourceHeader"),
    "Volume": ("deepstd.volume", "Volume"),
    "compress": ("deepstd.api", "compress"),
    "decompress": ("deepstd.api", "decompress"),
    "info": ("deepstd.inspection", "info"),
    "read": ("deepstd.io", "read"),
    "register": ("deepstd.registration.files", "register"),
    "verify": ("deepstd.api", "verify"),
    "write": ("deepstd.io", "write"),
}

__all__ = [
    "Codec",
    "DeepSTDError",
    "SourceHeader",
    "Volume",
    "compress",
    "decompress",
    "info",
    "read",
    "register",
    "verify",
    "write",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'deepstd' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
