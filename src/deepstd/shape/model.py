"""Integer shape model of a bundle, and the code of a scan's field in a file.

    ShapeModel: template · trunk · per Ω: start heads, modes, scale indices     (the bundle)
    FieldCode:  Ω index · one integer per mode                                  (the file)

The head of a scan's backward field is ``start head + symbols @ modes``. The modes are the
principal directions of the heads of training scans, one quantisation step long.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from deepstd.coding.tables import SCALE_COUNT
from deepstd.errors import BundleError, DamagedError
from deepstd.geometry import COORDINATE_BITS
from deepstd.shape.siren import BACKWARD, Trunk

# Fraction bits of field coordinates, of hidden weights and of heads.
Q_BITS = 14
WEIGHT_BITS = 14
HEAD_BITS = 20
TEMPLATE_MAX = 1023  # largest grey value of a template
# Bounds for damaged files: with heads within theirs, every sum of the field stays below 2**53.
SYMBOL_LIMIT = 1 << 15
_HEAD_LIMIT = 1 << 24
_TENSORS = {
    "template": np.uint16,
    "reach": np.int64,
    "weight1": np.int32,
    "bias1": np.int32,
    "weight2": np.int32,
    "bias2": np.int32,
    "heads": np.int32,
    "modes": np.int32,
    "scale_index": np.uint8,
}


@dataclass(frozen=True, eq=False)
class FieldCode:
    """Coded backward field of a scan.

    Attributes:
        omega_index: index into the model's ``omegas``.
        symbols: (K,) int32, quantisation steps along each mode.
    """

    omega_index: int
    symbols: np.ndarray


@dataclass(frozen=True, eq=False)
class ShapeModel:
    """Template of a bundle, and the statistics of the deformation fields to it.

    Attributes:
        template: uint16 image of 2 or 3 axes, 0 to 1023.
        affine: (4, 4) voxel-to-world matrix of the template, or None.
        reach: (ndim,) int64, 1/256 template voxels in a unit of field coordinates.
        omegas: frequency factors Ω of the SIREN, at the start and after each degradation.
        threshold: registration loss above which Ω is lowered: 75th percentile of training scans.
        weight1: (2, ndim, W) int32 in 2**-14, with bias1 (2, 1, W), weight2 (2, W, W) and
            bias2 (2, 1, W): hidden layers, by direction.
        heads: (number of Ω, 2, W+1, ndim) int32 in 2**-20: start heads, by direction.
        modes: (number of Ω, K, (W+1)·ndim) int32 in 2**-20: backward head of a symbol.
        scale_index: (number of Ω, K) uint8, index of each symbol's frequency table.

    Raises:
        BundleError: an array has another type or shape, or a value is out of range.
    """

    template: np.ndarray
    affine: np.ndarray | None
    reach: np.ndarray
    omegas: tuple[int, ...]
    threshold: float
    weight1: np.ndarray
    bias1: np.ndarray
    weight2: np.ndarray
    bias2: np.ndarray
    heads: np.ndarray
    modes: np.ndarray
    scale_index: np.ndarray

    def __post_init__(self) -> None:
        for name, dtype in _TENSORS.items():
            if getattr(self, name).dtype != dtype:
                raise BundleError(f"the shape model's {name} must be {np.dtype(dtype).name}")
        ndim, width, count = self.ndim, self.weight1.shape[-1], len(self.omegas)
        modes = self.modes.shape[1] if self.modes.ndim == 3 else -1
        expected = {
            "reach": (ndim,),
            "weight1": (2, ndim, width),
            "bias1": (2, 1, width),
            "weight2": (2, width, width),
            "bias2": (2, 1, width),
            "heads": (count, 2, width + 1, ndim),
            "modes": (count, modes, (width + 1) * ndim),
            "scale_index": (count, modes),
        }
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise BundleError(
                    f"the shape model's {name} has shape {getattr(self, name).shape}: "
                    f"expected {shape}"
                )
        if ndim not in (2, 3) or count == 0 or not all(1 <= o <= 64 for o in self.omegas):
            raise BundleError("the shape model's template or Ω is out of range")
        if int(self.scale_index.max(initial=0)) >= SCALE_COUNT or min(self.template.shape) < 2:
            raise BundleError("the shape model's scales or template are out of range")
        if self.reach.min() < 1 or int(self.template.max()) > TEMPLATE_MAX:
            raise BundleError("the shape model's reach or template is out of range")

    @property
    def ndim(self) -> int:
        """Number of spatial axes."""
        return self.template.ndim

    @property
    def limit(self) -> np.ndarray:
        """Border of the template in field coordinates, (ndim,) int64 in 2**-14."""
        half = np.array(self.template.shape, dtype=np.int64) << (COORDINATE_BITS - 1)
        return (half << Q_BITS) // self.reach

    def trunk(self) -> Trunk:
        """Return the hidden layers in float32, for registration."""

        def real(values: np.ndarray, bits: int) -> np.ndarray:
            return values.astype(np.float32) / np.float32(1 << bits)

        return Trunk(
            real(self.weight1, WEIGHT_BITS),
            real(self.bias1, WEIGHT_BITS),
            real(self.weight2, WEIGHT_BITS),
            real(self.bias2, WEIGHT_BITS),
            real(self.limit, Q_BITS),
        )

    def head(self, code: FieldCode) -> np.ndarray:
        """Return the head of a scan's backward field, (W+1, ndim) int64 in 2**-20.

        Raises:
            DamagedError: the Ω index or the number of symbols does not fit the model.
        """
        if not 0 <= code.omega_index < len(self.omegas):
            raise DamagedError(f"the field asks for Ω number {code.omega_index}: there is none")
        start = self.heads[code.omega_index, BACKWARD].astype(np.int64)
        modes = self.modes[code.omega_index].astype(np.int64)
        if code.symbols.shape != modes.shape[:1]:
            raise DamagedError(
                f"the field has {code.symbols.shape} symbols: expected {modes.shape[:1]}"
            )
        symbols = code.symbols.astype(np.int64).clip(-SYMBOL_LIMIT, SYMBOL_LIMIT)
        head = start + (symbols @ modes).reshape(start.shape)
        return head.clip(-_HEAD_LIMIT, _HEAD_LIMIT)

    def to_tensors(self) -> dict[str, np.ndarray]:
        """Return the arrays by name, for safetensors."""
        return {name: np.ascontiguousarray(getattr(self, name)) for name in _TENSORS}

    def metadata(self) -> dict[str, Any]:
        """Return affine, Ω and threshold as plain values, for JSON."""
        return {
            "affine": None if self.affine is None else np.asarray(self.affine).tolist(),
            "omegas": list(self.omegas),
            "threshold": self.threshold,
        }

    @staticmethod
    def from_tensors(tensors: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> ShapeModel:
        """Rebuild a model from its arrays and plain values.

        Args:
            tensors: arrays of `to_tensors`.
            meta: values of `metadata`.

        Raises:
            BundleError: an entry is missing or unfit.
        """
        missing = sorted(set(_TENSORS) - set(tensors))
        if missing or not {"affine", "omegas", "threshold"} <= set(meta):
            raise BundleError(f"the shape model is incomplete: {missing or sorted(meta)}")
        affine = meta["affine"]
        return ShapeModel(
            **{name: np.ascontiguousarray(tensors[name]) for name in _TENSORS},
            affine=None if affine is None else np.array(affine, dtype=np.float64),
            omegas=tuple(int(o) for o in meta["omegas"]),
            threshold=float(meta["threshold"]),
        )


def integers(values: np.ndarray, bits: int) -> np.ndarray:
    """Round floats to int32 in units of 2**-bits."""
    return np.rint(values.astype(np.float64) * (1 << bits)).astype(np.int32)
