"""``view``: a page with the restored scan beside its original, served to this machine alone.

IN.dstd, SRC ─ decode, compare ─▶ Scene ─ server on 127.0.0.1 ─▶ browser, until Ctrl-C
"""

from __future__ import annotations

import os
import sys
import webbrowser
from typing import Annotated

import typer

from deepstd.cli import console, options


def view(
    source: options.Compressed,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="SRC",
            help="The original scan, a file, DICOM folder or URL, to be shown beside it.",
        ),
    ] = None,
    series: options.Series = None,
    lossy: Annotated[
        bool,
        typer.Option(
            "--lossy", help="Show the lossy part of a file that was made --with-residual."
        ),
    ] = False,
    port: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            max=65535,
            help="Port to listen at, as for a tunnel; any free one by default.",
        ),
    ] = None,
    opens: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page in a browser, or only name it.")
    ] = True,
    model: options.WrittenWith = "auto",
    device: options.Device = "auto",
) -> None:
    """Show a compressed scan in the browser, beside its original.

    The page is served to this machine alone, under an address with a secret token. Nothing is
    fetched from elsewhere and nothing is sent. Ctrl-C ends it, and so does an hour without use.
    """
    with console.Progress(f"decoding {options.shown(source)}") as progress:
        from deepstd.viewer.scene import load_scene
        from deepstd.viewer.server import ViewServer

        scene = load_scene(
            source,
            against=against,
            series=series,
            model=model,
            device=device,
            lossy=lossy,
            progress=progress,
        )
    with ViewServer(scene, port) as server:
        console.result(server.url)
        if opens and not _opened(server.url):
            console.note(
                "no browser was found here: open the address yourself. On a remote machine, first "
                f"run on your own: ssh -L {server.server_port}:127.0.0.1:{server.server_port} HOST"
            )
        console.note("Ctrl-C ends the page")
        try:
            server.serve()
            console.note("ended after an hour without use")
        except KeyboardInterrupt:
            console.note("ended")


def _opened(url: str) -> bool:
    """Open a page in a graphical browser; return False where there is none."""
    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        return False  # browsers for terminals would take this one over
    return webbrowser.open(url)
