"""Attributes of text, names, dates, identifiers and bytes that de-identification keeps.

All other attributes of these value representations are removed, so that an attribute which no
table lists cannot leak. Numbers and code strings are not listed: they are kept unless the profile
or their group demands otherwise.
"""

from __future__ import annotations

from functools import cache

_EQUIPMENT = (
    "Manufacturer",
    "ManufacturerModelName",
    "SoftwareVersions",
    "SecondaryCaptureDeviceManufacturer",
    "SecondaryCaptureDeviceManufacturerModelName",
    "SecondaryCaptureDeviceSoftwareVersions",
    "DetectorManufacturerName",
    "DetectorManufacturerModelName",
)
_GREY_SCALE = (
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
)
_GEOMETRY = (
    "PositionReferenceIndicator",
    "StackID",
    "DimensionDescriptionLabel",
)
_ACQUISITION = (
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
)
KEPT = (*_EQUIPMENT, *_GREY_SCALE, *_GEOMETRY, *_ACQUISITION)
# Kept in an item whose coding scheme is one of the standard's; a local scheme may code people.
CODE = (
    "CodeValue",
    "LongCodeValue",
    "URNCodeValue",
    "CodingSchemeDesignator",
    "CodingSchemeVersion",
    "CodeMeaning",
)
# Registered in PS3.16 section 8.
_TERMS = ("DCM", "SCT", "SRT", "SNM3", "99SDM", "LN", "FMA", "MSH", "NCIt", "NEU", "RADLEX", "UMLS")
_SUBSTANCES = ("RXNORM", "PUBCHEM_CID", "NDC")
_OTHERS = ("UCUM", "IBSI", "MDC", "BARI", "I10", "ITIS_TSN")
PUBLIC_SCHEMES = frozenset((*_TERMS, *_SUBSTANCES, *_OTHERS))


@cache
def kept_tags() -> frozenset[int]:
    """Return the tags of `KEPT`."""
    return _tags(KEPT)


@cache
def code_tags() -> frozenset[int]:
    """Return the tags of `CODE`."""
    return _tags(CODE)


def _tags(keywords: tuple[str, ...]) -> frozenset[int]:
    from pydicom.datadict import tag_for_keyword

    return frozenset(tag for tag in map(tag_for_keyword, keywords) if tag is not None)
