"""Writing of a restored volume as a DICOM series of derived images.

    Volume, kept data sets ─ planes in, new UIDs, DERIVED, lossy ─▶ slice_0001.dcm …
                             (one object where the source was one)

Lossy compression makes a derived image (PS3.3 C.7.6.1.1.5, C.12.4). It gets new instance and
series UIDs and *Image Type* DERIVED. *Lossy Image Compression* is 01, and ratio and method are
appended to previous ones. A lossless file leaves these attributes as they were in the source. Two
restorations of one file have equal UIDs, since they are equal.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deepstd.errors import InputError, UnsupportedFormatError
from deepstd.io.dicom.classes import is_dose
from deepstd.io.dicom.header import Facts, datasets_of, facts_of
from deepstd.io.dicom.images import LOSSY, require_pydicom, silenced
from deepstd.io.dicom.layout import Layout
from deepstd.io.dicom.planes import planes_of
from deepstd.io.dicom.projection import spacing_keyword
from deepstd.io.dicom.read import NAME
from deepstd.io.dicom.scales import FrameScale
from deepstd.io.dicom.tiles import one_a_slice, side_by_side
from deepstd.io.metadata import Metadata
from deepstd.volume import Derivation, Volume

if TYPE_CHECKING:
    from pydicom import Dataset

SUFFIX = ".dcm"
_METHOD = "DEEPSTD"
_NAMES = re.compile(r"slice_[0-9]{4,}\.dcm")
_MOST_PIXEL_BYTES = (1 << 32) - 2  # 32-bit length of an element
_MOST_TEXT = 1024  # characters of Derivation Description
_PIXEL_DATA = 0x7FE00010
_MOST_PADDING_BYTES = 2  # of US and SS
_RAS_TO_LPS = np.array([-1.0, -1.0, 1.0])
_CLASSES = {
    "CT": "1.2.840.10008.5.1.4.1.1.2",
    "MR": "1.2.840.10008.5.1.4.1.1.4",
    "CR": "1.2.840.10008.5.1.4.1.1.1",
}
_OTHER_CLASS = "1.2.840.10008.5.1.4.1.1.7"  # Secondary Capture
# Attributes that must be present but may be empty (type 2 of PS3.3 C.7.1.1, C.7.2.1, C.7.3.1).
_MAY_BE_EMPTY = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
    "StudyID",
    "SeriesNumber",
)


def is_written(name: str) -> bool:
    """Return whether `write_series` gives a file such a name."""
    return _NAMES.fullmatch(name) is not None


def write_series(volume: Volume, folder: Path, derivation: Derivation | None) -> None:
    """Write one file a slice, or one for all where the source was one object.

    Args:
        volume: read from DICOM, or restored from a .dstd file of a DICOM series.
        folder: existing empty folder.
        derivation: processing of the voxels; None where there was none.

    Raises:
        UnsupportedFormatError: the volume did not come from DICOM.
        InputError: its header is damaged, or does not fit its voxels.
    """
    with silenced():
        for number, dataset in enumerate(_objects(volume, derivation), 1):
            _save(dataset, folder / f"slice_{number:04d}{SUFFIX}")


def write_object(volume: Volume, path: Path, derivation: Derivation | None) -> None:
    """Write a volume that is one DICOM object to a file.

    Args:
        volume: read from DICOM, or restored from a .dstd file of a DICOM series.
        path: file to write.
        derivation: processing of the voxels; None where there was none.

    Raises:
        UnsupportedFormatError: the volume is a series of several objects, or did not come from
            DICOM.
        InputError: its header is damaged, or does not fit its voxels.
    """
    with silenced():
        objects = _objects(volume, derivation)
        if len(objects) != 1:
            raise UnsupportedFormatError(
                f"a series of {len(objects)} DICOM objects cannot be one file. Give a folder as "
                "output"
            )
        _save(objects[0], path)


def _objects(volume: Volume, derivation: Derivation | None) -> list[Dataset]:
    if volume.source.format != NAME:
        raise UnsupportedFormatError(
            f"a scan from {volume.source.format} has no DICOM data sets. Write it as .nii.gz"
        )
    require_pydicom()
    facts = facts_of(volume.source.raw)
    kept = datasets_of(volume.source.raw)
    planes = _planes(volume, facts)
    if not kept and facts.is_written_from_data_sets:
        raise UnsupportedFormatError(
            "the DICOM data set of a multi-frame object, dose or segmentation was not kept "
            "(--drop-metadata). Write it as .nii.gz"
        )
    if facts.layout is not None:
        datasets = [_segmentation(facts.layout, facts, kept, planes)]
    elif facts.order is not None:
        datasets = [_multi_frame(facts, kept, planes)]
    elif kept and facts.tiles is not None:
        datasets = _mosaics(volume, facts, kept, planes)
    else:
        datasets = _single_frames(volume, facts, kept, planes)
    digest = hashlib.sha256()
    for plane in planes:
        digest.update(np.ascontiguousarray(plane).data)
    for number, dataset in enumerate(datasets, 1):
        if derivation is not None:
            _derive(dataset, derivation)
        _identify(dataset, facts, digest.hexdigest(), number)
    return datasets


def _planes(volume: Volume, facts: Facts) -> list[np.ndarray]:
    """Return (row, column) planes of stored values, ordered by slice and then by time point."""
    planes = planes_of(volume.voxels)
    if facts.stored is not None:
        if len(facts.stored) != len(planes):
            raise InputError(f"{len(facts.stored)} scales were kept for {len(planes)} slices")
        slope, intercept = np.float64(facts.slope), facts.intercept
        both = zip(planes, facts.stored, strict=True)
        planes = [scale.stored(plane * slope + intercept) for plane, scale in both]
    elif volume.voxels.dtype.kind not in "iu":
        raise UnsupportedFormatError(
            f"voxels of type {volume.voxels.dtype} are no stored values of DICOM. Write .nii.gz"
        )
    return planes if volume.affine is None else [plane.T for plane in planes]


def _mosaics(
    volume: Volume, facts: Facts, kept: list[Dataset], planes: list[np.ndarray]
) -> list[Dataset]:
    """Return mosaics where their private header was kept, else a data set a slice."""
    if len(kept) * (facts.tiles or 1) != len(planes):
        raise InputError(f"{len(kept)} DICOM mosaics were kept for {len(planes)} slices")
    if facts.metadata == Metadata.ALL:
        return _single_frames(volume, facts, kept, side_by_side(planes, len(kept)))

    def set_place(dataset: Dataset, number: int) -> None:
        _set_place(dataset, volume, facts, number)

    slices = one_a_slice(kept, len(planes) // len(kept), set_place)
    return _single_frames(volume, facts, slices, planes)


def _single_frames(
    volume: Volume, facts: Facts, kept: list[Dataset], planes: list[np.ndarray]
) -> list[Dataset]:
    if kept and len(kept) != len(planes):
        raise InputError(f"{len(kept)} DICOM data sets were kept for {len(planes)} slices")
    datasets = kept or [_plain(volume, facts, number) for number in range(len(planes))]
    for number, (dataset, plane) in enumerate(zip(datasets, planes, strict=True)):
        if dataset.get("InstanceNumber") is None:
            dataset.InstanceNumber = number + 1
        # A mosaic has the scale of its first slice at its time point.
        scale = None if facts.stored is None else facts.stored[number]
        _set_pixels(dataset, plane, facts, facts.bits if scale is None else scale.bits)
        if scale is None:
            _set_scale(dataset, facts.slope, facts.intercept, facts)
            continue
        _set_scale(dataset, scale.slope, scale.intercept, facts)
        if not kept:
            _set_padding(dataset, scale)
    return datasets


def _multi_frame(facts: Facts, kept: list[Dataset], planes: list[np.ndarray]) -> Dataset:
    order = facts.order or []
    if len(kept) != 1 or len(order) != len(planes):
        raise InputError(f"{len(order)} frames were described for {len(planes)} slices")
    dataset = kept[0]
    bits = facts.bits
    _set_pixels(dataset, np.stack([planes[n] for n in np.argsort(order)]), facts, bits)
    dataset.NumberOfFrames = len(planes)
    if facts.stored is not None:
        return dataset  # each frame is on the scale that its functional group states
    scaled = [
        items[0]
        for group in _functional_groups(dataset)
        if (items := group.get("PixelValueTransformationSequence"))
    ]
    for part in scaled or [dataset]:
        _set_scale(part, facts.slope, facts.intercept, facts)
    return dataset


def _segmentation(
    layout: Layout, facts: Facts, kept: list[Dataset], planes: list[np.ndarray]
) -> Dataset:
    if len(kept) != 1:
        raise InputError(f"{len(kept)} DICOM data sets were kept for one segmentation")
    dataset, frames = kept[0], layout.frames(planes)
    _set_pixels(dataset, frames, facts, facts.bits)
    dataset.NumberOfFrames = len(frames)
    if layout.bits == 1:
        dataset.BitsAllocated = dataset.BitsStored = 1
        dataset.HighBit = 0
        packed = np.packbits(frames, bitorder="little").tobytes()
        dataset.PixelData = packed + bytes(len(packed) % 2)
    return dataset


def _functional_groups(dataset: Dataset) -> list[Dataset]:
    keywords = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
    sequences: list[Any] = [dataset.get(keyword) or [] for keyword in keywords]
    return [group for sequence in sequences for group in sequence]


def _plain(volume: Volume, facts: Facts, number: int) -> Dataset:
    """Return a data set for a slice whose own was not kept."""
    from pydicom import Dataset

    dataset = Dataset()
    dataset.InstanceNumber = number + 1
    dataset.Modality = facts.modality if facts.modality != "?" else "OT"
    dataset.PhotometricInterpretation = facts.photometric
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    dataset.PatientIdentityRemoved = "YES"
    if facts.lossy:
        dataset.LossyImageCompression = LOSSY
    _set_place(dataset, volume, facts, number)
    return dataset


def _set_place(dataset: Dataset, volume: Volume, facts: Facts, number: int) -> None:
    affine = volume.affine
    if affine is None:
        if facts.spacing is not None:
            keyword = spacing_keyword(facts.sop_class)
            setattr(dataset, keyword, [_decimal(x) for x in facts.spacing])
        return
    columns = affine[:3] * _RAS_TO_LPS[:, None]
    sizes = np.linalg.norm(columns, axis=0)
    if facts.assumed:
        dataset.PixelSpacing = [_decimal(sizes[1]), _decimal(sizes[0])]
        dataset.SpacingBetweenSlices = _decimal(sizes[2])
        return
    moments = volume.shape[3] if len(volume.shape) == 4 else 1
    slice_ = number // moments
    position = columns[:, 3] + slice_ * columns[:, 2]
    if facts.positions is not None:
        position = np.asarray(facts.positions[slice_])
    axes = np.concatenate([columns[:, 0] / sizes[0], columns[:, 1] / sizes[1]])
    dataset.ImageOrientationPatient = [_decimal(x) for x in axes]
    dataset.ImagePositionPatient = [_decimal(x) for x in position]
    dataset.PixelSpacing = [_decimal(sizes[1]), _decimal(sizes[0])]
    dataset.SliceThickness = _decimal(sizes[2])


def _decimal(value: float) -> Any:
    """Return a number in the 16 characters of a decimal string (DS)."""
    from pydicom.valuerep import DSfloat

    return DSfloat(float(value), auto_format=True)


def _set_pixels(dataset: Dataset, pixels: np.ndarray, facts: Facts, bits: int) -> None:
    """Set pixels of shape ([frames,] rows, columns), uncompressed, in ``bits`` bits or more."""
    if pixels.nbytes > _MOST_PIXEL_BYTES:
        raise UnsupportedFormatError("more than 4 GiB of pixels for one object. Write .nii.gz")
    stored = pixels.dtype
    # Restored values may lie outside the range that the scanner used.
    largest = max(abs(int(pixels.max())), abs(int(pixels.min()) + (stored.kind == "i")))
    bits = max(bits, largest.bit_length() + (stored.kind == "i"))
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = facts.photometric
    dataset.Rows, dataset.Columns = pixels.shape[-2:]
    dataset.BitsAllocated = 8 * stored.itemsize
    dataset.BitsStored, dataset.HighBit = bits, bits - 1
    dataset.PixelRepresentation = int(stored.kind == "i")
    data = np.ascontiguousarray(pixels, dtype=stored.newbyteorder("<")).tobytes()
    even = data + bytes(len(data) % 2)
    dataset.add_new(_PIXEL_DATA, "OB" if stored.itemsize == 1 else "OW", even)


def _set_scale(dataset: Dataset, slope: float, intercept: float, facts: Facts) -> None:
    if "ModalityLUTSequence" in dataset or is_dose(facts.sop_class):
        return  # the table, or Dose Grid Scaling, states the same scale
    told = "RescaleSlope" in dataset or "RescaleIntercept" in dataset
    # Data sets of slices on different scales do not hold the scale.
    if told or facts.stored is not None or slope != 1.0 or intercept != 0.0:
        dataset.RescaleSlope = _decimal(slope)
        dataset.RescaleIntercept = _decimal(intercept)
        if "RescaleType" not in dataset:
            dataset.RescaleType = "HU" if facts.modality == "CT" else "US"


def _set_padding(dataset: Dataset, scale: FrameScale) -> None:
    """Set the padding values of a slice whose data set was not kept, in the sign of its pixels."""
    kind = "SS" if scale.dtype.kind == "i" else "US"
    if scale.dtype.itemsize <= _MOST_PADDING_BYTES:
        told = (("PixelPaddingValue", scale.padding), ("PixelPaddingRangeLimit", scale.limit))
        for keyword, value in told:
            if value is not None:
                dataset.add_new(keyword, kind, value)


def _derive(dataset: Dataset, derivation: Derivation) -> None:
    """Mark the image as derived, and describe the derivation."""
    dataset.ImageType = _derived_type(dataset.get("ImageType") or ["", "PRIMARY"])
    for group in _functional_groups(dataset):
        for element in group:
            if element.VR == "SQ" and element.value and "FrameType" in element.value[0]:
                element.value[0].FrameType = _derived_type(element.value[0].FrameType)
    dataset.LossyImageCompression = LOSSY
    _append(dataset, "LossyImageCompressionRatio", f"{derivation.ratio:.6g}")
    _append(dataset, "LossyImageCompressionMethod", _METHOD)
    before = str(dataset.get("DerivationDescription") or "")
    told = f"{before}; {derivation.method}" if before else derivation.method
    dataset.DerivationDescription = told[-_MOST_TEXT:]
    _add_code(dataset)


def _derived_type(values: Any) -> list[str]:
    return ["DERIVED", *list(values)[1:]] if not isinstance(values, str) else ["DERIVED"]


def _append(dataset: Dataset, keyword: str, value: str) -> None:
    before: Any = dataset.get(keyword)
    if before is None or before == "":
        setattr(dataset, keyword, value)
    else:
        several = [before] if isinstance(before, str | float | int) else list(before)
        setattr(dataset, keyword, [*several, value])


def _add_code(dataset: Dataset) -> None:
    from pydicom import Dataset as NewDataset

    code = NewDataset()
    code.CodeValue, code.CodingSchemeDesignator = "113040", "DCM"
    code.CodeMeaning = "Lossy Compression"
    dataset.DerivationCodeSequence = [*(dataset.get("DerivationCodeSequence") or []), code]


def _identify(dataset: Dataset, facts: Facts, digest: str, number: int) -> None:
    """Set new UIDs, and attributes that must be present but may be empty."""
    from pydicom import Dataset as NewDataset
    from pydicom.uid import generate_uid

    dataset.SOPClassUID = facts.sop_class or _CLASSES.get(facts.modality, _OTHER_CLASS)
    study, series, source = (
        str(dataset.get(keyword) or "")
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    )
    if source:
        reference = NewDataset()
        reference.ReferencedSOPClassUID = dataset.SOPClassUID
        reference.ReferencedSOPInstanceUID = source
        dataset.SourceImageSequence = [reference]
    for keyword in _MAY_BE_EMPTY:
        if keyword not in dataset:
            setattr(dataset, keyword, None)
    entropy = ["deepstd", study, series, digest]
    dataset.StudyInstanceUID = study or generate_uid(entropy_srcs=[*entropy, "study"])
    dataset.SeriesInstanceUID = generate_uid(entropy_srcs=[*entropy, "series"])
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=[*entropy, str(number)])


def _save(dataset: Dataset, path: Path) -> None:
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta = meta
    dataset.save_as(path, enforce_file_format=True, implicit_vr=False, little_endian=True)
