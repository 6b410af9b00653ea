"""``compare`` and ``evaluate``: comparison of codecs, and DeepSTD over a data set.

SRC … ─ every codec at every ratio ─▶ FOLDER/results.jsonl ─▶ FOLDER/report.html, table
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deepstd.cli import console, options
from deepstd.errors import InputError

if TYPE_CHECKING:
    from deepstd.evaluate.compare import Request
    from deepstd.evaluate.rows import Row

SOME_FAILED = 3
_WHOLE_FROM = 1000  # numbers without decimals in tables of measures
_Sources = Annotated[list[Path], typer.Argument(metavar="SRC", help="Scans, and folders of scans.")]
_Folder = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        metavar="FOLDER",
        help="Folder for results.jsonl and report.html. Existing results are not computed again.",
    ),
]
_Ratios = Annotated[
    str,
    typer.Option(metavar="R,R,…", help="Bytes of the stored voxels divided by bytes of the file."),
]

_Segmenter = Annotated[
    str,
    typer.Option(
        metavar="COMMAND",
        help="Your own segmentation program, to compare its labels on original and restored "
        "scans: 'PROGRAM {scan} {labels}', both NIfTI files.",
    ),
]


def compare(
    sources: _Sources,
    folder: _Folder,
    ratios: _Ratios = "32,64,128,256",
    codecs: Annotated[
        str,
        typer.Option(
            metavar="NAME,…",
            help="all, or some of deepstd, jpeg, jpeg2000, jpeg2000-3d, htj2k, jpegxl, hevc, "
            "hevc-slow, av1, vvc, sperr, sz3, zfp, and the lossless gzip, jpegls, "
            "jpegxl-lossless. Besides, the neural brief, gaussians, dvc, tcm, which take minutes "
            "a scan.",
        ),
    ] = "all",
    segmenter: _Segmenter = "",
    model: options.Model = "auto",
    device: options.Device = "auto",
    as_json: options.Json = False,
) -> None:
    """Compare DeepSTD with other codecs at equal file sizes.

    Each codec is brought to the same number of bytes by its own quality setting. A codec that is
    not installed, or cannot reach the size, is listed with the reason. Needs the extras baselines
    and evaluate.
    """
    from deepstd.evaluate.compare import ALL_CODECS
    from deepstd.evaluate.report import write_report

    names = ALL_CODECS if codecs == "all" else _split(codecs)
    request = replace(_request(sources, ratios, names, folder, model, device), segmenter=segmenter)
    rows = _run(request)
    _tell(rows, write_report(folder, rows), as_json)


def evaluate(
    sources: _Sources,
    folder: _Folder,
    ratios: Annotated[
        str | None,
        typer.Option(
            metavar="R,R,…",
            help="Bytes of the stored voxels divided by bytes of the file. Default: 64,128,256; "
            "with --protocol the paper's ratio.",
        ),
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="SRC is a public data set: ctspine1k, amos, chexpert-small, fastmri-brain, "
            "fastmri-knee or synapse. Its test scans are measured as in the paper, beside the "
            "paper's own figures.",
        ),
    ] = None,
    most: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="With --protocol: at most so many test scans."),
    ] = None,
    segmenter: _Segmenter = "",
    bandwidth: Annotated[
        int,
        typer.Option(
            parser=options.size, metavar="SIZE", help="Bytes per second, for transmission times."
        ),
    ] = "500kB",  # pyright: ignore[reportArgumentType]  typer parses it
    model: options.Model = "auto",
    device: options.Device = "auto",
    as_json: options.Json = False,
) -> None:
    """Measure DeepSTD over a data set: quality, accuracy of the ratio, time and size.

    Needs the extra evaluate.
    """
    from deepstd.evaluate.cases import OUR_CODEC
    from deepstd.evaluate.dataset import write_dataset_report

    if protocol is not None:
        _check_protocol(protocol, sources)
        ratios = ratios or str(_paper_ratio(protocol))
        sources = _test_files(protocol, sources[0], folder, most)
    elif most is not None:
        raise InputError("--most goes with --protocol")
    request = _request(sources, ratios or "64,128,256", (OUR_CODEC,), folder, model, device)
    rows = _run(replace(request, segmenter=segmenter))
    _tell(rows, write_dataset_report(folder, rows, bandwidth), as_json, protocol)


def _request(
    sources: Sequence[Path],
    ratios: str,
    codecs: Sequence[str],
    folder: Path,
    model: str,
    device: str,
) -> Request:
    from deepstd.evaluate.compare import Request

    numbers = tuple(options.positive(text) for text in _split(ratios))
    return Request(tuple(sources), numbers, tuple(codecs), folder, model, device)


def _run(request: Request) -> list[Row]:
    from deepstd.evaluate.compare import compare as run

    with console.Progress("looking for scans", bar=True) as progress:
        return run(request, progress)


def _check_protocol(protocol: str, sources: Sequence[Path]) -> None:
    """Raise an InputError for an unknown data set, or more than one source."""
    from deepstd.datasets import layout_named

    layout_named(protocol)
    if len(sources) != 1:
        raise InputError(f"--protocol {protocol}: give one folder, that of the data set")


def _paper_ratio(protocol: str) -> int:
    from deepstd.evaluate.protocol import ratio_of

    return ratio_of(protocol)


def _test_files(protocol: str, source: Path, folder: Path, most: int | None) -> list[Path]:
    from deepstd.evaluate.protocol import scans_to_test

    with console.Progress("looking for test scans", bar=True) as progress:
        files, remarks = scans_to_test(protocol, source, folder, most=most, progress=progress)
    for remark in remarks:
        console.note(f"note: {remark}")
    return files


def _tell(rows: Sequence[Row], report: Path, as_json: bool, protocol: str | None = None) -> None:
    from deepstd.evaluate.rows import FAILED, INFINITY, to_json

    if as_json:
        plain = [{k: None if v == INFINITY else v for k, v in to_json(row).items()} for row in rows]
        console.result_json(plain if protocol is None else _protocol_json(protocol, rows, plain))
    else:
        console.result(_table(rows))
        if protocol is not None:
            console.result(f"\n{_protocol_table(protocol, rows)}")
        console.result(f"\n{console.escaped(str(report))}")
    failed = sum(row.status == FAILED for row in rows)
    if failed:
        console.note(f"{failed} of {len(rows)} failed; the same command tries these again")
        raise typer.Exit(SOME_FAILED)


def _table(rows: Sequence[Row]) -> str:
    from deepstd.evaluate.tables import number, percent

    head = ("scan", "size", "codec", "bytes", "used", "MAE", "PSNR", "SSIM", "encode", "decode", "")
    lines = []
    for row in rows:
        fill = "" if row.fill is None else percent(row.fill, row.fill)
        nbytes = "" if row.nbytes is None else f"{row.nbytes:,}"
        figures = [
            "" if getattr(row, name) is None else number(getattr(row, name), name)
            for name in ("mae", "psnr", "ssim", "encode_s", "decode_s")
        ]
        figures[0] += _unit(row) if figures[0] else ""
        note = row.note if row.status in ("ok", "cannot") else f"{row.status}: {row.note}"
        lines.append((row.scan, row.target, row.codec, nbytes, fill, *figures, note))
    return console.table(head, lines)


def _protocol_json(
    protocol: str, rows: Sequence[Row], plain: list[dict[str, Any]]
) -> dict[str, Any]:
    from deepstd.evaluate.protocol import as_json, measures

    return {"rows": plain, **as_json(protocol, measures(protocol, rows))}


def _protocol_table(protocol: str, rows: Sequence[Row]) -> str:
    """Return the paper's measures, ours and the paper's, as a table with a remark."""
    from deepstd.datasets import PAPER
    from deepstd.evaluate.protocol import measures

    found, paper = measures(protocol, rows), PAPER[protocol]
    targets = list(found[0].ours)
    at = "" if paper.ratio is None else f" at {paper.ratio}×"
    lines = [
        (
            measure.title,
            *(_plain(measure.ours[target]) for target in targets),
            _plain(None if measure.paper is None else measure.paper.value),
            "" if measure.paper is None else measure.paper.where,
        )
        for measure in found
    ]
    table = console.table(("measure", *targets, f"paper{at}", "where"), lines)
    return f"{table}\nThe paper: {paper.remark}."


def _plain(value: float | None) -> str:
    """Return a number with four digits, or all before the point; "–" for none."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= _WHOLE_FROM else f"{value:.4g}"


def _unit(row: Row) -> str:
    """Return the unit of a row's errors with a space before it; "" where it is unknown."""
    from deepstd.evaluate.figures import UNKNOWN_UNIT

    unit = row.definitions.get("mae", "").partition("[")[2].rstrip("]")
    return "" if unit in ("", UNKNOWN_UNIT) else f" {unit}"


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
