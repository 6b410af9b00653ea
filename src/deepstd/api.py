"""Files in, files out: what `deepstd.compress` and its sisters do.

scan file ─ read ─▶ Volume ─ choose a bundle ─ Codec.encode ─▶ .dstd ─ decode ─▶ scan file
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from deepstd import bundle as bundles
from deepstd import io
from deepstd.codec import Codec
from deepstd.container import Container, parse
from deepstd.encoding import Compressed
from deepstd.errors import (
    BundleError,
    BundleMismatchError,
    BundleNotFoundError,
    InputError,
    RateError,
    named,
)
from deepstd.inspection import quality_of, read_file
from deepstd.quality import measure
from deepstd.rate import Target
from deepstd.volume import Volume

AUTO = "auto"
# A float decoder may round a value differently on another machine.
_STATED_WITHIN = 0.02
_STATED_WITHIN_INTEGER = 1e-3
PathLike = str | os.PathLike[str]
Progress = Callable[[str], None]


def _quiet(message: str) -> None:
    """Report nothing."""


@dataclass(frozen=True)
class CompressReport:
    """What `compress` did.

    Attributes:
        source, output: paths.
        bundle: name and version of the bundle that was used.
        tried: mean squared error of every bundle that was tried at the same size.
        voxels, stored_bytes, file_bytes: sizes.
        ratio: stored bytes divided by file bytes. bpv: bits of the file per voxel.
        shape_bytes, texture_bytes: payloads of the file.
        field_kept: whether a deformation field is in the file.
        mae, max_error, psnr, ssim: error of the decoded scan, in stored units and dB.
        seconds: time taken.
    """

    source: str
    output: str
    bundle: str
    tried: dict[str, float]
    voxels: int
    stored_bytes: int
    file_bytes: int
    ratio: float
    bpv: float
    shape_bytes: int
    texture_bytes: int
    field_kept: bool
    mae: float
    max_error: float
    psnr: float
    ssim: float
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class VerifyReport:
    """What `verify` found of a file that decodes as it was encoded.

    Attributes:
        source: the file.
        bundle: name and version of its bundle.
        stated: the figures "mae", "max_error", "psnr" and "ssim" in the file, or None.
        against: the original, if one was given.
        measured: the same figures against it.
        as_stated: whether the measured error is the stated one; None where one of them is missing.
    """

    source: str
    bundle: str
    stated: dict[str, float] | None
    against: str | None
    measured: dict[str, float] | None
    as_stated: bool | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def compress(
    source: PathLike,
    output: PathLike,
    *,
    ratio: float | None = None,
    bpv: float | None = None,
    max_bytes: int | None = None,
    model: str = AUTO,
    device: str = "auto",
    overwrite: bool = False,
    progress: Progress = _quiet,
) -> CompressReport:
    """Compress a scan to a .dstd file of a chosen size.

    Args:
        source: NIfTI, .npy, or grey PNG or TIFF file.
        output: file to write.
        ratio, bpv, max_bytes: the size; exactly one of them. The file fills 0.997 to 1.000 of it.
        model: bundle, by name or folder; "auto" tries those that suit the scan and keeps the best.
        device: "auto", "cpu", "cuda" or "cuda:N".
        overwrite: whether an existing output may be replaced.
        progress: called with a sentence now and then.

    Raises:
        InputError, RateError, BundleError, DeviceError, OutputExistsError: see `deepstd.errors`.
    """
    began = time.monotonic()
    target = Target(ratio, bpv, max_bytes)
    _check_apart(source, output)
    with io.atomic_path(output, overwrite=overwrite) as temporary:
        volume = io.read(source)
        with named(str(source), InputError, RateError):
            name, best, tried = best_encoding(volume, target, model, device, progress)
        Path(temporary).write_bytes(best.data)
    return CompressReport(
        str(source),
        str(output),
        name,
        tried,
        volume.voxels.size,
        volume.nbytes,
        len(best.data),
        volume.nbytes / len(best.data),
        8 * len(best.data) / volume.voxels.size,
        best.shape_bytes,
        best.texture_bytes,
        any(report is not None for report in best.shape),
        best.quality.mae,
        best.quality.max_error,
        best.quality.psnr,
        best.quality.ssim,
        time.monotonic() - began,
    )


def best_encoding(
    volume: Volume,
    target: Target,
    model: str,
    device: str,
    progress: Progress = _quiet,
    *,
    load: Callable[..., Codec] = Codec.load,
) -> tuple[str, Compressed, dict[str, float]]:
    """Encode with one bundle, or with each that suits the scan and keep the smallest error.

    ``load`` is `Codec.load`, or one that remembers what it loaded.

    Returns:
        The bundle's name and version, the encoding, and the error of every bundle tried.
    """
    codecs = (
        [load(model, device=device)] if model != AUTO else _fitting(volume, device, progress, load)
    )
    best: tuple[str, Compressed] | None = None
    tried: dict[str, float] = {}
    failed: list[tuple[str, RateError | InputError]] = []
    for codec in codecs:
        manifest = codec.bundle.manifest
        name = f"{manifest.name} {manifest.version}"
        progress(f"compressing with {name}")
        try:
            result = codec.encode(volume, target, progress=progress)
        except (RateError, InputError) as error:
            if len(codecs) == 1:
                raise
            failed.append((name, error))
            continue
        tried[name] = result.mean_squared_error
        if best is None or result.mean_squared_error < best[1].mean_squared_error:
            best = (name, result)
    if best is None:
        kind = RateError if any(isinstance(e, RateError) for _, e in failed) else InputError
        raise kind("no bundle can do it. " + " ".join(f"{name}: {e}" for name, e in failed))
    return best[0], best[1], tried


def _fitting(
    volume: Volume, device: str, progress: Progress, load: Callable[..., Codec]
) -> list[Codec]:
    """Codecs of all installed bundles that suit a scan; a damaged bundle is passed over."""
    folders = bundles.available()
    if not folders:
        raise BundleNotFoundError("no bundle is installed; `deepstd doctor` shows where")
    codecs = []
    for folder in folders:
        try:
            codecs.append(load(str(folder), device=device))
        except BundleError as error:
            progress(f"passing over a bundle: {error}")
    codecs = [codec for codec in codecs if codec.suits(volume)]
    if not codecs:
        raise InputError(
            f"no installed bundle compresses a scan of shape {volume.shape}; "
            "`deepstd model list` shows what there is"
        )
    return codecs


def decompress(
    source: PathLike,
    output: PathLike,
    *,
    model: str = AUTO,
    device: str = "auto",
    overwrite: bool = False,
) -> Volume:
    """Restore the scan of a .dstd file.

    Args:
        source: .dstd file.
        output: file to write; its suffix says which format.
        model: folder of the bundle, where it is not installed.
        device: "auto", "cpu", "cuda" or "cuda:N".
        overwrite: whether an existing output may be replaced.

    Raises:
        ContainerError, BundleError, DeviceError, OutputExistsError: see `deepstd.errors`.
    """
    _check_apart(source, output)
    container = parse(read_file(source), str(source))
    volume = codec_for(container, model, device).decode(container)
    io.write(volume, output, overwrite=overwrite)
    return volume


def codec_for(container: Container, model: str = AUTO, device: str = "auto") -> Codec:
    """The codec of the bundle that a file names.

    Raises:
        BundleMismatchError: there is no bundle of that name.
    """
    if model != AUTO:
        return Codec.load(model, device=device)
    try:
        return Codec.load(container.head.bundle.name, device=device)
    except BundleNotFoundError as error:
        raise BundleMismatchError(f"{container.name}: {error}") from error


def verify(
    source: PathLike,
    *,
    against: PathLike | None = None,
    model: str = AUTO,
    device: str = "auto",
) -> VerifyReport:
    """Decode a .dstd file and check it, and measure it against its original if given.

    Raises:
        ContainerError: the file is damaged.
        InputError: the original has another shape.
    """
    container = parse(read_file(source), str(source))
    volume = codec_for(container, model, device).decode(container)
    reference = container.head.bundle
    stated, measured, as_stated = quality_of(container), None, None
    if against is not None:
        original = io.read(against)
        if original.shape != volume.shape:
            raise InputError(
                f"{against} has shape {original.shape}, the scan in {source} {volume.shape}: "
                "they are not the same scan"
            )
        measured = asdict(measure(original.voxels, volume.voxels))
        if stated is not None:
            margin = _STATED_WITHIN_INTEGER if volume.voxels.dtype.kind in "iu" else 0.0
            as_stated = _close(measured["mae"], stated["mae"], margin)
    return VerifyReport(
        str(source),
        f"{reference.name} {reference.version}",
        stated,
        None if against is None else str(against),
        measured,
        as_stated,
    )


def _close(measured: float, stated: float, margin: float) -> bool:
    if math.isnan(measured) or math.isnan(stated):
        return math.isnan(measured) and math.isnan(stated)
    # A file keeps figures in a part of float32, which has few digits for the smallest numbers.
    return math.isclose(measured, stated, rel_tol=_STATED_WITHIN, abs_tol=max(margin, 1e-36))


def _check_apart(source: PathLike, output: PathLike) -> None:
    if os.path.realpath(source) == os.path.realpath(output):
        raise InputError(f"{output}: is the input. Choose another output")
