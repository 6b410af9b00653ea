"""Two scans, or a scan and a bundle, brought to one grid: what `deepstd.register` does.

moving, fixed ─ read ─ padding out ─ register_pair ─▶ PairTransform ─ warp ─▶ scans, labels
                                                           └ displacement ─▶ NIfTI fields
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deepstd import bundle as bundles
from deepstd import io, specials
from deepstd.codec import shape_model_of
from deepstd.errors import BundleError, BundleNotFoundError, InputError, named
from deepstd.shape.pair import PairReport, register_pair
from deepstd.shape.siren import Trunk
from deepstd.shape.transform import PairTransform
from deepstd.volume import SourceHeader, Volume

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class RegisterReport(PairReport):
    """What `register` did.

    Attributes:
        moving, fixed: places, the latter possibly the name of a bundle.
        outputs: what was written, by what it is.
    """

    moving: str
    fixed: str
    outputs: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Outputs:
    """Files to write besides the moving scan on the fixed grid; None for none.

    Attributes:
        inverse: the fixed scan on the moving grid.
        labels, warped_labels: labels of the moving scan, and where they go on the fixed grid.
        fixed_labels, inverse_labels: the same of the fixed scan, on the moving grid.
        field: displacement field that brings the moving scan to the fixed grid.
        inverse_field: displacement field that brings the fixed scan to the moving grid.
    """

    inverse: PathLike | None = None
    labels: PathLike | None = None
    warped_labels: PathLike | None = None
    fixed_labels: PathLike | None = None
    inverse_labels: PathLike | None = None
    field: PathLike | None = None
    inverse_field: PathLike | None = None

    def check(self) -> None:
        """Raise an InputError where labels come without an output, or the reverse."""
        for given, wanted, what in (
            (self.labels, self.warped_labels, "labels of the moving scan"),
            (self.fixed_labels, self.inverse_labels, "labels of the fixed scan"),
        ):
            if (given is None) != (wanted is None):
                raise InputError(f"{what}: give both what to warp and where it goes")


def register(
    moving: PathLike,
    to: PathLike,
    output: PathLike,
    others: Outputs | None = None,
    *,
    overwrite: bool = False,
    progress: Callable[[str], None] = lambda message: None,
) -> RegisterReport:
    """Register a scan to another, or to a bundle's template, and write it on that grid.

    Args:
        moving: the scan.
        to: the fixed scan, or the name or folder of a bundle with a template.
        output: the moving scan on the fixed grid.
        others: what else to write.
        overwrite: whether existing files may be replaced.
        progress: called with a sentence at each step.

    Raises:
        InputError: a scan cannot be read, or has several moments, or nothing to see.
        GeometryError: the scans cannot be laid on each other.
        BundleError: the bundle has no template.
        OutputExistsError: a file is there and ``overwrite`` is false.
    """
    others = others or Outputs()
    others.check()
    progress("reading the scans")
    fixed, start, name = _fixed(to)
    scan = _one_frame(io.real_world(io.read(moving, progress=progress)), moving)
    for path, volume in ((others.field, fixed), (others.inverse_field, scan)):
        if path is not None:
            io.check_displacement(volume.voxels.ndim, path)
    progress("registering")
    seen, fill = _without_padding(scan.voxels)
    target, target_fill = _without_padding(fixed.voxels)
    with named(io.shown(io.location(moving))):
        transform, report = register_pair(seen, scan.affine, target, fixed.affine, start=start)
    del seen, target
    progress("writing")
    written = {"output": output}
    _write(transform.warp(scan.voxels, fill=fill), fixed, output, overwrite)
    if others.inverse is not None:
        image = transform.warp_back(fixed.voxels, fill=target_fill)
        _write(image, scan, others.inverse, overwrite)
        written["inverse"] = others.inverse
    _write_labels(transform, scan, fixed, others, overwrite, written)
    for kind, path, grid_map in (
        ("field", others.field, lambda: transform.forward),
        ("inverse_field", others.inverse_field, lambda: transform.backward),
    ):
        if path is not None:
            grid = grid_map().source
            displacement = grid_map().displacement()
            io.write_displacement(displacement, grid.affine, path, overwrite=overwrite)
            written[kind] = path
    places = {kind: io.shown(io.location(path)) for kind, path in written.items()}
    moved = io.shown(io.location(moving))
    return RegisterReport(**asdict(report), moving=moved, fixed=name, outputs=places)


def _fixed(to: PathLike) -> tuple[Volume, Trunk | None, str]:
    """The scan or template to register to, hidden layers to start from, and its name."""
    place = io.location(to)
    is_bundle = (Path(place) / "bundle.json").is_file()
    if io.is_url(place) or (Path(place).exists() and not is_bundle):
        return _one_frame(io.read(to), to), None, io.shown(place)
    try:
        bundle = bundles.load(bundles.find(place))
    except BundleNotFoundError as error:
        raise InputError(
            f"{io.shown(place)}: there is no such scan, and no bundle of that name. "
            "`deepstd model list` shows the bundles"
        ) from error
    model = shape_model_of(bundle)
    if model is None:
        raise BundleError(
            f"the bundle {bundle.manifest.name} has no template to register to. "
            "`deepstd model list` shows which have one"
        )
    name = f"{bundle.manifest.name} {bundle.manifest.version}"
    return Volume(model.template, model.affine), model.trunk(), name


def _one_frame(volume: Volume, place: PathLike) -> Volume:
    if volume.voxels.ndim > 3:
        raise InputError(
            f"{io.shown(io.location(place))}: {volume.shape[3]} moments. Registration takes one: "
            "save the moment you want"
        )
    return volume


def _without_padding(voxels: np.ndarray) -> tuple[np.ndarray, float]:
    """Grey values with NaN where there is no measurement, and what lies outside of such a scan."""
    values, special = specials.split(voxels)
    if special is None:
        return values, float(voxels.min())
    values[special.labels != 0] = np.nan
    outside = special.values[-1]
    return values, float(outside) if np.isfinite(outside) else float(np.nanmin(values))


def _write_labels(
    transform: PairTransform,
    scan: Volume,
    fixed: Volume,
    others: Outputs,
    overwrite: bool,
    written: dict[str, PathLike],
) -> None:
    for kind, source, target, grid, pull in (
        ("warped_labels", others.labels, others.warped_labels, fixed, transform.warp),
        ("inverse_labels", others.fixed_labels, others.inverse_labels, scan, transform.warp_back),
    ):
        if source is None or target is None:
            continue
        labels = io.read(source)
        with named(io.shown(io.location(source))):
            warped = pull(labels.voxels, nearest=True)
        _write(warped, grid, target, overwrite)
        written[kind] = target


def _write(voxels: np.ndarray, grid: Volume, path: PathLike, overwrite: bool) -> None:
    """Write an image with the geometry of a scan."""
    volume = Volume(voxels, grid.affine, SourceHeader("npy"))
    io.write(
        volume if grid.affine is None else io.with_own_header(volume), path, overwrite=overwrite
    )
