"""Configuration of the codec: what must come back of a chunk, as JSON in the array's metadata.

{"lossless": true} | {"max_error": 8} | {"ratio": 32, "model": "generic"} ─▶ Fidelity ─▶ JSON
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

from deepstd.errors import RateError

GENERIC = "generic"
"""Bundle of chunks: others know whole scans of one body part."""
_KEYS = ("lossless", "max_error", "ratio", "model")


@dataclass(frozen=True)
class Fidelity:
    """Fidelity of the chunks of an array; exactly one of the first three is given.

    Attributes:
        lossless: True where every value comes back bit for bit.
        max_error: largest error of a value, in values of the array.
        ratio: bytes of a chunk's values, without padding, divided by bytes of the coded chunk.
        model: name of the bundle that codes chunks of a given ratio.

    Raises:
        RateError: none or several are given, or a number makes no sense.
    """

    lossless: bool = False
    max_error: float | None = None
    ratio: float | None = None
    model: str = GENERIC

    def __post_init__(self) -> None:
        if not isinstance(self.lossless, bool):
            raise RateError(f"lossless is true or left out, not {self.lossless!r}")
        given = self.lossless + (self.max_error is not None) + (self.ratio is not None)
        if given != 1:
            raise RateError("give the codec deepstd exactly one of lossless, max_error and ratio")
        for name, value in (("max_error", self.max_error), ("ratio", self.ratio)):
            if value is None:
                continue
            is_number = isinstance(value, Real) and not isinstance(value, bool)
            if not is_number or not 0 < value < math.inf:
                raise RateError(f"{name} must be a positive number, not {value!r}")
            object.__setattr__(self, name, float(value))
        if not isinstance(self.model, str) or not self.model:
            raise RateError(f"model must be the name of a bundle, not {self.model!r}")
        if self.model != GENERIC and self.ratio is None:
            raise RateError(f"only chunks of a given ratio need a model: leave out {self.model!r}")

    @staticmethod
    def read(configuration: Mapping[str, Any]) -> Fidelity:
        """Read a configuration as it stands in an array's metadata.

        Raises:
            RateError: an entry is unknown, or makes no sense.
        """
        if unknown := sorted(set(configuration) - set(_KEYS)):
            raise RateError(
                f"the codec deepstd does not know {', '.join(unknown)}: it takes {', '.join(_KEYS)}"
            )
        return Fidelity(**configuration)

    def to_dict(self) -> dict[str, bool | float | str]:
        """Return the configuration for an array's metadata, without defaults."""
        if self.lossless:
            return {"lossless": True}
        if self.max_error is not None:
            return {"max_error": self.max_error}
        model = {} if self.model == GENERIC else {"model": self.model}
        return {"ratio": float(self.ratio or 0), **model}
