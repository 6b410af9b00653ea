"""Options shared by several commands, and parsers of sizes and times.

"2MiB" ─▶ 2097152 bytes        "1h30m" ─▶ 5400 seconds
"""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass
from typing import Annotated

import typer

from deepstd.errors import InputError, RateError
from deepstd.rate.bound import ErrorBound
from deepstd.rate.effort import effort_named
from deepstd.rate.goal import QualityGoal
from deepstd.rate.target import Target, check_alone, check_residual
from deepstd.train.session import seconds_of

_UNITS = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?|\.[0-9]+)\s*([a-z]*)")


def size(text: str) -> int:
    """Parse a size such as 4096, 300kB, 1.5MB or 2MiB; return bytes."""
    match = _SIZE.fullmatch(text.strip().lower())
    nbytes = 0
    if match is not None and match[2] in _UNITS:
        nbytes = math.floor(float(match[1]) * _UNITS[match[2]])
    if nbytes < 1:
        raise typer.BadParameter(f"{text!r} is not a size such as 4096, 300kB, 1.5MB or 2MiB")
    return nbytes


def positive(text: str) -> float:
    """Parse a finite number above zero."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise typer.BadParameter(f"{text!r} is not a number above zero")
    return number


def effort(text: str) -> str:
    """Check and return the name of an effort."""
    try:
        effort_named(text)
    except InputError as error:
        raise typer.BadParameter(str(error)) from error
    return text


def duration(text: str) -> float:
    """Parse a time such as 90s, 20m or 1h30m; return seconds."""
    try:
        return seconds_of(text)
    except InputError as error:
        raise typer.BadParameter(str(error)) from error


def shown(location: str) -> str:
    """Return a path or URL without credentials, for messages."""
    from deepstd import io  # not at the top: it imports NumPy

    return "standard input" if location == io.STREAM else io.shown(location)


@dataclass(frozen=True)
class Fidelity:
    """Values of the options for a quality: those of `deepstd.compress`."""

    lossless: bool = False
    max_error: str | None = None
    min_psnr: float | None = None
    min_ssim: float | None = None
    mae: float | None = None

    def given(self) -> list[str]:
        """Return the names of the options that are given."""
        values = asdict(self).items()
        return [
            f"--{name.replace('_', '-')}" for name, value in values if value not in (None, False)
        ]


def target(
    ratio: float | None,
    bpv: float | None,
    max_bytes: int | None,
    fidelity: Fidelity,
    *,
    model: str,
    effort: str,
    with_residual: bool,
) -> Target:
    """Return the requested size, fidelity, or both.

    Raise a usage error where several sizes or several fidelities are given, or none at all, where
    lossless files come with a size or a residual, and where files without a bundle come with a
    bundle or an effort.
    """
    sizes, given = sum(v is not None for v in (ratio, bpv, max_bytes)), fidelity.given()
    if fidelity.lossless and sizes:
        raise typer.BadParameter(
            "--lossless and a size (--ratio, --bpv, --max-bytes) exclude each other"
        )
    if len(given) > 1:
        raise typer.BadParameter(f"{' and '.join(given)} exclude each other")
    if sizes > 1 or not (sizes or given):
        raise typer.BadParameter(
            "say how small the file shall be with exactly one of --ratio (such as 64), --bpv "
            "(0.25) and --max-bytes (300kB), or how good with one of --min-psnr (40), --min-ssim "
            "(0.95), --mae (5) and --max-error (8 or 1%), or keep every voxel with --lossless"
        )
    try:
        bound = None if fidelity.max_error is None else ErrorBound.of(fidelity.max_error)
        goal = QualityGoal.of(fidelity.min_psnr, fidelity.min_ssim, fidelity.mae)
        wanted = Target(ratio, bpv, max_bytes, fidelity.lossless, bound, goal)
        check_alone(wanted, model, effort)
        check_residual(wanted, with_residual=with_residual)
    except (InputError, RateError) as error:
        raise typer.BadParameter(str(error)) from error
    return wanted


Ratio = Annotated[
    float | None,
    typer.Option(
        parser=positive,
        metavar="R",
        help="Compression ratio: bytes of the stored voxels divided by bytes of the whole file.",
    ),
]
Bpv = Annotated[
    float | None,
    typer.Option(parser=positive, metavar="B", help="Bits per voxel of the whole file."),
]
MaxBytes = Annotated[
    int | None,
    typer.Option(parser=size, metavar="SIZE", help="Size of the whole file: 300kB, 1.5MB, 2MiB."),
]
Lossless = Annotated[
    bool,
    typer.Option(
        "--lossless",
        help="Restore every voxel bit for bit, whatever size that takes. The file is decoded and "
        "compared before it is written. Needs no bundle; --effort does not apply.",
    ),
]
MaxError = Annotated[
    str | None,
    typer.Option(
        "--max-error",
        metavar="E",
        help="Largest error of any voxel, whatever size that takes: 8 (in HU or the scan's own "
        "unit) or 1% (of its range). Verified before the file is written. Needs no bundle unless "
        "a size is given, too.",
    ),
]
MinPsnr = Annotated[
    float | None,
    typer.Option(
        "--min-psnr",
        parser=positive,
        metavar="DB",
        help="Least PSNR in dB; the file is the smallest found that keeps it. Verified before the "
        "file is written.",
    ),
]
MinSsim = Annotated[
    float | None,
    typer.Option(
        "--min-ssim",
        parser=positive,
        metavar="S",
        help="Least SSIM, such as 0.95; the file is the smallest found that keeps it. Verified.",
    ),
]
Mae = Annotated[
    float | None,
    typer.Option(
        "--mae",
        parser=positive,
        metavar="E",
        help="Largest mean absolute error, in HU or the scan's own unit; the file is the smallest "
        "found that keeps it. Verified.",
    ),
]
WithResidual = Annotated[
    bool,
    typer.Option(
        "--with-residual",
        help="Add what is missing to exact as a second part of the file. A size or quality is that "
        "of the first part; `deepstd strip` cuts the second part off.",
    ),
]
Model = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="BUNDLE",
        help="Model bundle, by name or folder; auto finds the best for the scan.",
    ),
]
Effort = Annotated[
    str,
    typer.Option(
        parser=effort,
        metavar="EFFORT",
        help="fast, normal or best. More effort gives a better scan at the same size, but takes "
        "longer; decompression also takes longer where slices are predicted from other slices. "
        "Above 33 million voxels fast and normal are the same.",
    ),
]
Protect = Annotated[
    bool,
    typer.Option(
        "--protect",
        help="Give the regions that the bundle explains worst, and those of the largest errors, "
        "the fidelity of the rest, in a file of the same size: the rest gets more error.",
    ),
]
WrittenWith = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="BUNDLE",
        help="Folder of the model bundle, if it is not installed; auto finds it by the hash in the "
        "file.",
    ),
]
Device = Annotated[
    str,
    typer.Option(
        "--device",
        "-d",
        help="auto, cpu, cuda or cuda:N; auto uses a GPU if there is one, else shares of the CPU. "
        "Several devices, such as cuda:0,cuda:1 or cpu,cpu, share the work on every scan.",
    ),
]
OneDevice = Annotated[
    str,
    typer.Option(
        "--device", "-d", help="auto, cpu, cuda or cuda:N; auto uses a GPU if there is one."
    ),
]
Processes = Annotated[
    int,
    typer.Option(
        "--processes",
        "-j",
        metavar="N",
        min=1,
        help="Number of files that are worked on in parallel, each in a process with its share of "
        "the cores and its own memory.",
    ),
]
Series = Annotated[
    str | None,
    typer.Option(
        metavar="ID",
        help="DICOM series to use, if the source holds several; `deepstd info` lists them.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Write the result as JSON.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")]
Compressed = Annotated[
    str,
    typer.Argument(metavar="IN.dstd", help="A compressed scan: a file, a URL, or - for stdin."),
]
