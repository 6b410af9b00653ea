"""``info`` and ``verify``: description of a file, and check of its contents.

IN.dstd ─ deepstd.info ─▶    sizes, bundle, metrics, notes, sections        (no torch)
folder ─ deepstd.listing ─▶ a line for each scan in it                      (no torch)
IN.dstd ─ deepstd.verify ─▶ decoded, checked, measured
folder ─ cli.dataset ─▶ a line for each problem in it
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from deepstd.cli import console, options
from deepstd.cli.dataset import verify_folder
from deepstd.cli.listing import in_words

_DIFFERS = 1


def info(
    source: Annotated[
        str,
        typer.Argument(
            metavar="IN.dstd|DIR",
            help="A compressed scan: a file, a URL, or - for stdin. Or a folder, zip archive or "
            "file of scans.",
        ),
    ],
    as_json: options.Json = False,
) -> None:
    """Describe a compressed scan, or list the scans in a folder.

    For a folder, zip archive or file of scans: a line for each DICOM series, other scan and
    compressed scan, with the description and date of its header. Nothing is decoded.
    """
    from deepstd import inspection
    from deepstd.listing import is_listed, listing

    if is_listed(source):
        found = listing(Path(source))
        if as_json:
            console.result_json(found)
        else:
            console.result(in_words(found))
        return
    described = inspection.info(source).to_dict()
    if as_json:
        console.result_json(described)
        return
    bundle, quality = described["bundle"], described["quality"]
    scale = described["slope"], described["unit"]
    shape = " x ".join(map(str, described["shape"]))
    order = ", big-endian" if described["byte_order"] == "big" else ""
    file_bytes = console.size(described["file_bytes"])
    error = "not stated" if quality is None else console.figures(quality, *scale)
    entries = [
        ("file", described["file"]),
        ("scan", f"{shape}, {described['dtype']}{order}, from {described['source_format']}"),
        ("size", f"{file_bytes}, {console.rate(described)}"),
        ("bundle", f"{bundle['name']} {bundle['version']} ({bundle['digest']})"),
        ("error", "none: lossless" if described["lossless"] else error),
        *console.asked(described["asked"], described["unit"]),
        *console.layers(described),
        *_registration(described["registration"]),
        ("chunks", _parts(described["sections"])),
    ]
    console.result(console.pairs(entries))
    console.notes(described["notes"])


def _registration(values: dict[str, float] | None) -> list[tuple[str, str]]:
    """Format a line on the deformation field; none where the file has no field."""
    if values is None:
        return []
    text = f"{values['bytes']:.0f} bytes"
    if "ncc_after" in values:
        text += (
            f", correlation with the template {values['ncc_before']:.2f} -> "
            f"{values['ncc_after']:.2f}, cycle error {values['cycle_error_voxels']:.2f} voxels, "
            f"folding {values['folding_percent']:.3f} %"
        )
    return [("field", text)]


def _parts(sections: list[dict[str, Any]]) -> str:
    """Format the bytes of each kind of section, in the order of their first occurrence."""
    totals: dict[str, int] = {}
    for section in sections:
        totals[section["name"]] = totals.get(section["name"], 0) + section["bytes"]
    return ", ".join(f"{name} {nbytes:,}" for name, nbytes in totals.items())


def verify(
    source: Annotated[
        str,
        typer.Argument(
            metavar="IN.dstd|DIR",
            help="A compressed scan: a file, a URL, or - for stdin. Or a folder of them.",
        ),
    ],
    against: Annotated[
        str | None,
        typer.Option(
            metavar="SRC",
            help="The original scan, a file or a URL, to measure against; for a folder the folder "
            "or zip archive of the originals.",
        ),
    ] = None,
    series: options.Series = None,
    model: options.WrittenWith = "auto",
    device: options.Device = "auto",
    decode: Annotated[
        bool,
        typer.Option("--decode", help="Of a folder: decode every scan, too, which takes longer."),
    ] = False,
    ledger: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Of a folder: keep results in FILE. The same command then goes on where it was "
            "interrupted, and passes over files that have not changed since.",
        ),
    ] = None,
    processes: options.Processes = 1,
    as_json: options.Json = False,
) -> None:
    """Decode a compressed scan, or check a folder of them.

    With --against, its error is measured as well. Exit code 4 when the file is damaged, 1 when the
    measured error differs from the error that the file states.

    Of a folder, every file is compared with its sum in SHA256SUMS, and the checksums in every
    compressed scan are checked. With --against all scans are compared with their originals, and
    the other files, too. A line for each problem is printed. Exit code 3 when some files have
    problems, 1 when all have.
    """
    if source != "-" and Path(source).is_dir():
        if series is not None:
            raise typer.BadParameter("--series is for one scan, not for a folder")
        verify_folder(
            Path(source),
            None if against is None else Path(against),
            decode=decode,
            ledger=ledger,
            model=model,
            device=device,
            processes=processes,
            as_json=as_json,
        )
        return
    if decode or ledger is not None or processes != 1:
        raise typer.BadParameter("--decode, --ledger and --processes are for a folder")
    with console.Progress(f"decoding {options.shown(source)}"):
        from deepstd import api

        report = api.verify(source, against=against, series=series, model=model, device=device)
    if as_json:
        console.result_json(report.to_dict())
    else:
        entries = [("file", f"{report.source}: whole, and decodes as it was encoded")]
        entries.append(("bundle", report.bundle))
        scale = report.slope, report.unit
        if report.lossless:
            entries.append(("error", "none: lossless, and the hash of all voxels is right"))
        elif report.stated is not None:
            entries.append(("stated error", console.figures(report.stated, *scale)))
        if report.layered:
            entries.append(("exact part", "whole, and the hash of all voxels is right"))
        if report.measured is not None:
            against_it = console.figures(report.measured, *scale)
            entries.append((f"against {report.against}", against_it))
        console.result(console.pairs(entries))
        console.notes(report.notes)
    if report.as_stated is False:
        console.note(
            f"error: the error against {report.against} is not what {report.source} states: it "
            "was made of another scan"
        )
        raise typer.Exit(_DIFFERS)
