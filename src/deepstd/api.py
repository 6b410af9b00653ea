"""Compression and restoration of whole scans: `deepstd.compress`, `decompress`, `verify`.

scan ─ read ─▶ Volume ─ choose a bundle ─ Codec.encode ─▶ .dstd ─ decode ─▶ Volume, scan file

PyTorch is imported last, once everything else that can fail was checked.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from deepstd import io, preflight
from deepstd.access import Scan
from deepstd.codec.choice import best_encoding
from deepstd.codec.exact import check_kept
from deepstd.codec.layered import with_exact_part
from deepstd.codec.protection import Protection
from deepstd.codec.restoring import restored
from deepstd.codec.without_bundle import is_exact
from deepstd.container import Beginning, Container, pack_source_header, parse, printable
from deepstd.errors import (
    ContainerError,
    DamagedError,
    ExactPartError,
    InputError,
    RateError,
    named,
)
from deepstd.inspection import (
    AUTO,
    asked_of,
    error_scale_of,
    notes_of,
    read_container,
    read_first_levels,
    smallest_of,
)
from deepstd.io import KeptMetadata, Metadata
from deepstd.progress import Progress, Show
from deepstd.rate.bound import ErrorBound
from deepstd.rate.effort import NORMAL, effort_named
from deepstd.rate.goal import QualityGoal
from deepstd.rate.target import (
    Target,
    check_alone,
    check_protected,
    check_residual,
    note_on_fill,
)
from deepstd.reports import CompressReport
from deepstd.sources import PathLike, Source, apart, check_options, load, name_of, paths_of
from deepstd.verification import verify
from deepstd.volume import Derivation, Volume

__all__ = ["compress", "decompress", "verify"]

EXACT_NOTE = "every voxel is that of the original, by the exact part of the file"


def compress(
    source: Source,
    output: PathLike,
    *,
    ratio: float | None = None,
    bpv: float | None = None,
    max_bytes: int | None = None,
    lossless: bool = False,
    max_error: float | str | None = None,
    min_psnr: float | None = None,
    min_ssim: float | None = None,
    mae: float | None = None,
    with_residual: bool = False,
    affine: np.ndarray | None = None,
    model: str = AUTO,
    effort: str = NORMAL,
    protect: bool | np.ndarray = False,
    device: str = "auto",
    series: str | None = None,
    metadata: KeptMetadata = Metadata.DEIDENTIFIED,
    overwrite: bool = False,
    progress: Show | None = None,
) -> CompressReport:
    """Compress a scan to a .dstd file of a chosen size or quality, or without loss.

    A size with one of ``max_error``, ``min_psnr``, ``min_ssim`` and ``mae`` asks for both. A file
    of that size is refused where it misses the quality.

    Args:
        source: path or URL of a NIfTI, NRRD, MetaImage, FreeSurfer, .npy, or grey PNG or TIFF file;
            a folder of PNG or TIFF slices; a DICOM file, folder or zip archive, or several of them;
            a volume; or an array of shape (I, J), (I, J, K) or (I, J, K, T).
        output: file or URL to write, or "-" for standard output.
        ratio: compression ratio, bytes of the stored voxels divided by bytes of the file.
        bpv: bits of the file per voxel.
        max_bytes: bytes of the file. At most one of the three is given, and the file fills 0.997
            to 1.000 of it.
        lossless: True, in place of all others, to restore every voxel bit for bit. The encoder
            decodes the file and compares before it writes. Bundle and effort do not apply.
        max_error: largest error of any voxel: in real-world units such as HU, or as a share of the
            range of the scan, such as "1%". The encoder verifies it. Without a size no bundle is
            needed.
        min_psnr: least PSNR in dB. Without a size the file is the smallest found that keeps it.
        min_ssim: least SSIM, 1 at most.
        mae: largest mean absolute error in real-world units.
        with_residual: True to add what is missing to exact as a second part of the file. Sizes and
            qualities are those of the first part, which is a whole file alone (`deepstd.strip`).
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
        RateError: the size or the quality cannot be reached, or not both; the message names what
            can be.
        BundleError: the bundle is missing or damaged.
        DeviceError: the device is not available.
        OutputExistsError: the output is there and ``overwrite`` is False.
        MissingExtraError: an optional dependency is needed to read the scan.
    """
    began, told = time.monotonic(), Progress(progress)
    bound = None if max_error is None else ErrorBound.of(max_error)
    goal = QualityGoal.of(min_psnr, min_ssim, mae)
    target = Target(ratio, bpv, max_bytes, lossless, bound, goal)
    check_alone(target, model, effort)
    check_protected(target, protect=protect is not False)
    check_residual(target, with_residual=with_residual)
    output = apart(paths_of(source), output)
    name_of_source = name_of(source)
    effort_named(effort)
    check_options(source, affine, series, metadata)
    preflight.check_compressing(paths_of(source), name_of_source, output, target, model, device)
    with io.placed(output, overwrite=overwrite) as temporary:
        volume = load(source, affine, series=series, metadata=metadata, progress=told)
        with named(name_of_source, InputError, RateError), _advising_on_metadata(volume, metadata):
            preflight.check_volume(volume, name_of_source, output, target, device)
            if with_residual:
                check_kept(volume)
            wish = Protection.of(protect, volume.shape)
            chosen = best_encoding(volume, target, model, device, told, effort=effort, protect=wish)
            if chosen.missed:
                raise RateError(chosen.missed)
            best = chosen.encoding
            if with_residual:
                best = with_exact_part(best, volume, chosen.predict, told)
        with io.needing(len(best.data)):
            temporary.write_bytes(best.data)
    allowed = target.bytes_for(volume.voxels.size, volume.nbytes)
    container = parse(best.data, io.shown(output))
    unfilled = None
    if not target.sizeless and (target.bound is None or container.exact is None):
        unfilled = note_on_fill(container.lossy_nbytes, allowed, exact=best.quality.max_error == 0)
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
        asked_of(container),
        best.exact_bytes,
        volume.nbytes / container.lossy_nbytes,
        best.familiarity,
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
def _advising_on_metadata(volume: Volume, metadata: KeptMetadata) -> Iterator[None]:
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
    region: str | tuple[Any, ...] | None = None,
    straighten: bool = False,
    lossy: bool = False,
    overwrite: bool = False,
) -> Volume:
    """Restore the scan of a .dstd file, or a preview, and write it if there is an output.

    A file with an exact part gives the exact scan. Where that part alone is damaged, the lossy scan
    is written before the error is raised, and the error holds it.

    A preview needs the first part of a file only: the textures of the coarse wavelet levels. The
    rest is not read and may be missing. A preview is not checked against the file's hash. Of a
    region, the parts that it needs are read and decoded, and checked by their checksums.

    Args:
        source: path or URL of a .dstd file, or "-" for standard input.
        output: path or URL to write; None to write nothing. The suffix chooses the format: .nii,
            .nii.gz, .nrrd, .mha, .mhd, .npy, .png, .tif, .tiff or .dcm. A folder receives a DICOM
            series where the scan was DICOM, else images of the slices.
        model: name or folder of the model bundle; "auto" finds the bundle that the file names.
        device: "auto", "cpu", "cuda" or "cuda:N".
        level: 0 for the whole scan, 1 for half of the resolution, 2 for a quarter, and so on. Axes
            with thick slices are halved at later levels.
        region: part of the scan to restore, such as "10:20,:,30" or a tuple of slices and integers;
            None for all of it. See `Scan.region`.
        straighten: True to resample a sheared scan, as of a tilted gantry, onto a right-angled
            grid, which all programs open.
        lossy: True to leave out the exact part of a file that has one.
        overwrite: True to replace an existing output.

    Returns:
        the scan, with notes that a user should know.

    Raises:
        ExactPartError: the exact part of the file is damaged; its attribute is the lossy scan.
        ContainerError: the source is no .dstd file, or damaged.
        BundleError: the bundle is not installed, or damaged.
        DeviceError: the device is not available.
        OutputExistsError: the output is there and ``overwrite`` is False.
        InputError: the scan has fewer levels, or the output cannot hold it.
        RegionError: the region lies outside of the scan, or has no voxels.
        GeometryError: no two axes of a scan to be straightened are at right angles.
    """
    output = None if output is None else apart([source], output)
    preflight.check_devices(device)
    if region is not None:
        if level:
            raise InputError("a region has the whole resolution: give a region or a level")
        scan = Scan(source, model=model, device=device, lossy=lossy)
        return _region(scan, region, output, straighten=straighten, overwrite=overwrite)
    whole = None if level else read_container(source, lossy_suffices=True)
    container = read_first_levels(source) if whole is None else whole
    if output is None:
        preflight.check_restoring(container, None, device, level)
        found = _restored(container, model, device, level, lossy=lossy)
        volume = io.straightened(found.volume) if straighten else found.volume
    else:
        with io.writer(output, container.head.source_format, overwrite=overwrite) as put:
            preflight.check_restoring(container, output, device, level)
            found = _restored(container, model, device, level, lossy=lossy)
            derivation = _derivation(container, found)
            volume = io.straightened(found.volume) if straighten else found.volume
            put(volume, derivation)
        volume = replace(volume, notes=io.notes_of_output(volume, io.shown(output)))
    if found.damage is not None:
        where = "is in the error" if output is None else f"is in {io.shown(output)}"
        raise ExactPartError(
            f"{found.damage} Its lossy part is whole: the lossy scan {where}.", volume
        )
    return volume


def _region(
    scan: Scan, key: Any, output: str | None, *, straighten: bool, overwrite: bool
) -> Volume:
    """Restore a region of a scan, and write it if there is an output."""

    def restore() -> Volume:
        volume = scan.region(key)
        return io.straightened(volume) if straighten else volume

    if output is None:
        return restore()
    with io.writer(output, scan.header.format, overwrite=overwrite) as put:
        io.check_output(output, scan.ndim, scan.dtype, None, source=scan.header.format)
        volume = restore()
        put(volume, _derived(scan))
    return replace(volume, notes=io.notes_of_output(volume, io.shown(output)))


def _derived(scan: Scan) -> Derivation | None:
    """Return what lossy coding did to the voxels of a region; None where they are exact."""
    told = scan.metadata
    if told["exact"]:
        return None
    return Derivation(told["ratio"], f"DeepSTD compression {told['ratio']:.2f}:1, a region")


@dataclass(frozen=True)
class _Restored:
    """A restored scan.

    Attributes:
        volume: the scan.
        exact: True where it is exact by the exact part of its file.
        damage: error of an exact part that cannot be decoded; None where there is none.
    """

    volume: Volume
    exact: bool = False
    damage: ContainerError | None = None


def _restored(
    container: Beginning, model: str, device: str, level: int, *, lossy: bool
) -> _Restored:
    """Restore a scan exactly where its file has an exact part, else as its file has it.

    Where the exact part cannot be decoded, the lossy scan is restored.
    """
    if not isinstance(container, Container) or lossy:
        return _Restored(restored(container, model, device, level, lossy=True))
    damage = container.damage
    if container.exact_part is not None:
        try:
            volume = restored(container, model, device)
            return _Restored(replace(volume, notes=(*volume.notes, EXACT_NOTE)), exact=True)
        except DamagedError as error:
            damage = error
    return _Restored(restored(container, model, device, lossy=True), damage=damage)


def _derivation(container: Beginning, found: _Restored) -> Derivation | None:
    """Return what lossy coding did to a restored scan; None where it is exact."""
    volume = found.volume
    if found.exact or is_exact(container):
        return None
    head = container.head
    whole = isinstance(container, Container)
    ratio = volume.nbytes / (container.lossy_nbytes if whole else container.nbytes)
    if container.exact is not None:
        largest = "the error of every voxel bounded"
        return Derivation(ratio, f"DeepSTD near-lossless compression {ratio:.2f}:1, {largest}")
    bundle = f"{head.bundle.name} {head.bundle.version} ({head.bundle.digest.hex()})"
    return Derivation(ratio, f"DeepSTD lossy compression {ratio:.2f}:1 with bundle {bundle}")
