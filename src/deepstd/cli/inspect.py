"""``info`` and ``verify``: what a file says of itself, and whether it is true.

IN.dstd ─ deepstd.inspect ─▶ sizes, bundle, figures, sections        (no torch)
DICOM ─ io.survey ─▶ the series in it
IN.dstd ─ deepstd.verify ─▶ decoded, checked, measured
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from deepstd.cli import console, options

_DIFFERS = 1


def info(
    source: Annotated[
        str,
        typer.Argument(
            metavar="IN.dstd|DIR",
            help="A compressed scan: a file, a URL, or - for stdin. Or a folder, zip archive or "
            "file of DICOM.",
        ),
    ],
    as_json: options.Json = False,
) -> None:
    """Show what is in a compressed scan, or which DICOM series are in a folder.

    Nothing is decoded.
    """
    from deepstd import io
    from deepstd.inspection import describe

    if io.holds_series(source):
        surveyed = io.survey([Path(source)])
        if as_json:
            console.result_json(surveyed)
        else:
            console.result(_series_in_words(surveyed))
        return
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
        *_registration(described["registration"]),
        ("parts", _parts(described["sections"])),
    ]
    console.result(console.pairs(entries))


def _registration(told: dict[str, float] | None) -> list[tuple[str, str]]:
    """A line on the deformation field, if the file has one."""
    if told is None:
        return []
    words = f"{told['bytes']:.0f} bytes"
    if "ncc_after" in told:
        words += (
            f", correlation with the template {told['ncc_before']:.2f} -> {told['ncc_after']:.2f}, "
            f"cycle error {told['cycle_error_voxels']:.2f} voxels, folding "
            f"{told['folding_percent']:.3f} %"
        )
    return [("field", words)]


def _series_in_words(surveyed: dict[str, Any]) -> str:
    """A table of series, then what is to be known of each, then what is none."""
    head = ("series", "modality", "files", "size", "voxel (mm)", "stored as", "compressed as")
    rows = []
    for entry in surveyed["series"]:
        size = "cannot be compressed" if entry["shape"] is None else _joined(entry["shape"], "g")
        spacing = "-" if entry["spacing_mm"] is None else _joined(entry["spacing_mm"], ".4g")
        stored = f"{entry['dtype']}, {entry['bits']} bits"
        rows.append(
            (
                entry["id"],
                entry["modality"],
                str(entry["files"]),
                size,
                spacing,
                stored,
                entry["transfer_syntax"],
            )
        )
    parts = [console.table(head, rows)] if rows else ["no series that can be compressed"]
    for entry in surveyed["series"]:
        parts += [f"{entry['id']}: {told}" for told in (entry["problem"], *entry["notes"]) if told]
    parts += [f"{label}: {reason}" for label, reason in surveyed["refused"].items()]
    if surveyed["others"]:
        parts.append(f"{surveyed['others']} other files")
    return "\n".join(parts)


def _joined(values: list[float], form: str) -> str:
    return " x ".join(format(value, form) for value in values)


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
    series: options.Series = None,
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

        report = api.verify(source, against=against, series=series, model=model, device=device)
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
