"""Zarr: a codec for chunks of Zarr arrays, and OME-Zarr pyramids of compressed scans.

    array ─ zarr-python ─ chunk ─ codec.DeepSTDCodec ─ chunk ─▶ bytes of the chunk, and back
    .dstd file ─ its levels ─ write_ome_zarr ─▶ OME-Zarr 0.5

zarr-python finds the codec by an entry point, so readers need no import of this package.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from deepstd.extras import check_package

if TYPE_CHECKING:
    from deepstd.zarr.codec import DeepSTDCodec
    from deepstd.zarr.ome import Level, write_ome_zarr

_HOMES = {
    "DeepSTDCodec": "deepstd.zarr.codec",
    "Level": "deepstd.zarr.ome",
    "write_ome_zarr": "deepstd.zarr.ome",
}

__all__ = ["DeepSTDCodec", "Level", "write_ome_zarr"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'deepstd.zarr' has no attribute {name!r}")
    check_package("zarr", "zarr-python 3", f"deepstd.zarr.{name}", "zarr")
    return getattr(import_module(_HOMES[name]), name)
