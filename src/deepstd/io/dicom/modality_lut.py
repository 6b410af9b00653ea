"""Grey scale of an image that states it as a table, *Modality LUT Sequence*.

table ─ pydicom, for every value that the bits can hold ─┬ a straight line ─▶ slope, intercept
                                                         └ anything else ─▶ refused
"""

from __future__ import annotations

import numpy as np

from deepstd.errors import UnsupportedFormatError
from deepstd.io.dicom.images import Image

_MOST_BITS = 16  # 65,536 values of the table are compared
_ADVICE = (
    "Apply it first, for example with pydicom.pixels.apply_modality_lut, and compress the result"
)


def scale_by_table(image: Image) -> tuple[float, float] | None:
    """Return slope and intercept of an image's Modality LUT; None where it has none.

    Raises:
        UnsupportedFormatError: pydicom cannot apply the table, or the table is no straight line, so
            that no error could be stated in its units.
    """
    if not image.dataset.get("ModalityLUTSequence"):
        return None
    from pydicom.pixels.processing import apply_modality_lut

    if image.bits > _MOST_BITS:
        raise UnsupportedFormatError(f"a Modality LUT for {image.bits} bits. {_ADVICE}")
    lowest = -(1 << image.bits - 1) if image.dtype.kind == "i" else 0
    stored = np.arange(lowest, lowest + (1 << image.bits))
    try:
        real = apply_modality_lut(stored, image.dataset).astype(np.float64)
    except Exception as error:  # pydicom raises many kinds
        reason = f"a Modality LUT that cannot be applied ({type(error).__name__})"
        raise UnsupportedFormatError(f"{reason}. {_ADVICE}") from error
    slope = float(real[1] - real[0])
    if slope == 0 or not np.array_equal(real, real[0] + slope * np.arange(len(real))):
        raise UnsupportedFormatError(f"a Modality LUT that is not a straight line. {_ADVICE}")
    return slope, float(real[0] - slope * lowest)
