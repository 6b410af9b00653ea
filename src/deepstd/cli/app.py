"""The command ``deepstd``: sub-commands, error messages and exit codes.

arguments ─▶ command ─▶ exit code 0
               ├─ wrong usage ─────────────▶ 2
               ├─ DeepSTDError ─▶ "error: …" ▶ its own: 1, or 4 for damaged and incompatible files
               ├─ anything else ─▶ "error: …" ▶ 1; DEEPSTD_DEBUG=1 shows where
               └─ Ctrl-C, SIGTERM, SIGHUP ─▶ 130; see `interrupts`
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

import deepstd
from deepstd.cli import (
    batch,
    compare,
    compress,
    console,
    dataset,
    doctor,
    inspect,
    layers,
    model,
    network,
    ome_zarr,
    prepare,
    register,
    train,
    view,
)
from deepstd.errors import OUT_OF_MEMORY, DeepSTDError, is_out_of_memory
from deepstd.interrupts import INTERRUPTED, end_on_signals
from deepstd.memory import keep_freed_memory
from deepstd.threads import wait_passively

_DEBUG = "DEEPSTD_DEBUG"

app = typer.Typer(
    help="Compress medical scans 32 to 512 times with learned models, and restore them.",
    epilog="For research. Not a medical device: do not diagnose from decompressed scans.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("compress")(compress.compress)
app.command("decompress")(compress.decompress)
app.command("ome-zarr")(ome_zarr.ome_zarr)
app.command("batch")(batch.batch)
app.command("restore")(dataset.restore)
app.command("receive")(network.receive)
app.command("send")(network.send)
app.command("info")(inspect.info)
app.command("verify")(inspect.verify)
app.command("view")(view.view)
app.command("strip")(layers.strip)
app.command("complete")(layers.complete)
app.command("register")(register.register)
app.command("prepare")(prepare.prepare)
app.command("train")(train.train)
app.command("compare")(compare.compare)
app.command("evaluate")(compare.evaluate)
app.add_typer(model.app, name="model")
app.command("doctor")(doctor.doctor)


def _version(wanted: bool) -> None:
    if wanted:
        console.result(f"deepstd {deepstd.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Declare the options of the program itself."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: arguments without the program's name; None for the arguments of the process.

    Returns:
        The exit code.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal shows "?" for characters that its encoding lacks.
            stream.reconfigure(errors="replace")
    end_on_signals()
    keep_freed_memory()
    wait_passively()
    try:
        app(args=list(sys.argv[1:] if arguments is None else arguments), prog_name="deepstd")
    except SystemExit as exit_:
        code = exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
        if code == INTERRUPTED:
            console.note("interrupted")
        return code
    except KeyboardInterrupt:
        console.note("interrupted")
        return INTERRUPTED
    except Exception as error:
        return _report(error)
    return 0


def _report(error: Exception) -> int:
    """Print an error as one message; return the exit code."""
    if os.environ.get(_DEBUG):
        import traceback  # needed here alone

        console.result("".join(traceback.format_exception(error)).rstrip(), aside=True)
    if isinstance(error, DeepSTDError):
        console.note(f"error: {error}")
        return error.exit_code
    if is_out_of_memory(error):
        console.note(f"error: {OUT_OF_MEMORY}")
    elif isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        console.note(f"error: {where}{error.strerror or error}")
    else:
        console.note(f"error: {type(error).__name__}: {error}")
        console.note(
            f"This should not happen. {_DEBUG}=1 shows where it did; please report it with the "
            "output of `deepstd doctor`."
        )
    return 1
