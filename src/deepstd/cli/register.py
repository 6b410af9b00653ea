"""``register``: registration of a scan to another scan, or to a bundle's template.

MOVING, FIXED or BUNDLE ─ deepstd.register ─▶ OUT, labels, displacement fields
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from deepstd.cli import console, options
from deepstd.errors import InputError
from deepstd.extras import check_torch

if TYPE_CHECKING:
    from deepstd.registration.files import RegisterReport


def register(
    moving: Annotated[str, typer.Argument(metavar="MOVING", help="The scan: a file or a URL.")],
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="FIXED|BUNDLE",
            help="The scan to register to, or a bundle with a template, by name or folder.",
        ),
    ],
    output: Annotated[
        str,
        typer.Option("--output", "-o", metavar="OUT", help="MOVING, warped to the grid of FIXED."),
    ],
    inverse: Annotated[
        str | None, typer.Option(metavar="OUT", help="FIXED, warped to the grid of MOVING.")
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(metavar="LABELS", help="Labels of MOVING, to be warped or compared."),
    ] = None,
    warped_labels: Annotated[
        str | None, typer.Option(metavar="OUT", help="Labels of MOVING, on the grid of FIXED.")
    ] = None,
    fixed_labels: Annotated[
        str | None,
        typer.Option(
            metavar="LABELS",
            help="Labels of FIXED, to be warped or compared. With labels of both scans, their Dice "
            "is reported.",
        ),
    ] = None,
    inverse_labels: Annotated[
        str | None, typer.Option(metavar="OUT", help="Labels of FIXED, on the grid of MOVING.")
    ] = None,
    field: Annotated[
        str | None,
        typer.Option(
            metavar="OUT.nii.gz",
            help="Displacement field on the grid of FIXED, for SimpleITK and ANTs to warp MOVING.",
        ),
    ] = None,
    inverse_field: Annotated[
        str | None,
        typer.Option(metavar="OUT.nii.gz", help="Displacement field on the grid of MOVING."),
    ] = None,
    as_json: options.Json = False,
    overwrite: options.Overwrite = False,
) -> None:
    """Register a scan to another, or to a bundle's template.

    Sizes, spacings and orientations may differ. Images are interpolated linearly; labels keep their
    values.
    """
    check_torch("registration", "train")
    with console.Progress(f"reading {options.shown(moving)}") as progress:
        from deepstd.registration import files as registration

        others = registration.Outputs(
            inverse, labels, warped_labels, fixed_labels, inverse_labels, field, inverse_field
        )
        try:
            others.check()
        except InputError as error:
            raise typer.BadParameter(str(error)) from error
        report = registration.register(
            moving, to, output, others, overwrite=overwrite, progress=progress
        )
    for note in report.notes:
        console.note(f"warning: {note}")
    if as_json:
        console.result_json(report.to_dict())
        return
    correlations = (report.ncc_before, report.ncc_affine, report.ncc_after)
    before, affine, after = (f"{value:.4f}" for value in correlations)
    entries = [
        ("correlation", f"{before} by the headers, {affine} affine, {after} with the field"),
        ("cycle error", f"{report.cycle_error_voxels:.3f} voxels"),
        ("folding", f"{report.folding_percent:.3f} %"),
        *((f"Dice of {label}", _from_to(report, label)) for label in report.dice),
        ("time", f"{report.seconds:.1f} s"),
        *((kind.replace("_", " "), location) for kind, location in report.outputs.items()),
    ]
    files = console.escaped(f"{report.moving} -> {report.fixed}")
    console.result(f"{files}\n{console.pairs(entries)}")


def _from_to(report: RegisterReport, label: int) -> str:
    """Format the Dice of a label before and after registration."""
    return f"{report.dice_before[label]:.4f} by the headers, {report.dice[label]:.4f} registered"
