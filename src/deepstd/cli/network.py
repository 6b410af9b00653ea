"""``receive`` and ``send``: from the network into an archive, and from there back.

node ─ deepstd.network.receive ─▶ SPOOL, OUT_DIR        IN.dstd ─ deepstd.network.send ─▶ node
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from deepstd.cli import console, metadata_options, options
from deepstd.cli.batch import OnMissing
from deepstd.errors import InputError
from deepstd.rate.effort import NORMAL

_LOOPBACK, _PORT, _TITLE = "127.0.0.1", 11112, "DEEPSTD"
_SOME_FAILED = 3
_GIGABYTE = 10**9


class Originals(StrEnum):
    """Policy on originals."""

    KEEP = "keep"
    DELETE = "delete"


def _title(text: str) -> str:
    from deepstd.network.peers import title_of

    try:
        return title_of(text)
    except InputError as error:
        raise typer.BadParameter(str(error)) from error


def receive(
    spool: Annotated[
        Path,
        typer.Argument(metavar="SPOOL", help="Folder for the originals. It names patients."),
    ],
    output: Annotated[
        Path, typer.Argument(metavar="OUT_DIR", help="Folder for the compressed series.")
    ],
    host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="Address of this machine to listen on. DICOM has no passwords: 0.0.0.0 lets "
            "everybody in the network send.",
        ),
    ] = _LOOPBACK,
    port: Annotated[int, typer.Option(min=0, max=65535, help="TCP port; 0 takes a free one.")] = (
        _PORT
    ),
    title: Annotated[
        str,
        typer.Option("--ae-title", metavar="AET", parser=_title, help="Title of this node."),
    ] = _TITLE,
    calling: Annotated[
        list[str] | None,
        typer.Option(
            metavar="AET",
            parser=_title,
            help="Accept associations of this sender, by its AE title, and of no others; may be "
            "repeated. A title is a name and no proof.",
        ),
    ] = None,
    tls_cert: Annotated[
        Path | None,
        typer.Option(
            "--tls-cert", metavar="FILE", help="Encrypt connections, with this certificate (PEM)."
        ),
    ] = None,
    tls_key: Annotated[
        Path | None,
        typer.Option(
            "--tls-key", metavar="FILE", help="Private key of --tls-cert (PEM, no password)."
        ),
    ] = None,
    quiet: Annotated[
        float,
        typer.Option(
            parser=options.duration,
            metavar="TIME",
            help="Compress a series after this time without a new object. A series that is known "
            "to be complete is compressed at once.",
        ),
    ] = "30s",  # pyright: ignore[reportArgumentType]  typer parses it
    min_free: Annotated[
        int,
        typer.Option(
            "--min-free",
            parser=options.size,
            metavar="SIZE",
            help="Refuse objects (status A700) while a disk has less free space.",
        ),
    ] = "1GB",  # pyright: ignore[reportArgumentType]
    originals: Annotated[
        Originals,
        typer.Option(
            help="keep: originals stay in SPOOL. delete: they are deleted once the output is "
            "decoded and compared with them.",
        ),
    ] = Originals.KEEP,
    ratio: options.Ratio = None,
    bpv: options.Bpv = None,
    max_bytes: options.MaxBytes = None,
    lossless: options.Lossless = False,
    max_error: options.MaxError = None,
    min_psnr: options.MinPsnr = None,
    min_ssim: options.MinSsim = None,
    mae: options.Mae = None,
    with_residual: options.WithResidual = False,
    on_miss: OnMissing = None,
    model: options.Model = "auto",
    effort: options.Effort = NORMAL,
    device: options.Device = "auto",
    processes: Annotated[
        int,
        typer.Option(
            "--processes", "-j", metavar="N", min=1, help="Series compressed in parallel."
        ),
    ] = 1,
    keep_metadata: metadata_options.KeepMetadata = False,
    drop_metadata: metadata_options.DropMetadata = False,
    safe_private: metadata_options.SafePrivate = False,
    keep_descriptions: metadata_options.KeepDescriptions = False,
    shift_dates: metadata_options.ShiftDates = None,
    keep: metadata_options.Keep = None,
) -> None:
    """Receive DICOM series from the network and compress each, until Ctrl-C or SIGTERM.

    A sender gets success once an object is safe on the disk. After a crash or a kill the same
    command goes on: nothing is lost, and nothing is stored twice. The same object sent again is
    stored once; another one with the same SOP Instance UID is refused (status C111).

    Give a size (--ratio, --bpv, --max-bytes) or a quality (--min-psnr, --min-ssim, --mae,
    --max-error, --lossless), as for `batch`. OUT_DIR gets a file and a line of ledger.jsonl for
    each series. What cannot be compressed stays in SPOOL, and is tried again at the next start.
    """
    fidelity = options.Fidelity(lossless, max_error, min_psnr, min_ssim, mae)
    more: dict[str, Any] = {"model": model, "effort": effort, "with_residual": with_residual}
    target = options.target(ratio, bpv, max_bytes, fidelity, **more)
    if on_miss is not None and not target.conditional:
        raise typer.BadParameter("--on-miss needs a size and a quality, such as --min-psnr 40")
    more_kept = (safe_private, keep_descriptions, shift_dates, tuple(keep or ()))
    wishes = metadata_options.Wishes(keep_metadata, drop_metadata, *more_kept)
    wishes.check()
    if (tls_cert is None) != (tls_key is None):
        raise typer.BadParameter("--tls-cert and --tls-key go together")
    certificate = None if tls_cert is None or tls_key is None else (tls_cert, tls_key)
    with console.Progress(f"starting to receive into {spool}") as progress:
        from deepstd.network import receive as receiving
        from deepstd.network.node import Address

        settings = receiving.Settings(
            spool,
            output,
            Address(host, port, title),
            target,
            metadata=wishes.kept(),
            device=device,
            processes=processes,
            on_miss=on_miss,
            quiet_seconds=quiet,
            least_free=min_free,
            delete_originals=originals is Originals.DELETE,
            callers=tuple(calling or ()),
            certificate=certificate,
            **more,
        )
        wishes.note()
        if keep_metadata:
            console.note(f"note: {output} gets all metadata, the patients' identities included")
        if settings.delete_originals and not keep_metadata:
            console.note(
                "note: originals are deleted, and with them what the files leave out: "
                "--keep-metadata stores whole data sets"
            )

        def ready(number: int) -> None:
            console.result(f"{title} listens on {host}:{number}")

        receiving.receive(settings, progress, _tell_row, ready)


def _tell_row(row: dict[str, Any]) -> None:
    """Print a line on an output, or on a series that failed."""
    if "error" in row:
        console.note(f"failed: {row['name']}: {row['error']}")
        return
    size = f"{row['files']} objects, {console.size(row['file_bytes'])}, ratio {row['ratio']:.2f}"
    console.result(console.escaped(f"{row['name']}.dstd  {size}"))


def send(
    sources: Annotated[
        list[str], typer.Argument(metavar="IN.dstd...", help="Compressed series: files or URLs.")
    ],
    target: Annotated[
        str,
        typer.Argument(
            metavar="NODE",
            help="HOST:PORT or AET@HOST:PORT of a DICOM node, or the base URL of a DICOMweb "
            "server, such as https://pacs/dicom-web.",
        ),
    ],
    title: Annotated[
        str,
        typer.Option(
            "--ae-title", metavar="AET", parser=_title, help="Title of this side, for C-STORE."
        ),
    ] = _TITLE,
    tls_ca: Annotated[
        Path | None,
        typer.Option(
            "--tls-ca",
            metavar="FILE",
            help="Encrypt the connection to a DICOM node, and trust the certificates of this "
            "authority (PEM). The certificate must name HOST.",
        ),
    ] = None,
    model: options.WrittenWith = "auto",
    device: options.Device = "auto",
    lossy: Annotated[
        bool,
        typer.Option(
            "--lossy", help="Leave out the exact part of a file that was made --with-residual."
        ),
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Restore compressed series and send them to a DICOM node or a DICOMweb server.

    Objects are sent uncompressed (explicit VR little endian). Exit code 3 when some objects were
    not taken, 1 when none was.
    """
    with console.Progress(f"sending to {options.shown(target)}") as progress:
        from deepstd.network.send import send as send_all

        outcomes = send_all(
            sources,
            target,
            calling=title,
            model=model,
            device=device,
            lossy=lossy,
            authority=tls_ca,
            tell=progress,
        )
    failures = [(one.file, uid, why) for one in outcomes for uid, why in one.failures.items()]
    if as_json:
        console.result_json(
            [{"file": o.file, "sent": o.sent, "failures": o.failures} for o in outcomes]
        )
    else:
        for one in outcomes:
            failed = f", {len(one.failures)} failed" if one.failures else ""
            told = f"{one.file} -> {options.shown(target)}: {one.sent} objects{failed}"
            console.result(console.escaped(told))
    for file, uid, why in failures:
        console.note(f"failed: {why if not uid else f'{file}: {uid}: {why}'}")
    if failures:
        raise typer.Exit(_SOME_FAILED if any(one.sent for one in outcomes) else 1)
