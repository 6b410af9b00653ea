"""De-identification, attribute by attribute of pydicom's dictionary."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pydicom = pytest.importorskip("pydicom", reason="needs pydicom: pip install 'deepstd[dicom]'")

from pydicom import Dataset, Sequence  # noqa: E402  after the check that it is there
from pydicom._dicom_dict import DicomDictionary, RepeatersDictionary  # noqa: E402
from pydicom.dataelem import DataElement  # noqa: E402
from pydicom.uid import UID, generate_uid  # noqa: E402

from deepstd import io  # noqa: E402
from deepstd.io.dicom.privacy import deidentify  # noqa: E402
from deepstd.io.dicom.tables import pack_datasets, unpack_datasets  # noqa: E402

# Kept on purpose, first the equipment:
EQUIPMENT = {
    "Manufacturer",
    "ManufacturerModelName",
    "SoftwareVersions",
    "SecondaryCaptureDeviceManufacturer",
    "SecondaryCaptureDeviceManufacturerModelName",
    "SecondaryCaptureDeviceSoftwareVersions",
    "DetectorManufacturerName",
    "DetectorManufacturerModelName",
}
# The scale of the values, and how they are shown:
GREY_SCALE = {
    "RescaleType",
    "WindowCenterWidthExplanation",
    "ModalityLUTType",
    "LUTExplanation",
    "LUTLabel",
    "LUTData",
    "RedPaletteColorLookupTableData",
    "GreenPaletteColorLookupTableData",
    "BluePaletteColorLookupTableData",
    "PixelSpacingCalibrationDescription",
}
# Where the frames lie, and which belong together:
GEOMETRY = {"PositionReferenceIndicator", "StackID", "DimensionDescriptionLabel"}
# Acquisition and reconstruction, in words that the equipment sets:
ACQUISITION = {
    "AcquisitionMode",
    "AcquisitionDeviceProcessingCode",
    "ApplicableSafetyStandardDescription",
    "ASLBolusCutoffTechnique",
    "ASLCrusherDescription",
    "ASLTechniqueDescription",
    "AttenuationCorrectionMethod",
    "CardiacFramingType",
    "CollimatorGridName",
    "ContrastBolusRoute",
    "ConvolutionKernel",
    "DetectorLinesOfResponseUsed",
    "DetectorMode",
    "DoseModeName",
    "EnergyWindowName",
    "ExposureControlModeDescription",
    "FieldOfViewDescription",
    "FilterType",
    "GridAbsorbingMaterial",
    "GridSpacingMaterial",
    "ImagedNucleus",
    "ImageFilter",
    "MultiCoilConfiguration",
    "MultiCoilElementName",
    "OutputPower",
    "PaddleDescription",
    "PhosphorType",
    "PlateType",
    "ProcessingFunction",
    "PulseSequenceName",
    "PVCRejection",
    "Radionuclide",
    "Radiopharmaceutical",
    "RadiopharmaceuticalRoute",
    "ReceiveCoilManufacturerName",
    "ReceiveCoilName",
    "ReconstructionMethod",
    "ScatterCorrectionMethod",
    "SequenceName",
    "TransducerData",
    "TransmitCoilManufacturerName",
    "TransmitCoilName",
    "TriggerSourceOrType",
    "TypeOfFilters",
}
# The kind of object, without which nothing can be read:
CLASS = {"SOPClassUID"}
KEPT = EQUIPMENT | GREY_SCALE | GEOMETRY | ACQUISITION | CLASS

# Values of these may name a person, a place, a time or an order. Numbers and codes do not.
TEXT = ("AE", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT", "UN")
TIMES = ("AS", "DA", "DT", "TM")
BYTES = ("OB", "OD", "OF", "OL", "OV", "OW")
IDENTIFYING = (*TEXT, *TIMES, *BYTES, "UI")
# Numbers and codes of these groups are about a patient, a visit, an order, a report or a film.
OTHER_GROUPS = {0x0010, 0x0032, 0x0038, 0x4008, 0x4010, 0x0072, 0x0074, 0x2000, 0x2010, 0x2100}
OTHERS = {"OtherStudyNumbers", "ReportNumber", "ModifiedImageID", "SourceImageIDs"}
OVERLAYS = (0x5000, 0x6000)


def attributes() -> Iterator[tuple[int, str, str]]:
    """Tag, value representation and keyword of everything a data set may hold."""
    for tag, (vr, _, _, _, keyword) in DicomDictionary.items():
        if tag >> 16 >= 8:
            yield tag, {"US or OW": "OW", "OB or OW": "OW"}.get(vr, vr), keyword
    for mask, (vr, _, _, _, keyword) in RepeatersDictionary.items():
        yield int(mask.replace("x", "0"), 16), {"OB or OW": "OW"}.get(vr, vr), keyword


def marker(tag: int, vr: str) -> bytes | None:
    """The text to look for in the stored bytes, which no other value has; None without one."""
    if vr in TEXT:
        return f"Doe{tag:08X}".encode()
    if vr in BYTES:
        return f"<{tag:014X}>".encode()
    if vr == "CS":
        return f"DOE{tag:08X}".encode()
    if vr in ("IS", "DS"):
        return f"4{tag:010d}"[-9:].encode()
    if vr == "UI":
        return f"1.2.4711.{tag}".encode()
    return {"DA": b"19610203", "TM": b"235947", "DT": b"19610203235947", "AS": b"047Y"}.get(vr)


def planted(tags: list[tuple[int, str, str]]) -> Dataset:
    """A data set with a marker in every attribute, and in every attribute of a nested item."""
    dataset, item = Dataset(), Dataset()
    for tag, vr, _ in tags:
        value = marker(tag, vr)
        if value is not None:
            text = value if vr in (*BYTES, "UN") else value.decode()
            for place in (dataset, item):
                place.add(DataElement(tag, vr, text, validation_mode=pydicom.config.IGNORE))
    # A functional group, which the profile does not touch, and in it another item.
    outer = Dataset()
    outer.FrameContentSequence = Sequence([item])
    dataset.PerFrameFunctionalGroupsSequence = Sequence([outer])
    return dataset


def survivors(raw: bytes, tags: list[tuple[int, str, str]]) -> set[str]:
    """Keywords, or tags where there is none, of the attributes whose marker is in stored bytes."""
    found = set()
    for tag, vr, keyword in tags:
        value = marker(tag, vr)
        if value is not None and value in raw:
            found.add(keyword or f"{tag:08X}")
    return found


def test_of_all_attributes_that_may_identify_only_listed_ones_are_kept() -> None:
    tags = [entry for entry in attributes() if entry[1] in IDENTIFYING]
    assert len(tags) > 1000
    dataset = planted(tags)
    assert len(survivors(pack_datasets([dataset]), tags)) == len({t for t, v, _ in tags})
    deidentify(dataset)
    assert survivors(pack_datasets([dataset]), tags) == KEPT


@pytest.mark.parametrize("vr", [*TIMES, "PN", "AE", "UR", "UN"])
def test_no_date_name_or_address_is_kept_whatever_the_attribute(vr: str) -> None:
    tags = [entry for entry in attributes() if entry[1] == vr]
    dataset = planted([*tags, (0x00091001, vr, ""), (0x00189FFE, vr, "")])
    deidentify(dataset)
    value = marker(tags[0][0], vr) if tags and vr in TIMES else b"Doe"
    assert value is not None
    assert value not in pack_datasets([dataset])


def test_numbers_and_codes_are_kept_but_for_those_of_patients_and_orders() -> None:
    tags = [entry for entry in attributes() if entry[1] in ("CS", "IS", "DS")]
    tags = [entry for entry in tags if entry[2] != "SpecificCharacterSet"]  # of the text itself
    dataset = planted(tags)
    deidentify(dataset)
    kept = survivors(pack_datasets([dataset]), tags)
    gone = {keyword: tag for tag, _, keyword in tags if keyword not in kept}
    drawn = {k for k, tag in gone.items() if tag >> 16 & 0xFF00 in OVERLAYS}
    others = {k for k, tag in gone.items() if tag >> 16 in OTHER_GROUPS}
    assert others >= {"PatientAlternativeCalendar", "TypeOfPatientID", "StudyPriorityID"}
    assert others == {k for tag, _, k in tags if tag >> 16 in OTHER_GROUPS}
    assert gone.keys() >= OTHERS
    assert "OverlayType" in drawn
    assert kept >= {
        "ImageType",
        "KVP",
        "EchoTime",
        "RepetitionTime",
        "PatientPosition",
        "PixelSpacing",
        "RescaleSlope",
        "WindowCenter",
        "WindowWidth",
        "SliceThickness",
        "InstanceNumber",
        "PhotometricInterpretation",
        "BodyPartExamined",
    }


def test_an_attribute_that_the_dictionary_lacks_is_kept_only_if_it_is_a_number() -> None:
    dataset = Dataset()
    for element, vr in enumerate((*TEXT, *BYTES, "CS")):
        dataset.add_new(0x00189F00 + element, vr, b"DOE1" if vr in (*BYTES, "UN") else "DOE1")
    dataset.add_new(0x00189F80, "FD", 1.5)
    deidentify(dataset)
    assert b"DOE1" not in pack_datasets([dataset])
    assert dataset[0x00189F80].value == 1.5


def test_a_number_that_a_file_writes_as_text_is_text() -> None:
    dataset = Dataset()
    dataset.add(DataElement(0x00180050, "LO", "Doe^Jane"))
    deidentify(dataset)
    assert b"Doe" not in pack_datasets([dataset])


def test_uids_are_hashed_but_for_those_that_the_standard_defines() -> None:
    tags = [(tag, vr, k) for tag, vr, k in attributes() if vr == "UI"]
    dataset = planted(tags)
    deidentify(dataset)
    raw = pack_datasets([dataset])
    assert survivors(raw, tags) == CLASS
    assert b"1.2.4711." not in raw.replace(marker(0x00080016, "UI") or b"", b"")
    known = "1.2.840.10008.5.1.4.1.1.2"
    assert UID(known).name == "CT Image Storage"
    dataset = Dataset()
    dataset.ReferencedSOPClassUID, dataset.StorageMediaFileSetUID = known, "1.2.3"
    dataset.TargetFrameOfReferenceUID = ["1.2.840.10008.1.4.1.1", "1.2.3.4"]
    deidentify(dataset)
    assert dataset.ReferencedSOPClassUID == known
    first, second = dataset.TargetFrameOfReferenceUID
    assert first == "1.2.840.10008.1.4.1.1"
    assert second == generate_uid(entropy_srcs=["deepstd", "1.2.3.4"])


@pytest.mark.parametrize(
    ("scheme", "kept"), [("SCT", True), ("UCUM", True), ("99HOSPITAL", False), (None, False)]
)
def test_codes_of_a_local_scheme_lose_what_they_say(scheme: str | None, kept: bool) -> None:
    item = Dataset()
    item.CodeValue, item.CodeMeaning = "4711", "Nurse Doe"
    if scheme is not None:
        item.CodingSchemeDesignator = scheme
    dataset = Dataset()
    dataset.HumanPerformerCodeSequence = Sequence([item])
    deidentify(dataset)
    raw = pack_datasets([dataset])
    assert (b"4711" in raw, b"Nurse Doe" in raw) == (kept, kept)


def test_what_restoring_needs_is_kept() -> None:
    dataset = Dataset()
    mapping, units = Dataset(), Dataset()
    units.CodeValue, units.CodingSchemeDesignator, units.CodeMeaning = "Bq/ml", "UCUM", "Bq/ml"
    mapping.LUTLabel, mapping.RealWorldValueSlope = "SUV", 0.5
    mapping.MeasurementUnitsCodeSequence = Sequence([units])
    dataset.RealWorldValueMappingSequence = Sequence([mapping])
    dataset.WindowCenter, dataset.WindowWidth = [40, -600], [400, 1500]
    dataset.WindowCenterWidthExplanation = ["SOFT", "LUNG"]
    dataset.RescaleType, dataset.ConvolutionKernel = "HU", ["Br40d", "3"]
    dataset.StudyInstanceUID = dataset.FrameOfReferenceUID = "1.2.3"
    deidentify(dataset)
    (back,) = unpack_datasets(pack_datasets([dataset]), 1)
    assert back.RealWorldValueMappingSequence[0].LUTLabel == "SUV"
    kept = back.RealWorldValueMappingSequence[0].MeasurementUnitsCodeSequence[0]
    assert (kept.CodeValue, kept.CodeMeaning) == ("Bq/ml", "Bq/ml")
    assert list(back.WindowCenterWidthExplanation) == ["SOFT", "LUNG"]
    assert (back.RescaleType, list(back.ConvolutionKernel)) == ("HU", ["Br40d", "3"])
    assert back.StudyInstanceUID == back.FrameOfReferenceUID != "1.2.3"


def test_the_stored_header_of_a_file_with_all_attributes(
    make_slice: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same through reading a file, which decides the value representations itself."""
    tags = [entry for entry in attributes() if entry[1] in IDENTIFYING]
    dataset = make_slice(np.zeros((4, 4), np.int16))
    needed = {"SOPClassUID", "PixelData", "FloatPixelData", "DoubleFloatPixelData"}
    tags = [(tag, vr, keyword) for tag, vr, keyword in tags if keyword not in needed]
    dataset.update(planted(tags))
    del dataset.PerFrameFunctionalGroupsSequence
    nested = Dataset()
    nested.FrameContentSequence = planted(tags).PerFrameFunctionalGroupsSequence
    dataset.PlaneOrientationSequence = Sequence([nested])
    monkeypatch.setattr(pydicom.config.settings, "writing_validation_mode", pydicom.config.IGNORE)
    dataset.save_as(tmp_path / "a", enforce_file_format=True)
    everything = io.read(tmp_path / "a", metadata=io.Metadata.ALL).source.raw
    assert len(survivors(everything, tags)) > 0.9 * len(tags)
    raw = io.read(tmp_path / "a").source.raw
    assert survivors(raw, tags) == KEPT - CLASS
    assert survivors(io.read(tmp_path / "a", metadata=io.Metadata.NONE).source.raw, tags) == set()
