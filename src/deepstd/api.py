"""Files in, files out: what `deepstd.compress` and its sisters do, torch imported last.

scan file ─ read ─▶ Volume ─ choose a bundle ─ Codec.encode ─▶ .dstd ─ decode ─▶ scan file
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from deepstd import io, preflight
from deepstd.codec import constant
from deepstd.codec.restoring import restored
from deepstd.container import (
    LARGEST_FIGURE,
    Beginning,
    Container,
    pack_source_header,
    parse,
    printable,
)
from deepstd.errors import (
    BundleError,
    BundleNotFoundError,
    InputError,
    RateError,
    named,
)
from deepstd.inspection import (
    AUTO,
    error_scale_of,
    notes_of,
    quality_of,
    read_container,
    read_first_levels,
    smallest_of,
)
from deepstd.io import Metadata
from deepstd.quality import Quality, measure
from deepstd.rate.effort import NORMAL, effort_named
from deepstd.rate.target import Target, note_on_fill
from deepstd.reports import CompressReport, VerifyReport
from deepstd.volume import Derivation, Volume

if TYPE_CHECKING:
    from deepstd.codec.codec import Codec
    from deepstd.codec.compressed import Compressed

# A float decoder may round a value differently on another machine.
_STATED_WITHIN = 0.02
# By how many grey levels figures may differ: devices restore voxels to within one.
_MARGINS = {"mae": 1e-3, "max_error": 1.0}
_SMALLEST_FIGURE = 1e-36
PathLike = str | os.PathLike[str]
Source = PathLike | Sequence[PathLike]
Progress = Callable[[str], None]


def _quiet(message: str) -> None:
    """Report nothing."""


def compress(
    source: Source,
    output: PathLike,
    *,
    ratio: float | None = None,
    bpv: float | None = None,
    max_bytes: int | None = None,
    model: str = AUTO,
    effort: str = NORMAL,
    device: str = "auto",
    series: str | None = None,
    metadata: Metadata = Metadata.DEIDENTIFIED,
    overwrite: bool = False,
    progress: Progress = _quiet,
) -> CompressReport:
    """Compress a scan to a .dstd file of a chosen size.

    Args:
        source: path or URL of a NIfTI, NRRD, MetaImage, FreeSurfer, .npy, or grey PNG or TIFF file,
            or a folder of such images; a DICOM file, folder or zip archive, or several of them.
        output: file or URL to write, or "-" for standard output.
        ratio, bpv, max_bytes: the size; exactly one of them. The file fills 0.997 to 1.000 of it.
        model: bundle, by name or folder; "auto" tries those that suit the scan and keeps the best.
        effort: "fast", "normal" or "best".
        device: "auto", "cpu", "cuda" or "cuda:N".
        series: id of a DICOM series, where the source holds several.
        metadata: which information beside voxels and geometry is stored; see `Metadata`.
        overwrite: whether an existing output may be replaced.
        progress: called with a sentence now and then.

    Raises:
        InputError, RateError, BundleError, DeviceError, OutputExistsError: see `deepstd.errors`.
    """
    began = time.monotonic()
    target = Target(ratio, bpv, max_bytes)
    output = _apart(source, output)
    name_of_source = name_of(source)
    effort_named(effort)
    preflight.check_compressing(source, name_of_source, output, target, model, device)
    with io.placed(output, overwrite=overwrite) as temporary:
        volume = io.read(source, series=series, metadata=metadata, progress=progress)
        with named(name_of_source, InputError, RateError), _saving_told(volume, metadata):
            preflight.check_volume(volume, name_of_source, output, target, device)
            name, best, tried = best_encoding(
                volume, target, model, device, progress, effort=effort
            )
        with io.needing(len(best.data)):
            temporary.write_bytes(best.data)
    allowed = target.bytes_for(volume.voxels.size, volume.nbytes)
    unfilled = note_on_fill(len(best.data), allowed, exact=best.quality.max_error == 0)
    container = parse(best.data, io.shown(output))
    scale = error_scale_of(container)
    quality = best.quality.scaled(scale.slope)
    return CompressReport(
        name_of_source,
        container.name,
        name,
        tried,
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
    )


def _all_notes(notes: Sequence[str], container: Container) -> tuple[str, ...]:
    """What to know of a scan and its file, those notes included that the file has no room for."""
    kept = notes_of(container)
    told = tuple(dict.fromkeys((*kept, *map(printable, notes))))
    left_out = len(told) - len(kept)
    if left_out:
        told += (f"the file has no room for the last {left_out} of these notes",)
    return told


@contextmanager
def _saving_told(volume: Volume, metadata: Metadata) -> Iterator[None]:
    """Where a scan cannot be as small as asked, say what leaving out DICOM data sets would save."""
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


def name_of(source: Source) -> str:
    """A source in messages: its path, or the first of several."""
    places = [source] if isinstance(source, str | os.PathLike) else list(source)
    more = f" and {len(places) - 1} more" if len(places) > 1 else ""
    return io.shown(io.location(places[0])) + more


def best_encoding(
    volume: Volume,
    target: Target,
    model: str,
    device: str,
    progress: Progress = _quiet,
    *,
    effort: str = NORMAL,
    load: Callable[..., Codec] | None = None,
) -> tuple[str, Compressed, dict[str, float]]:
    """Encode with one bundle, or with each that suits the scan and keep the smallest error.

    ``load`` is `Codec.load`, which None stands for, or one that remembers what it loaded.

    Returns:
        The bundle's name and version, the encoding, and the error of every bundle tried.
    """
    exact = constant.encode(volume, target)
    if exact is not None:
        none = constant.NO_BUNDLE
        return f"{none.name} {none.version}", exact, {}
    from deepstd.codec.codec import Codec

    load = load or Codec.load
    fitting = model == AUTO
    codecs = _fitting(volume, device, progress, load) if fitting else [load(model, device=device)]
    best: tuple[str, Compressed] | None = None
    tried: dict[str, float] = {}
    failed: list[tuple[str, RateError | InputError]] = []
    for codec in codecs:
        manifest = codec.bundle.manifest
        name = f"{manifest.name} {manifest.version}"
        progress(f"compressing with {name}")
        try:
            result = codec.encode(volume, target, effort=effort, progress=progress)
        except (RateError, InputError) as error:
            if len(codecs) == 1:
                raise
            failed.append((name, error))
            continue
        tried[name] = result.mean_squared_error
        if best is None or result.mean_squared_error < best[1].mean_squared_error:
            best = (name, result)
    if best is None:
        kind = RateError if any(isinstance(e, RateError) for _, e in failed) else InputError
        raise kind("no bundle can do it. " + " ".join(f"{name}: {e}" for name, e in failed))
    return best[0], best[1], tried


def _fitting(
    volume: Volume, device: str, progress: Progress, load: Callable[..., Codec]
) -> list[Codec]:
    """Codecs of all installed bundles that suit a scan; a damaged bundle is passed over."""
    from deepstd import bundle as bundles

    folders = bundles.available()
    if not folders:
        raise BundleNotFoundError("no bundle is installed; `deepstd doctor` shows where")
    codecs = []
    for folder in folders:
        try:
            codecs.append(load(str(folder), device=device))
        except BundleError as error:
            progress(f"passing over a bundle: {error}")
    codecs = [codec for codec in codecs if codec.suits(volume)]
    if not codecs:
        raise InputError(
            f"no installed bundle compresses a scan of shape {volume.shape}; "
            "`deepstd model list` shows what there is"
        )
    return codecs


def decompress(
    source: PathLike,
    output: PathLike,
    *,
    model: str = AUTO,
    device: str = "auto",
    level: int = 0,
    straighten: bool = False,
    overwrite: bool = False,
) -> Volume:
    """Restore the scan of a .dstd file, or a preview of it.

    A preview needs no more of the file than the texture of the coarser levels, which comes first,
    so the rest need not be read, nor even be there. It is not checked against the file's hash.

    Args:
        source: path or URL of a .dstd file, or "-" for standard input.
        output: path or URL to write; its suffix says which format, and `deepstd.write` what a
            folder means.
        model: folder of the bundle, where it is not installed.
        device: "auto", "cpu", "cuda" or "cuda:N".
        level: 0 for the whole, 1 for a half of the resolution, 2 for a quarter …; axes with thick
            slices are halved later.
        straighten: whether the slices of a sheared scan, as of a tilted gantry, are shifted onto a
            grid of right angles, which all programs open.
        overwrite: whether an existing output may be replaced.

    Returns:
        the scan that was written, with notes on what is to be known of it.

    Raises:
        ContainerError, BundleError, DeviceError, OutputExistsError: see `deepstd.errors`.
        InputError: the scan has not so many levels.
        GeometryError: no two axes of a scan to be straightened are at right angles.
    """
    output = _apart(source, output)
    preflight.check_devices(device)
    container = read_first_levels(source) if level else read_container(source)
    with io.writer(output, container.head.source_format, overwrite=overwrite) as put:
        preflight.check_restoring(container, output, device, level)
        volume = restored(container, model, device, level)
        derivation = _derivation(container, volume)
        volume = io.straightened(volume) if straighten else volume
        put(volume, derivation)
    return replace(volume, notes=io.notes_of_output(volume, io.shown(output)))


def _derivation(container: Beginning, volume: Volume) -> Derivation:
    head = container.head
    ratio = volume.nbytes / container.nbytes
    bundle = f"{head.bundle.name} {head.bundle.version} ({head.bundle.digest.hex()})"
    return Derivation(ratio, f"DeepSTD lossy compression {ratio:.2f}:1 with bundle {bundle}")


def verify(
    source: PathLike,
    *,
    against: Source | None = None,
    series: str | None = None,
    model: str = AUTO,
    device: str = "auto",
) -> VerifyReport:
    """Decode a .dstd file and check it, and measure it against its original if given.

    Args:
        source: path or URL of a .dstd file, or "-" for standard input.
        against: the scan it was made of, as given to `compress`.
        series: id of its DICOM series, where there are several.
        model: folder of the bundle, where it is not installed.
        device: "auto", "cpu", "cuda" or "cuda:N".

    Raises:
        ContainerError: the file is damaged.
        InputError: the original has another shape, or more samples by another count.
    """
    preflight.check_devices(device)
    container = read_container(source)
    head, scale = container.head, error_scale_of(container)
    original = None
    if against is not None:
        original = io.read(against, series=series, metadata=Metadata.NONE)
        if original.shape != head.shape:
            raise InputError(
                f"{name_of(against)} has shape {original.shape}, the scan in {container.name} "
                f"{head.shape}: they are not the same scan"
            )
    preflight.check_memory(container.name, head.voxel_count, preflight.restoring(container), device)
    volume = restored(container, model, device)
    stated, measured, as_stated = quality_of(container), None, None
    if against is not None and original is not None:
        io.check_complete(against, volume, series)
        measured = asdict(_measured(original, volume, scale.slope))
        if stated is not None:
            step = io.largest_step(volume) * scale.slope
            as_stated = all(
                _close(measured[figure], stated[figure], margin * step, scale.slope)
                for figure, margin in _MARGINS.items()
            )
    return VerifyReport(
        container.name,
        f"{head.bundle.name} {head.bundle.version}",
        stated,
        None if against is None else name_of(against),
        measured,
        as_stated,
        scale.slope,
        scale.unit,
        notes_of(container),
    )


def _measured(original: Volume, restored: Volume, slope: float) -> Quality:
    """Figures of a restored scan, errors in real-world values, ``slope`` of them a stored unit."""
    if io.scale_of(original.source) == io.scale_of(restored.source):
        return measure(original.voxels, restored.voxels).scaled(slope)
    # Stored values on two scales, as of a release that put all frames of a series on one.
    return measure(io.real_world(original).voxels, io.real_world(restored).voxels)


def _close(measured: float, stated: float, margin: float, slope: float) -> bool:
    """Whether figures are equal to what a file can state and devices may differ by."""
    if math.isnan(measured) or math.isnan(stated):
        return math.isnan(measured) and math.isnan(stated)
    if math.isinf(stated):
        return measured >= (1 - _STATED_WITHIN) * LARGEST_FIGURE * slope
    # A file keeps figures in a part of float32, which has few digits for the smallest numbers.
    least = max(margin, _SMALLEST_FIGURE * slope)
    return math.isclose(measured, stated, rel_tol=_STATED_WITHIN, abs_tol=least)


def _apart(source: Source, output: PathLike) -> str:
    """Where to write; InputError where that is the source."""
    sources = [source] if isinstance(source, str | os.PathLike) else source
    place = io.location(output)
    if any(io.is_same(io.location(one), place) for one in sources):
        raise InputError(f"{io.shown(place)}: is the input. Choose another output")
    return place
