"""Check that frames are of one patient. Messages name files, never a patient."""

from __future__ import annotations

from collections.abc import Sequence

from deepstd.errors import InputError
from deepstd.io.dicom.frames import Frame
from deepstd.io.dicom.images import Image

_IDENTITY = ("PatientID", "PatientName", "PatientBirthDate")


def check_one_patient(frames: Sequence[Frame]) -> None:
    """Raise an InputError for frames of different patients; absent values match any patient.

    Raises:
        InputError: two frames state different identities.
    """
    images = list({id(frame.image): frame.image for frame in frames}.values())
    for keyword in _IDENTITY:
        told = [(image, _letters(image, keyword)) for image in images]
        stated = [(image, value) for image, value in told if value]
        for image, value in stated[1:]:
            if value != stated[0][1]:
                raise InputError(
                    f"{stated[0][0].item.label} and {image.item.label} are in one series, but of "
                    f"two patients: {keyword} differs. Separate them, or correct what is wrong"
                )


def _letters(image: Image, keyword: str) -> str:
    """Return the letters and digits of a value, since case and punctuation vary for one patient."""
    value = image.dataset.get(keyword)
    return "".join(filter(str.isalnum, "" if value is None else str(value))).casefold()
