"""The unit of a series' real-world values, as far as the standard's defined terms tell it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deepstd import io
from deepstd.errors import InputError
from deepstd.io import dicom
from deepstd.io.dicom.header import Facts, pack
from deepstd.volume import SourceHeader

PLACES = [(0.0, 0.0, 2.0 * k) for k in range(5)]
PET = "1.2.840.10008.5.1.4.1.1.128"
MR = "1.2.840.10008.5.1.4.1.1.4"
SECONDARY = "1.2.840.10008.5.1.4.1.1.7"


@pytest.mark.parametrize(
    ("attributes", "unit"),
    [
        ({}, "HU"),
        ({"RescaleType": "HU"}, "HU"),
        ({"RescaleType": "US"}, None),
        ({"RescaleType": "MGML"}, "mg/ml"),
        ({"RescaleType": "Doe Jane"}, None),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, None),
        ({"RescaleSlope": None, "RescaleIntercept": None}, None),
        ({"SOPClassUID": SECONDARY}, None),
        ({"SOPClassUID": SECONDARY, "RescaleType": "HU"}, "HU"),
        ({"SOPClassUID": MR, "Modality": "MR"}, None),
        ({"SOPClassUID": PET, "Modality": "PT", "Units": "BQML"}, "Bq/ml"),
        ({"SOPClassUID": PET, "Modality": "PT", "Units": "GML"}, "g/ml"),
        ({"SOPClassUID": PET, "Modality": "PT", "Units": "NONE"}, None),
        ({"SOPClassUID": PET, "Modality": "PT", "RescaleType": "BQML"}, "Bq/ml"),
    ],
)
@pytest.mark.parametrize("metadata", list(io.Metadata))
def test_units(
    save_series: Callable[..., Path],
    ramp: np.ndarray,
    attributes: dict[str, Any],
    unit: str | None,
    metadata: io.Metadata,
) -> None:
    volume = io.read(save_series(ramp, PLACES, **attributes), metadata=metadata)
    assert io.error_scale_of(volume.source).unit == unit


def test_slices_that_differ_in_it(
    tmp_path: Path, make_slice: Callable[..., Any], ramp: np.ndarray
) -> None:
    for k in range(5):
        kind = "HU" if k else "US"
        dataset = make_slice(np.ascontiguousarray(ramp[..., k].T), PLACES[k], RescaleType=kind)
        dataset.save_as(tmp_path / f"{k}.dcm", enforce_file_format=True)
    assert io.error_scale_of(io.read(tmp_path).source).unit is None


def test_enhanced_objects_state_it_in_functional_groups(
    tmp_path: Path, make_slice: Callable[..., Any], ramp: np.ndarray
) -> None:
    from pydicom.dataset import Dataset

    dataset = make_slice(np.ascontiguousarray(ramp[..., 0].T), None, SOPClassUID=MR)
    transformation = Dataset()
    transformation.RescaleSlope, transformation.RescaleIntercept = "2", "0"
    transformation.RescaleType = "PCT"
    group = Dataset()
    group.PixelValueTransformationSequence = [transformation]
    dataset.SharedFunctionalGroupsSequence = [group]
    dataset.save_as(tmp_path / "enhanced.dcm", enforce_file_format=True)
    scale = io.error_scale_of(io.read(tmp_path / "enhanced.dcm").source)
    assert (scale.slope, scale.unit) == (2.0, "%")


def test_a_negative_slope_has_a_size(save_series: Callable[..., Path], ramp: np.ndarray) -> None:
    volume = io.read(save_series(ramp, PLACES, RescaleSlope="-0.5"))
    assert io.error_scale_of(volume.source) == io.ErrorScale(0.5, "HU")


def facts(unit: Any, sop_class: str = PET) -> SourceHeader:
    plain = Facts(None, None, None, 1.0, 0.0, "MONOCHROME2", 16, "PT", sop_class, "none", None, 0)
    return SourceHeader("dicom", pack(replace(plain, unit=unit), []))


def test_headers_without_a_unit_are_those_of_earlier_files() -> None:
    assert dicom.unit_of(facts(None)) is None
    assert dicom.unit_of(facts(None, "1.2.840.10008.5.1.4.1.1.2")) == "HU"
    assert dicom.unit_of(facts("")) is None
    assert dicom.unit_of(facts("Bq/ml")) == "Bq/ml"


@pytest.mark.parametrize("unit", [7, ["HU"], "\x1b[31mHU", "HU" * 40])
def test_a_damaged_unit(unit: Any) -> None:
    with pytest.raises(InputError, match="damaged"):
        dicom.unit_of(facts(unit))
