"""``compress`` and ``decompress``: scan to file, and back.

SRC ─ deepstd.compress ─▶ OUT.dstd        IN.dstd ─ deepstd.decompress ─▶ OUT
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deepstd.cli import console, options

_SUFFIX = ".dstd"


def compress(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="SRC...",
            help="NIfTI, .npy, or grey PNG or TIFF scan; DICOM file, folder or zip archive, or "
            "the files of one series.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="OUT.dstd", help="Default: SRC with .dstd."),
    ] = None,
    ratio: Annotated[
        float | None,
        typer.Option(
            parser=options.positive,
            metavar="R",
            help="Bytes of the stored voxels divided by bytes of the whole file.",
        ),
    ] = None,
    bpv: Annotated[
        float | None,
        typer.Option(
            parser=options.positive, metavar="B", help="Bits of the whole file per voxel."
        ),
    ] = None,
    max_bytes: Annotated[
        int | None,
        typer.Option(
            parser=options.size, metavar="SIZE", help="Size of the whole file: 300kB, 1.5MB, 2MiB."
        ),
    ] = None,
    model: options.Model = "auto",
    series: options.Series = None,
    keep_metadata: Annotated[
        bool,
        typer.Option(
            "--keep-metadata",
            help="Store all of the DICOM data sets, the patient's identity included. Default: "
            "without what the basic profile of DICOM PS3.15 removes.",
        ),
    ] = False,
    drop_metadata: Annotated[
        bool,
        typer.Option(
            "--drop-metadata", help="Store nothing of the DICOM data sets but the geometry."
        ),
    ] = False,
    device: options.Device = "auto",
    as_json: options.Json = False,
    overwrite: options.Overwrite = False,
) -> None:
    """Compress a scan to the size you ask for.

    Give exactly one of --ratio, --bpv and --max-bytes. The file fills 0.997 to 1.000 of it, and
    states the error of the scan that it gives back.
    """
    if keep_metadata and drop_metadata:
        raise typer.BadParameter("--keep-metadata and --drop-metadata exclude each other")
    if sum(v is not None for v in (ratio, bpv, max_bytes)) != 1:
        raise typer.BadParameter(
            "say how small the file shall be with exactly one of --ratio (such as 64), --bpv "
            "(0.25) and --max-bytes (300kB)"
        )
    output = default_output(sources) if output is None else output
    with console.Progress(f"reading {sources[0]}") as progress:
        from deepstd import api
        from deepstd.io import Metadata

        kept = Metadata.ALL if keep_metadata else Metadata.DEIDENTIFIED
        report = api.compress(
            sources[0] if len(sources) == 1 else sources,
            output,
            ratio=ratio,
            bpv=bpv,
            max_bytes=max_bytes,
            model=model,
            series=series,
            metadata=Metadata.NONE if drop_metadata else kept,
            device=device,
            overwrite=overwrite,
            progress=progress,
        )
    for note in report.notes:
        console.note(f"note: {note}")
    if keep_metadata:
        console.note(f"note: {output} holds all metadata, and with it the patient's identity")
    if as_json:
        console.result_json(report.to_dict())
        return
    others = [name for name in report.tried if name != report.bundle]
    sizes = f"{console.size(report.file_bytes)}, ratio {report.ratio:.2f}, {report.bpv:.4f} bpv"
    console.result(f"{report.source} -> {report.output}")
    entries = [
        ("bundle", report.bundle + (f" (also tried: {', '.join(others)})" if others else "")),
        ("size", sizes),
        ("error", console.figures(report.mae, report.max_error, report.psnr, report.ssim)),
        ("time", f"{report.seconds:.1f} s"),
    ]
    console.result(console.pairs(entries))


def decompress(
    source: options.Compressed,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="Scan to write; its suffix (.nii.gz, .nii, .npy, .png, .tif, .dcm) says which "
            "format. A folder for a DICOM series.",
        ),
    ],
    model: options.WrittenWith = "auto",
    device: options.Device = "auto",
    overwrite: options.Overwrite = False,
) -> None:
    """Restore a compressed scan.

    Type, shape, orientation and header are as they were, voxel values nearly so.
    """
    with console.Progress(f"restoring {source}"):
        from deepstd import api

        volume = api.decompress(source, output, model=model, device=device, overwrite=overwrite)
    shape = " x ".join(map(str, volume.shape))
    console.result(f"{source} -> {output}\n{shape}, {volume.voxels.dtype.name}")


def default_output(sources: list[Path]) -> Path:
    """Beside the source: scan.nii.gz gives scan.dstd, and so does the folder of several files."""
    source = sources[0] if len(sources) == 1 else sources[0].absolute().parent
    if source.is_dir():
        source = source.absolute()
        return source.with_name(source.name + _SUFFIX)
    name = source.name
    if name.lower().endswith(".nii.gz"):
        name = name[: -len(".gz")]
    return source.with_name(Path(name).stem + _SUFFIX)
