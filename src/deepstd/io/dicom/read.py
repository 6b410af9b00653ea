"""Reading of a DICOM series into a volume.

    paths ─ items ─ find, choose ─▶ Series ─ arrange ─▶ Grid
    Series of a segmentation ─ segmented ─▶ voxels (column, row, slice[, segment])
    Grid ─ decode ─▶ planes ┬ on one scale ─▶ voxels (column, row, slice[, time point])
                            └ on different scales ─ joint ─▶ voxels
    data sets ─ de-identify ─▶ SourceHeader("dicom")

Voxels are stored values: before slope and intercept, MONOCHROME1 not inverted. Frames may differ in
slope, intercept, sign or depth. Voxels are then integers on a scale that holds them all exactly, or
else real-world values. Frames without a position in the patient (X-ray projections) have axes (row,
column[, frame]), as images have.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from deepstd.errors import DeepSTDError
from deepstd.io.dicom import privacy
from deepstd.io.dicom.frames import Frame
from deepstd.io.dicom.grid import Grid, arrange
from deepstd.io.dicom.header import Facts, pack, stated_unit
from deepstd.io.dicom.images import LOSSY, pixels, silenced, text, was_lossy
from deepstd.io.dicom.items import Item, expanded
from deepstd.io.dicom.joint import joined, same_scale
from deepstd.io.dicom.multiframe import keep_frames
from deepstd.io.dicom.named_tags import tags_named
from deepstd.io.dicom.planes import planes_of
from deepstd.io.dicom.projection import projection_of
from deepstd.io.dicom.scales import scale_of_frame
from deepstd.io.dicom.segments import complete, segmented
from deepstd.io.dicom.series import Found, Series, choose, find, only_refusal
from deepstd.io.dicom.units import common_unit
from deepstd.io.metadata import Deidentification, KeptMetadata, Metadata, level_of
from deepstd.volume import SourceHeader, Volume

if TYPE_CHECKING:
    from pydicom import Dataset

NAME = "dicom"
_SEGMENTATION = "SEG"  # modality, also of segmentations that are stored as plain images
# Elements that describe or count the pixels, which are not kept, sign them, or show them small.
_DROPPED = (
    "PixelData",
    "FloatPixelData",
    "DoubleFloatPixelData",
    "SmallestImagePixelValue",
    "LargestImagePixelValue",
    "SmallestPixelValueInSeries",
    "LargestPixelValueInSeries",
    "SmallestImagePixelValueInPlane",
    "LargestImagePixelValueInPlane",
    "HistogramSequence",
    "DataSetTrailingPadding",
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
    "IconImageSequence",
    "DigitalSignaturesSequence",
    "MACParametersSequence",
    "PixelDataProviderURL",
)
_INSTANCE = 0x00080018  # SOP Instance UID: restored objects have their own
# Elements that the facts hold for each slice where slices are on different scales.
_IN_FACTS = ("RescaleSlope", "RescaleIntercept")


def read(
    paths: Sequence[Path],
    series: str | None = None,
    metadata: KeptMetadata = Metadata.DEIDENTIFIED,
) -> Volume:
    """Read one series.

    Args:
        paths: files, folders or zip archives that hold the series.
        series: id of the series, where the paths hold several.
        metadata: amount of metadata to keep of the data sets besides geometry and grey scale.

    Raises:
        InputError: no series, several, or one with missing, double or damaged slices.
        UnsupportedFormatError: colour, or not an image.
        MissingExtraError: pydicom or a decoder is not installed.
    """
    where = str(paths[0]) if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"
    with expanded(paths) as items:
        return _one_of(find(items), series, metadata, where)


def read_items(
    items: Sequence[Item], series: str | None, metadata: KeptMetadata, where: str
) -> Volume:
    """Read one series of files and members of archives.

    Args:
        items: files and members of the series and no others.
        series: id of the series.
        metadata: amount of metadata to keep of the data sets besides geometry and grey scale.
        where: name of the series in messages.

    Raises:
        InputError: no series, several, or one with missing, double or damaged slices.
        UnsupportedFormatError: colour, or not an image.
        MissingExtraError: pydicom or a decoder is not installed.
    """
    return _one_of(find(items), series, metadata, where)


def _one_of(found: Found, series: str | None, metadata: KeptMetadata, where: str) -> Volume:
    refusal = only_refusal(found)
    if refusal is not None:
        raise refusal
    chosen = choose(found, series, where)
    damaged = chosen.damaged or found.unreadable
    if damaged:
        raise next(iter(damaged.values()))
    try:
        with silenced():
            if chosen.image.is_segmentation:
                return _segmentation(chosen, metadata)
            return _volume(chosen, arrange(chosen.frames), metadata)
    except DeepSTDError as error:
        named = any(item.label in str(error) for item in chosen.items)
        raise error if named else type(error)(f"{where}: {error}") from error


def _volume(series: Series, grid: Grid, metadata: KeptMetadata) -> Volume:
    frames = [frame for place in grid.frames for frame in place]
    scales = [scale_of_frame(frame) for frame in frames]
    image, sop_class = series.image, text(series.image.dataset, "SOPClassUID")
    notes = grid.notes
    source_nbytes, loss = None, ""
    padding: tuple[int, ...] = ()
    if same_scale(scales):
        voxels = _voxels(grid, image.dtype, _planes(frames))
        slope, intercept, stored = frames[0].slope, frames[0].intercept, None
        # Where a padding range is declared, scanners write one of its ends.
        ends = (end for scale in scales for end in (scale.padding, scale.limit))
        padding = tuple(dict.fromkeys(end for end in ends if end is not None))
    else:
        planes = [plane for _, plane in sorted(_planes(frames), key=lambda one: one[0])]
        joint = joined(planes, scales)
        both = list(zip(planes, joint.scales, strict=True))
        voxels = _voxels(grid, joint.dtype, enumerate(joint.voxels(*one) for one in both))
        changed = sum(joint.changed(*one) for one in both)
        if changed:
            loss = (
                f"the slices are on different grey scales, and {changed} voxels, such as those in "
                "a range of padding values, are not kept exactly"
            )
        slope, intercept, stored = joint.slope, joint.intercept, joint.scales
        nbytes = sum(plane.nbytes for plane in planes)
        source_nbytes = None if nbytes == voxels.nbytes else nbytes
        notes += joint.notes
    projected = projection_of(frames[0]) if grid.affine is None else None
    notes += () if projected is None else projected.notes
    order = _order(frames)
    told_apart = stored is not None and order is None
    unit = common_unit(frames)  # before data sets are reduced to the kept elements
    lossy = any(was_lossy(frame.image.dataset) for frame in frames) or None
    kept = _kept(frames, metadata, _DROPPED + _IN_FACTS if told_apart else _DROPPED)
    facts = Facts(
        None if grid.affine is None else grid.affine[:3].tolist(),
        None if grid.positions is None else grid.positions.tolist(),
        None if projected is None else projected.spacing,
        slope,
        intercept,
        image.photometric,
        max(scale.bits for scale in scales),
        image.modality,
        sop_class,
        str(level_of(metadata)),
        order,
        len(kept),
        image.frames if image.grid > 1 else None,
        grid.assumed or None,
        stored,
        None if projected is None else projected.between,
        stated_unit(unit, sop_class),
        lossy,
    )
    if image.photometric == "MONOCHROME1":
        notes += ("dark is bright in these pixels (MONOCHROME1): stored as they are",)
    header = SourceHeader(NAME, pack(facts, kept))
    labels = image.modality == _SEGMENTATION
    return Volume(voxels, grid.affine, header, notes, source_nbytes, padding, loss, labels)


def _segmentation(series: Series, metadata: KeptMetadata) -> Volume:
    image = series.image
    found = segmented(series.frames)
    projected = projection_of(series.frames[0]) if found.affine is None else None
    lossy = was_lossy(image.dataset) or None
    kept = _kept(series.frames[: image.frames], metadata, _DROPPED)
    if level_of(metadata) is Metadata.DEIDENTIFIED:
        complete(kept[0])
    facts = Facts(
        None if found.affine is None else found.affine[:3].tolist(),
        None,
        None if projected is None else projected.spacing,
        1.0,
        0.0,
        image.photometric,
        image.bits,
        image.modality,
        text(image.dataset, "SOPClassUID"),
        str(level_of(metadata)),
        None,
        len(kept),
        lossy=lossy,
        layout=found.layout,
    )
    header = SourceHeader(NAME, pack(facts, kept))
    nbytes = None if found.nbytes == found.voxels.nbytes else found.nbytes
    return Volume(found.voxels, found.affine, header, found.notes, nbytes, labels=True)


def _planes(frames: list[Frame]) -> Iterator[tuple[int, np.ndarray]]:
    """Yield index and stored values (row, column) of each frame; decode each object once."""
    objects: dict[int, list[int]] = defaultdict(list)
    for number, frame in enumerate(frames):
        objects[id(frame.image)].append(number)
    for numbers in objects.values():
        decoded = pixels(frames[numbers[0]].image)
        yield from ((number, decoded[frames[number].number]) for number in numbers)


def _voxels(grid: Grid, dtype: np.dtype, planes: Iterable[tuple[int, np.ndarray]]) -> np.ndarray:
    """Return planes as one volume, given their indices in the order of the grid's frames."""
    voxels = np.empty(grid.shape, dtype, order="F")
    targets = planes_of(voxels)
    for number, plane in planes:
        targets[number][...] = plane if grid.affine is None else plane.T
    return voxels


def _order(frames: list[Frame]) -> list[int] | None:
    """Return indices of the frames in the kept object; None if each frame has its own object."""
    if not frames[0].image.is_multi_frame:
        return None
    numbers = sorted(frame.number for frame in frames)
    return [numbers.index(frame.number) for frame in frames]


def _kept(frames: list[Frame], metadata: KeptMetadata, dropped: tuple[str, ...]) -> list[Dataset]:
    """Return the data sets to keep, one an object, in the order of the frames; changed in place."""
    if metadata is Metadata.NONE:
        return []
    datasets = []
    for image in {id(frame.image): frame.image for frame in frames}.values():
        dataset = image.dataset
        if was_lossy(dataset):
            dataset.LossyImageCompression = LOSSY
        if image.is_multi_frame:
            keep_frames(dataset, sorted(frame.number for frame in frames))
        for element in list(dataset):
            if element.keyword in dropped or element.tag.element == 0:  # a group's length
                del dataset[element.tag]
        if level_of(metadata) is Metadata.DEIDENTIFIED:
            how = metadata if isinstance(metadata, Deidentification) else Deidentification()
            privacy.deidentify(dataset, how)
            if "SOPInstanceUID" in dataset and _INSTANCE not in tags_named(how.keep):
                del dataset.SOPInstanceUID
        datasets.append(dataset)
    return datasets
