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
    source: Annotated[
        Path, typer.Argument(metavar="SRC", help="NIfTI, .npy, or grey PNG or TIFF scan.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="OUT.dstd", help="Default: SRC with .dstd."),
    ] = None,
    ratio: options.Ratio = None,
    bpv: options.Bpv = None,
    max_bytes: options.MaxBytes = None,
    model: options.Model = "auto",
    device: options.Device = "auto",
    as_json: options.Json = False,
    overwrite: options.Overwrite = False,
) -> None:
    """Compress a scan to the size you ask for.

    Give exactly one of --ratio, --bpv and --max-bytes. The file fills 0.997 to 1.000 of it, and
    states the error of the scan that it gives back.
    """
    options.check_rate(ratio, bpv, max_bytes)
    output = default_output(source) if output is None else output
    with console.Progress(f"reading {source}") as progress:
        from deepstd import api

        report = api.compress(
            source,
            output,
            ratio=ratio,
            bpv=bpv,
            max_bytes=max_bytes,
            model=model,
            device=device,
            overwrite=overwrite,
            progress=progress,
        )
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
            help="Scan to write; its suffix (.nii.gz, .nii, .npy, .png, .tif) says which format.",
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


def default_output(source: Path) -> Path:
    """The source beside which nothing was said: scan.nii.gz gives scan.dstd."""
    name = source.name
    if name.lower().endswith(".nii.gz"):
        name = name[: -len(".gz")]
    return source.with_name(Path(name).stem + _SUFFIX)
