"""``compress`` and ``decompress``: scan to file, and back.

SRC ─ deepstd.compress ─▶ OUT.dstd        IN.dstd ─ deepstd.decompress ─▶ OUT

With "-" as OUT.dstd the file goes to stdout, and the report to stderr.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deepstd.cli import console, metadata_options, options
from deepstd.rate.effort import NORMAL

if TYPE_CHECKING:
    from deepstd.reports import CompressReport
    from deepstd.shape.register import ShapeReport

_SUFFIX = ".dstd"
# Ratio of the error of a region to that of the scan from which on it is a place of its own.
_APART = 2.0


def compress(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SRC...",
            help="A DICOM folder, zip archive or file, or the files of one series; NIfTI, NRRD, "
            "MetaImage, FreeSurfer, MINC, PAR/REC, .npy, .npz, HDF5, grey PNG, TIFF or JPEG; "
            "file::name for an array of .npz or HDF5; a folder of PNG or TIFF; or a URL.",
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT.dstd",
            help="A file, a URL, or - for stdout. Default: SRC with the suffix .dstd; for a URL, "
            "in the current folder.",
        ),
    ] = None,
    ratio: options.Ratio = None,
    bpv: options.Bpv = None,
    max_bytes: options.MaxBytes = None,
    lossless: options.Lossless = False,
    max_error: options.MaxError = None,
    min_psnr: options.MinPsnr = None,
    min_ssim: options.MinSsim = None,
    mae: options.Mae = None,
    with_residual: options.WithResidual = False,
    model: options.Model = "auto",
    effort: options.Effort = NORMAL,
    protect: options.Protect = False,
    series: options.Series = None,
    device: options.Device = "auto",
    keep_metadata: metadata_options.KeepMetadata = False,
    drop_metadata: metadata_options.DropMetadata = False,
    safe_private: metadata_options.SafePrivate = False,
    keep_descriptions: metadata_options.KeepDescriptions = False,
    shift_dates: metadata_options.ShiftDates = None,
    keep: metadata_options.Keep = None,
    as_json: options.Json = False,
    overwrite: options.Overwrite = False,
) -> None:
    """Compress a scan to the size or quality you ask for, or without loss.

    Give one of --ratio, --bpv and --max-bytes for a size, or one of --min-psnr, --min-ssim, --mae,
    --max-error and --lossless for a quality. A file has 0.997 to 1.000 of the requested size, or is
    the smallest that keeps the quality, and states the error of the restored scan.

    A size and a quality ask for both: a file of that size that misses the quality is not written.
    """
    fidelity = options.Fidelity(lossless, max_error, min_psnr, min_ssim, mae)
    more = {"model": model, "effort": effort, "with_residual": with_residual}
    options.target(ratio, bpv, max_bytes, fidelity, **more)
    more_kept = (safe_private, keep_descriptions, shift_dates, tuple(keep or ()))
    wishes = metadata_options.Wishes(keep_metadata, drop_metadata, *more_kept)
    wishes.check()
    with console.Progress(f"reading {options.shown(sources[0])}") as progress:
        from deepstd import api, io

        output = default_output(sources) if output is None else output
        tell = partial(console.result, aside=output == io.STREAM)
        report = api.compress(
            sources[0] if len(sources) == 1 else sources,
            output,
            ratio=ratio,
            bpv=bpv,
            max_bytes=max_bytes,
            lossless=lossless,
            max_error=max_error,
            min_psnr=min_psnr,
            min_ssim=min_ssim,
            mae=mae,
            with_residual=with_residual,
            model=model,
            effort=effort,
            protect=protect,
            device=device,
            series=series,
            metadata=wishes.kept(),
            overwrite=overwrite,
            progress=progress,
        )
    console.notes(report.notes)
    if keep_metadata:
        console.note(f"note: {report.output} holds all metadata, the patient's identity included")
    wishes.note()
    values = report.to_dict()
    if as_json:
        tell(console.as_json(values))
        return
    tell(console.escaped(f"{report.source} -> {report.output}"))
    size = ("size", f"{console.size(report.file_bytes)}, {console.rate(values)}")
    exact = [size, ("error", "none; lossless: every voxel verified")]
    entries = exact if report.lossless else _of_bundle(report, size)
    entries += console.asked(values["asked"], report.unit)
    entries += console.layers(values)
    tell(console.pairs([*entries, ("time", f"{report.seconds:.1f} s")]))


def _of_bundle(report: CompressReport, size: tuple[str, str]) -> list[tuple[str, str]]:
    """Format bundle, size, error and deformation field of a lossy file."""
    fitted = [one for one in report.registration if one is not None]
    others = [name for name in report.tried if name != report.bundle]
    return [
        ("bundle", report.bundle + (f" (also tried: {', '.join(others)})" if others else "")),
        size,
        ("error", console.figures(report.to_dict(), report.slope, report.unit)),
        *([("field", _registration(fitted))] if fitted else []),
        *_regions(report),
    ]


def _regions(report: CompressReport) -> list[tuple[str, str]]:
    """Format what was done about an unfamiliar scan, and the region of the largest error."""
    found, lines = report.familiarity, []
    if found is None:
        return []
    if found.unfamiliar:
        done = "coded all the same; --protect or another bundle (-m) may help"
        text = done if found.protected is None else "regions protected"
        lines.append(("guard", f"unlike the scans of the bundle: {text}"))
    region = found.largest_error
    if region is not None and region.excess >= _APART:
        text = f"{region.excess:.1f} times that of the scan at {region.place}"
        lines.append(("largest error", text))
    if found.protected is not None:
        done = found.protected
        text = f"{100 * done.share:.2g} % of the scan, its error {done.ratio_before:.2f} -> "
        lines.append(("protected", f"{text}{done.ratio:.2f} times that of the rest"))
    return lines


def _registration(reports: list[ShapeReport]) -> str:
    """Format the mean quality of the deformation fields in the file."""

    def mean(name: str) -> float:
        return sum(getattr(report, name) for report in reports) / len(reports)

    correlation = f"correlation {mean('ncc_before'):.3f} -> {mean('ncc_after'):.3f}"
    cycle = f"cycle error {mean('cycle_error_voxels'):.2f} voxels"
    return f"{correlation}, {cycle}, folding {mean('folding_percent'):.2f} %"


def decompress(
    source: options.Compressed,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="Scan to write, a file or a URL; the suffix (.nii.gz, .nii, .nrrd, .mha, .mhd, "
            ".npy, .png, .tif, .dcm) selects the format. A folder, with / at its end, gets a DICOM "
            "series if the scan came from DICOM, else PNG slices.",
        ),
    ],
    model: options.WrittenWith = "auto",
    device: options.Device = "auto",
    level: Annotated[
        int,
        typer.Option(
            "--level",
            metavar="N",
            min=0,
            help="Restore a preview: 1 for half the resolution, 2 for a quarter and so on. Only "
            "the first part of the file is read; the rest may be missing.",
        ),
    ] = 0,
    region: Annotated[
        str | None,
        typer.Option(
            "--region",
            metavar="REGION",
            help="Restore a region, with its place in the scan: an index or start:stop[:step] for "
            "each axis, such as 10:20,:,30. Only the parts of the file that it needs are read. "
            "Write --region=-20:,:,: where the first index is negative.",
        ),
    ] = None,
    straighten: Annotated[
        bool,
        typer.Option(
            "--straighten",
            help="Shift the slices of a sheared scan, such as one with gantry tilt, to a grid with "
            "right angles, with linear interpolation: SimpleITK, ANTs and nnU-Net do not open a "
            "sheared NIfTI.",
        ),
    ] = False,
    lossy: Annotated[
        bool,
        typer.Option(
            "--lossy", help="Leave out the exact part of a file that was made --with-residual."
        ),
    ] = False,
    overwrite: options.Overwrite = False,
) -> None:
    """Restore a compressed scan.

    Type, shape, orientation and header are exactly restored, voxel values approximately; those of
    a lossless file, or of one with an exact part, exactly. Exit code 4 when a file is damaged;
    where only its exact part is, the lossy scan is written.

    A preview (--level) keeps type, orientation and grey scale, and the position of the first voxel.
    Axes with thicker voxels are halved at later levels only. A preview is not checked against the
    file's hash. As DICOM it has none of the original's data sets. The same holds for a region
    (--region), whose parts are checked by their checksums; its voxels are those of the whole scan.
    """
    with console.Progress(f"restoring {options.shown(source)}"):
        from deepstd import api, io

        volume = api.decompress(
            source,
            output,
            model=model,
            device=device,
            level=level,
            region=region,
            straighten=straighten,
            lossy=lossy,
            overwrite=overwrite,
        )
    shape = " x ".join(map(str, volume.shape))
    text = f"{options.shown(source)} -> {io.shown(output)}"
    console.result(f"{console.escaped(text)}\n{shape}, {volume.voxels.dtype.name}")
    console.notes(volume.notes)


def default_output(sources: list[str]) -> str:
    """Return the default output: scan.dstd beside scan.nii.gz; for a URL, in the current folder.

    An array in a file gives scan_name.dstd. Several sources stand for the folder of the first one.
    """
    from deepstd import io

    location = io.location(sources[0])
    if io.is_url(location):
        return _stem(io.basename(location)) + _SUFFIX
    file, array = io.array_in(Path(location))
    if array and len(sources) == 1:
        words = re.sub(r"[^\w.+-]+", "-", array).strip("-")
        return str(file.with_name(f"{_stem(file.name)}_{words}{_SUFFIX}"))
    path = Path(location) if len(sources) == 1 else Path(location).absolute().parent
    if path.is_dir():
        path = path.resolve()
        return str(path.with_name(path.name + _SUFFIX))
    return str(path.with_name(_stem(path.name) + _SUFFIX)) if path.name else _SUFFIX


def _stem(name: str) -> str:
    if name.lower().endswith(".nii.gz"):
        name = name[: -len(".gz")]
    return Path(name).stem
