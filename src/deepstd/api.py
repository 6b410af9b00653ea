"""Compression and restoration of whole scans: `deepstd.compress`, `decompress`, `verify`.

scan ─ read ─▶ Volume ─ choose a bundle ─ Codec.encode ─▶ .dstd ─ decode ─▶ Volume, scan file

PyTorch is imported last, once everything else that can fail was checked.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from deepstd import io, preflight
from deepstd.codec.choice import best_encoding
from deepstd.codec.protection import Protection
from deepstd.codec.restoring import restored
from deepstd.codec.without_bundle import is_without_bundle
from deepstd.container import Beginning, Container, pack_source_header, parse, printable
from deepstd.errors import InputError, RateError, named
from deepstd.inspection import (
    AUTO,
    error_scale_of,
    notes_of,
    read_container,
    read_first_levels,
    smallest_of,
)
from deepstd.io import Metadata
from deepstd.progress import Progress, Show
from deepstd.rate.bound import ErrorBound
from deepstd.rate.effort import NORMAL, effort_named
from deepstd.rate.target import Target, check_alone, check_protected, note_on_fill
from deepstd.reports import CompressReport
from deepstd.sources import PathLike, Source, check_options, load, name_of, paths_of
from deepstd.verification import verify
from deepstd.volume import Derivation, Volume

__all__ = ["compress", "decompress", "verify"]


def compress(
    source: Source,
    output: PathLike,
    *,
    ratio: float | None = None,
    bpv: float | None = None,
    max_bytes: int | None = None,
    lossless: bool = False,
    max_error: float | str | None = None,
    affine: np.ndarray | None = None,
    model: str = AUTO,
    effort: str = NORMAL,
    protect: bool | np.ndarray = False,
    device: str = "auto",
    series: str | None = None,
    metadata: Metadata = Metadata.DEIDENTIFIED,
    overwrite: bool = False,
    progress: Show | None = None,
) -> CompressReport:
    """Compress a scan to a .dstd file of a chosen size, or without loss.

    Args:
        source: path or URL of a NIfTI, NRRD, MetaImage, FreeSurfer, .npy, or grey PNG or TIFF file;
            a folder of PNG or TIFF slices; a DICOM file, folder or zip archive, or several of them;
            a volume; or an array of shape (I, J), (I, J, K) or (I, J, K, T).
        output: file or URL to write, or "-" for standard output.
        ratio: compression ratio, bytes of the stored voxels divided by bytes of the file.
        bpv: bits of the file per voxel.
        max_bytes: bytes of the file. Exactly one of the three is given, and the file fills 0.997
            to 1.000 of it.
        lossless: True, in place of a size, to restore every voxel bit for bit. The encoder decodes
            the file and compares before it writes. Bundle and effort do not apply.
        max_error: largest error of any voxel, in place of a size: in real-world units such as HU,
            or as a share of the range of the scan, such as "1%". The encoder verifies it.
        affine: voxel-to-world matrix of an array, (4, 4), RAS+ in millimetres; None for none.
        model: name or folder of a model bundle; "auto" estimates the error with each bundle
            that suits the scan and takes the best.
        effort: "fast", "normal" or "best": time spent on a smaller error in the same bytes.
        protect: True to give the regions that the bundle explains worst, and those of the largest
            errors, the fidelity of the rest in a file of the same size; or a mask of such regions,
            bool, of the scan's shape. The rest gets more error.
        device: "auto", "cpu", "cuda" or "cuda:N".
        series: id of a DICOM series, where the source holds several.
        metadata: information of the source file that is stored besides voxels and geometry. A
            volume is stored with the header that it was read with.
        overwrite: True to replace an existing output.
        progress: called with a sentence at each stage; None to show nothing.

    Raises:
        InputError: the scan cannot be read or compressed, or not without loss.
        RateError: the size cannot be reached; the message names the nearest size that can.
        BundleError: the bundle is missing or damaged.
        DeviceError: the device is not available.
        OutputExistsError: the output is there and ``overwrite`` is False.
        MissingExtraError: an optional dependency is needed to read the scan.
    """
    began, told = time.monotonic(), Progress(progress)
    bound = None if max_error is None else ErrorBound.of(max_error)
    target = Target(ratio, bpv, max_bytes, lossless, bound)
    check_alone(target, model, effort)
    check_protected(target, protect=protect is not False)
    output = _apart(paths_of(source), output)
    name_of_source = name_of(source)
    effort_named(effort)
    check_options(source, affine, series, metadata)
    preflight.check_compressing(paths_of(source), name_of_source, output, target, model, device)
    with io.placed(output, overwrite=overwrite) as temporary:
        volume = load(source, affine, series=series, metadata=metadata, progress=told)
        with named(name_of_source, InputError, RateError), _advising_on_metadata(volume, metadata):
            preflight.check_volume(volume, name_of_source, output, target, device)
            wish = Protection.of(protect, volume.shape)
            chosen = best_encoding(volume, target, model, device, told, effort=effort, protect=wish)
        best = chosen.encoding
        with io.needing(len(best.data)):
            temporary.write_bytes(best.data)
    allowed = target.bytes_for(volume.voxels.size, volume.nbytes)
    unfilled = None
    if not target.sizeless:
        unfilled = note_on_fill(len(best.data), allowed, exact=best.quality.max_error == 0)
    container = parse(best.data, io.shown(output))
    scale = error_scale_of(container)
    quality = best.quality.scaled(scale.slope)
    return CompressReport(
        name_of_source,
        container.name,
        chosen.bundle,
        chosen.tried,
        volume.voxels.size,
        volume.nbytes,
        container.nbytes,
        volume.nbytes / container.nbytes,
        8 * container.nbytes / volume.voxels.size,
        best.shape_bytes,
        best.texture_bytes,
        any(report is not None for report in best.shape),
        best.shape,
        quality.mae,
        quality.max_error,
        quality.psnr,
        quality.ssim,
        time.monotonic() - began,
        (
            *_all_notes((*volume.notes, *best.notes), container),
            *([] if unfilled is None else [unfilled]),
        ),
        scale.slope,
        scale.unit,
        *smallest_of(container),
        lossless or container.lossless,
        familiarity=best.familiarity,
    )


def _all_notes(notes: Sequence[str], container: Container) -> tuple[str, ...]:
    """Return all notes on a scan and its file, with the notes that the file has no room for."""
    kept = notes_of(container)
    every = tuple(dict.fromkeys((*kept, *map(printable, notes))))
    left_out = len(every) - len(kept)
    if left_out:
        every += (f"the file has no room for the last {left_out} of these notes",)
    return every


@contextmanager
def _advising_on_metadata(volume: Volume, metadata: Metadata) -> Iterator[None]:
    """Add to a RateError the bytes that a DICOM scan saves without its data sets."""
    try:
        yield
    except RateError as error:
        if volume.source.format != "dicom" or metadata is Metadata.NONE:
            raise
        header = pack_source_header(volume.source, volume.shape, volume.voxels.dtype)
        raise RateError(
            f"{error} The DICOM header takes {len(header)} bytes, most of which --drop-metadata "
            "saves"
        ) from error


def decompress(
    source: PathLike,
    output: PathLike | None = None,
    *,
    model: str = AUTO,
    device: str = "auto",
    level: int = 0,
    straighten: bool = False,
    overwrite: bool = False,
) -> Volume:
    """Restore the scan of a .dstd file, or a preview, and write it if there is an output.

    A preview needs the first part of a file only: the textures of the coarse wavelet levels. The
    rest is not read and may be missing. A preview is not checked against the file's hash.

    Args:
        source: path or URL of a .dstd file, or "-" for standard input.
        output: path or URL to write; None to write nothing. The suffix chooses the format: .nii,
            .nii.gz, .nrrd, .mha, .mhd, .npy, .png, .tif, .tiff or .dcm. A folder receives a DICOM
            series where the scan was DICOM, else images of the slices.
        model: name or folder of the model bundle; "auto" finds the bundle that the file names.
        device: "auto", "cpu", "cuda" or "cuda:N".
        level: 0 for the whole scan, 1 for half of the resolution, 2 for a quarter, and so on. Axes
            with thick slices are halved at later levels.
        straighten: True to resample a sheared scan, as of a tilted gantry, onto a right-angled
            grid, which all programs open.
        overwrite: True to replace an existing output.

    Returns:
        the scan, with notes that a user should know.

    Raises:
        ContainerError: the source is no .dstd file, or damaged.
        BundleError: the bundle is not installed, or damaged.
        DeviceError: the device is not available.
        OutputExistsError: the output is there and ``overwrite`` is False.
        InputError: the scan has fewer levels, or the output cannot hold it.
        GeometryError: no two axes of a scan to be straightened are at right angles.
    """
    output = None if output is None else _apart([source], output)
    preflight.check_devices(device)
    container = read_first_levels(source) if level else read_container(source)
    if output is None:
        preflight.check_restoring(container, None, device, level)
        volume = restored(container, model, device, level)
        return io.straightened(volume) if straighten else volume
    with io.writer(output, container.head.source_format, overwrite=overwrite) as put:
        preflight.check_restoring(container, output, device, level)
        volume = restored(container, model, device, level)
        derivation = _derivation(container, volume)
        volume = io.straightened(volume) if straighten else volume
        put(volume, derivation)
    return replace(volume, notes=io.notes_of_output(volume, io.shown(output)))


def _derivation(container: Beginning, volume: Volume) -> Derivation | None:
    """Return what lossy coding did to a restored scan; None where it is exact."""
    if is_without_bundle(container) and (container.exact is None or container.lossless):
        return None
    head = container.head
    ratio = volume.nbytes / container.nbytes
    if container.exact is not None:
        largest = "the error of every voxel bounded"
        return Derivation(ratio, f"DeepSTD near-lossless compression {ratio:.2f}:1, {largest}")
    bundle = f"{head.bundle.name} {head.bundle.version} ({head.bundle.digest.hex()})"
    return Derivation(ratio, f"DeepSTD lossy compression {ratio:.2f}:1 with bundle {bundle}")


def _apart(paths: Sequence[PathLike], output: PathLike) -> str:
    """Return the location of an output; raise an InputError where it is an input."""
    place = io.location(output)
    if any(io.is_same(io.location(path), place) for path in paths):
        raise InputError(f"{io.shown(place)}: is the input. Choose another output")
    return place
