"""Codec "deepstd" for Zarr 3: chunks of an array to bytes, and back.

metadata {"name": "deepstd", "configuration": {"ratio": 32}} ─ zarr-python ─▶ DeepSTDCodec
chunk, fill value ─ encode, in a thread ─▶ bytes ─ decode, in a thread ─▶ chunk
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from zarr.abc.codec import ArrayBytesCodec

from deepstd.errors import RateError, UnsupportedFormatError
from deepstd.zarr import chunk
from deepstd.zarr.fidelity import GENERIC, Fidelity

if TYPE_CHECKING:
    from zarr.core.array_spec import ArraySpec
    from zarr.core.buffer import Buffer, NDBuffer

NAME = "deepstd"
"""Name of the codec in the metadata of arrays."""
_ITEM_SIZES = {"b": (1,), "u": (1, 2, 4, 8), "i": (1, 2, 4, 8), "f": (2, 4, 8)}


@dataclass(frozen=True, init=False)
class DeepSTDCodec(ArrayBytesCodec):
    """Array-to-bytes codec for booleans, integers and floats of at most 64 bits.

        zarr.create_array(store, data=scan, chunks=(64, 64, 64), compressors=None,
                          serializer=DeepSTDCodec(lossless=True))

    Exactly one of the first three arguments is given. Byte order is of no account. A chunk that is
    written in parts is decoded and encoded again each time, which adds errors where it is lossy:
    write whole chunks.

    Args:
        lossless: True to get every value back bit for bit.
        max_error: largest error of any value, in values of the array. NaN and infinities stay.
        ratio: compression ratio of every chunk, padding not counted. A chunk of so few voxels that
            no file is that small gets half of the ratio, and so on.
        model: name of the bundle for a ratio, without a template. Readers need it, too.

    Attributes:
        fidelity: the arguments.

    Raises:
        RateError: the arguments make no sense.
    """

    is_fixed_size = False

    fidelity: Fidelity

    def __init__(
        self,
        *,
        lossless: bool = False,
        max_error: float | None = None,
        ratio: float | None = None,
        model: str = GENERIC,
    ) -> None:
        object.__setattr__(self, "fidelity", Fidelity(lossless, max_error, ratio, model))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> DeepSTDCodec:
        """Make the codec that an array's metadata describes.

        Raises:
            RateError: the configuration is missing, or makes no sense.
        """
        configuration = data.get("configuration") or {}
        if data.get("name") != NAME or not isinstance(configuration, Mapping):
            raise RateError(f"not the description of a codec {NAME!r}: {data!r}")
        fidelity = Fidelity.read(cast("Mapping[str, Any]", configuration))
        return cls(**fidelity.to_dict())  # pyright: ignore[reportArgumentType]

    def to_dict(self) -> dict[str, Any]:
        """Return the description of the codec for an array's metadata."""
        return {"name": NAME, "configuration": self.fidelity.to_dict()}

    def validate(self, *, shape: tuple[int, ...], dtype: Any, chunk_grid: Any) -> None:
        """Raise an UnsupportedFormatError where an array has values of an unsupported type."""
        native = dtype.to_native_dtype()
        if native.itemsize not in _ITEM_SIZES.get(native.kind, ()):
            raise UnsupportedFormatError(
                f"the codec {NAME} does not take arrays of type {native}: expected booleans, "
                "integers or floats of at most 64 bits"
            )

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        """Raise a NotImplementedError: the values decide the bytes of a chunk."""
        raise NotImplementedError(f"the bytes of a chunk of {NAME} depend on its values")

    def _encode_sync(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> Buffer | None:
        values = chunk_data.as_numpy_array()
        data = chunk.encode(values, _fill_of(chunk_spec), self.fidelity)
        return chunk_spec.prototype.buffer.from_bytes(data)

    def _decode_sync(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        values = chunk.decode(chunk_data.to_bytes(), chunk_spec.shape, _fill_of(chunk_spec))
        return chunk_spec.prototype.nd_buffer.from_numpy_array(values)

    async def _encode_single(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> Buffer | None:
        return await asyncio.to_thread(self._encode_sync, chunk_data, chunk_spec)

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        return await asyncio.to_thread(self._decode_sync, chunk_data, chunk_spec)


def _fill_of(spec: ArraySpec) -> np.ndarray:
    """Return the fill value of an array as an array of no axes, in the type of its chunks."""
    return np.array(spec.fill_value, dtype=spec.dtype.to_native_dtype())
