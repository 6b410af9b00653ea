"""``info`` and ``verify``: what a file says of itself, and whether it is true.

IN.dstd ─ deepstd.inspect ─▶ sizes, bundle, figures, sections        (no torch)
IN.dstd ─ deepstd.verify ─▶ decoded, checked, measured
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from deepstd.cli import console, options

_DIFFERS = 1


def info(source: options.Compressed, as_json: options.Json = False) -> None:
    """Show what is in a compressed scan.

    Nothing is decoded.
    """
    from deepstd.inspection import describe

    described = describe(source)
    if as_json:
        console.result_json(described)
        return
    bundle, quality = described["bundle"], described["quality"]
    shape = " x ".join(map(str, described["shape"]))
    order = ", big-endian" if described["byte_order"] == "big" else ""
    file_bytes = console.size(described["file_bytes"])
    entries = [
        ("file", described["file"]),
        ("scan", f"{shape}, {described['dtype']}{order}, from {described['source_format']}"),
        ("size", f"{file_bytes}, ratio {described['ratio']:.2f}, {described['bpv']:.4f} bpv"),
        ("bundle", f"{bundle['name']} {bundle['version']} ({bundle['digest']})"),
        ("error", "not stated" if quality is None else console.figures(**quality)),
        ("parts", _parts(described["sections"])),
    ]
    console.result(console.pairs(entries))


def _parts(sections: list[dict[str, Any]]) -> str:
    """Bytes of each kind of section, in the order of their first."""
    totals: dict[str, int] = {}
    for section in sections:
        totals[section["name"]] = totals.get(section["name"], 0) + section["bytes"]
    return ", ".join(f"{name} {nbytes:,}" for name, nbytes in totals.items())


def verify(
    source: options.Compressed,
    against: Annotated[
        str | None,
        typer.Option(metavar="SRC", help="The original scan, a file or a URL, to measure against."),
    ] = None,
    model: options.WrittenWith = "auto",
    device: options.Device = "auto",
    as_json: options.Json = False,
) -> None:
    """Decode a compressed scan to check it.

    With --against its error is measured, too. Exit code 4 when the file is damaged, 1 when the
    measured error is not what the file states.
    """
    with console.Progress(f"decoding {options.shown(source)}"):
        from deepstd import api

        report = api.verify(source, against=against, model=model, device=device)
    if as_json:
        console.result_json(report.to_dict())
    else:
        entries = [("file", f"{report.source}: whole, and decodes as it was encoded")]
        entries.append(("bundle", report.bundle))
        if report.stated is not None:
            entries.append(("stated error", console.figures(**report.stated)))
        if report.measured is not None:
            entries.append((f"against {report.against}", console.figures(**report.measured)))
        console.result(console.pairs(entries))
    if report.as_stated is False:
        console.note(
            f"error: the error against {report.against} is not what {report.source} states: it "
            "was made of another scan"
        )
        raise typer.Exit(_DIFFERS)
