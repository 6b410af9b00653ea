"""Options on the metadata of a source: between nothing and everything.

--drop-metadata ─▶ NONE · nothing ─▶ DEIDENTIFIED · --keep-metadata ─▶ ALL
--safe-private, --keep-descriptions, --shift-dates, --keep ─▶ Deidentification
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deepstd.cli import console
from deepstd.errors import InputError

if TYPE_CHECKING:
    from deepstd.io import KeptMetadata

KeepMetadata = Annotated[
    bool,
    typer.Option(
        "--keep-metadata",
        help="Store all metadata of the source, including the patient's identity: whole DICOM data "
        "sets (default: without the attributes that the basic profile of PS3.15 removes), and "
        "key-value pairs of NRRD and MetaImage.",
    ),
]
DropMetadata = Annotated[
    bool,
    typer.Option(
        "--drop-metadata",
        help="Store only geometry, type and value scale: no DICOM data sets, no text and no "
        "extensions of NIfTI.",
    ),
]
SafePrivate = Annotated[
    bool,
    typer.Option(
        "--safe-private",
        help="Keep the private DICOM attributes that PS3.15 lists as safe, such as b-values.",
    ),
]
KeepDescriptions = Annotated[
    bool,
    typer.Option(
        "--keep-descriptions",
        help="Keep DICOM descriptions of studies, series and protocols, without the names, dates "
        "and identifiers that the data set holds. Other names in them are not recognised: look at "
        "them before you give files away.",
    ),
]
ShiftDates = Annotated[
    Path | None,
    typer.Option(
        "--shift-dates",
        metavar="KEY_FILE",
        help="Keep DICOM dates and times, moved by a secret span for each patient, the same in "
        "every run with KEY_FILE. It is made if missing, readable by its owner alone.",
    ),
]
Keep = Annotated[
    list[str] | None,
    typer.Option(
        "--keep",
        metavar="TAG",
        help="Keep this DICOM attribute as it is: StudyDate, or 0008,0020. May be given several "
        "times.",
    ),
]


@dataclass(frozen=True)
class Wishes:
    """Values of the options."""

    keep_all: bool = False
    drop: bool = False
    safe_private: bool = False
    descriptions: bool = False
    shift_dates: Path | None = None
    keep: tuple[str, ...] = ()

    @property
    def beyond_profile(self) -> list[str]:
        """Options that keep more than the basic profile does."""
        given = {
            "--safe-private": self.safe_private,
            "--keep-descriptions": self.descriptions,
            "--shift-dates": self.shift_dates is not None,
            "--keep": bool(self.keep),
        }
        return [name for name, value in given.items() if value]

    def check(self) -> None:
        """Raise a usage error where options exclude each other or name no attribute.

        Raises:
            MissingExtraError: attributes are named, and pydicom is not installed.
        """
        if self.keep_all and self.drop:
            raise typer.BadParameter("--keep-metadata and --drop-metadata exclude each other")
        more = self.beyond_profile
        if more and (self.keep_all or self.drop):
            which = "--keep-metadata" if self.keep_all else "--drop-metadata"
            raise typer.BadParameter(f"{which} and {more[0]} exclude each other")
        if self.keep:
            from deepstd.io.dicom import tags_named  # not at the top: it imports NumPy

            try:
                tags_named(self.keep)
            except InputError as error:
                raise typer.BadParameter(str(error)) from error

    def kept(self, *, is_planned: bool = False) -> KeptMetadata:
        """Return the metadata to store; make the key file of dates where it is missing.

        Args:
            is_planned: nothing is written, so a missing key file is not made.

        Raises:
            InputError: the key file cannot be used.
        """
        from deepstd.io import Deidentification, Metadata, date_key

        if self.keep_all:
            return Metadata.ALL
        if self.drop:
            return Metadata.NONE
        if not self.beyond_profile:
            return Metadata.DEIDENTIFIED
        key = None
        if self.shift_dates is not None:
            key = date_key(self.shift_dates, make=not is_planned)
        return Deidentification(self.safe_private, self.descriptions, key, self.keep)

    def note(self) -> None:
        """Print what the kept metadata may still reveal."""
        if self.descriptions:
            console.note(
                "note: descriptions lost the names, dates and identifiers that the data sets hold; "
                "any other name in them is still there. Look at them before you give files away"
            )
        if self.shift_dates is not None:
            console.note(
                f"note: who has {self.shift_dates} can undo the moved dates: keep it, and keep it "
                "to yourself"
            )
        if self.keep:
            console.note(f"note: kept as they are, whatever they reveal: {', '.join(self.keep)}")
