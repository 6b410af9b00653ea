"""``strip`` and ``complete``: the exact part of a layered file cut off, and joined again.

FILE ─ deepstd.strip ─▶ lossy OUT, exact part ─ deepstd.complete ─▶ layered OUT      (no bundle)
"""

from __future__ import annotations

from typing import Annotated

import typer

from deepstd.cli import console, options


def strip(
    source: options.Compressed,
    output: Annotated[
        str, typer.Argument(metavar="OUT.dstd", help="The lossy file: a file, a URL, or -.")
    ],
    keep_residual: Annotated[
        str | None,
        typer.Option(
            "--keep-residual",
            metavar="PATH",
            help="Write the exact part to this file or URL; `deepstd complete` joins it again.",
        ),
    ] = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Cut the exact part off a file that was made with --with-residual.

    OUT.dstd is the file without --with-residual, byte for byte. Nothing is decoded.
    """
    from deepstd import io, layers

    layers.strip(source, output, keep_residual=keep_residual, overwrite=overwrite)
    tell = console.note if io.STREAM in (output, keep_residual) else console.result
    tell(console.escaped(f"{options.shown(source)} -> {io.shown(output)}"))
    if keep_residual is not None:
        tell(console.escaped(f"exact part -> {io.shown(keep_residual)}"))


def complete(
    lossy: Annotated[
        str, typer.Argument(metavar="LOSSY.dstd", help="A lossy file: a file, a URL, or -.")
    ],
    residual: Annotated[
        str,
        typer.Argument(
            metavar="RESIDUAL", help="Its exact part, as strip --keep-residual wrote it."
        ),
    ],
    output: Annotated[
        str, typer.Argument(metavar="OUT.dstd", help="The whole file: a file, a URL, or -.")
    ],
    overwrite: options.Overwrite = False,
) -> None:
    """Join a lossy file and its exact part, so that the exact scan comes back.

    A part of another file is refused. Nothing is decoded; `deepstd verify` does that.
    """
    from deepstd import io, layers

    layers.complete(lossy, residual, output, overwrite=overwrite)
    tell = console.note if output == io.STREAM else console.result
    tell(
        console.escaped(f"{options.shown(lossy)}, {options.shown(residual)} -> {io.shown(output)}")
    )
