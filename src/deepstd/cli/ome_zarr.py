"""``ome-zarr``: a compressed scan as an OME-Zarr pyramid, for viewers of chunked images.

IN.dstd ─ deepstd.zarr.write_ome_zarr ─▶ OUT.ome.zarr
"""

from __future__ import annotations

from typing import Annotated

import typer

from deepstd.cli import console, options

_CHUNK = 64


def ome_zarr(
    source: options.Compressed,
    output: Annotated[
        str,
        typer.Option(
            "--output", "-o", metavar="OUT.ome.zarr", help="Folder to write; a local one."
        ),
    ],
    lossless: Annotated[
        bool,
        typer.Option("--lossless", help="Code the chunks with the codec deepstd, bit for bit."),
    ] = False,
    max_error: Annotated[
        float | None,
        typer.Option(
            "--max-error",
            parser=options.positive,
            metavar="E",
            help="Code the chunks with the codec deepstd; largest error of any stored value.",
        ),
    ] = None,
    ratio: Annotated[
        float | None,
        typer.Option(
            "--ratio",
            parser=options.positive,
            metavar="R",
            help="Code the chunks with the codec deepstd at this compression ratio.",
        ),
    ] = None,
    chunk: Annotated[
        int,
        typer.Option("--chunk", metavar="N", help="Voxels of a chunk along each axis, 8 to 1024."),
    ] = _CHUNK,
    model: options.WrittenWith = "auto",
    device: options.Device = "auto",
    overwrite: options.Overwrite = False,
) -> None:
    """Write a compressed scan and its previews as an OME-Zarr 0.5 image.

    Each resolution is a level of the file (see `decompress --level`). Chunks are Blosc with
    Zstandard, which every reader of Zarr 3 has. With one of --lossless, --max-error and --ratio
    readers need DeepSTD. Values are stored values; slope, intercept and affine are in the attribute
    "deepstd".
    """
    if lossless + (max_error is not None) + (ratio is not None) > 1:
        raise typer.BadParameter("give one of --lossless, --max-error and --ratio")
    with console.Progress(f"restoring {options.shown(source)}") as progress:
        from deepstd import io, zarr

        codec = None
        if lossless or max_error is not None or ratio is not None:
            codec = zarr.DeepSTDCodec(lossless=lossless, max_error=max_error, ratio=ratio)
        levels = zarr.write_ome_zarr(
            source,
            output,
            codec=codec,
            chunk=chunk,
            model=model,
            device=device,
            overwrite=overwrite,
            progress=progress,
        )
    console.result(console.escaped(f"{options.shown(source)} -> {io.shown(output)}"))
    for level in levels:
        shape, scale = (" x ".join(f"{n:.4g}" for n in row) for row in (level.shape, level.scale))
        console.result(f"{level.path}: {shape}, spacing {scale}")
