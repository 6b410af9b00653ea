"""Registration of scan files: the work of `deepstd.register`.

outputs ─ opened, checked against their formats ───────┐
moving, fixed, labels ─ read ─ padding out ─ register_pair ─▶ PairTransform ─ warp ─▶ scans, labels
                                                                 └ displacement ─▶ NIfTI fields

Every error that can be known early is raised before the registration and before the import of
torch, which takes seconds. Outputs appear once all of them are written.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deepstd import io, special_values
from deepstd.errors import BundleError, BundleNotFoundError, InputError, named
from deepstd.overlap import dice, labels_of
from deepstd.registration.report import PairReport
from deepstd.volume import Volume

if TYPE_CHECKING:
    from deepstd.registration.transform import PairTransform
    from deepstd.shape.siren import Trunk

PathLike = str | os.PathLike[str]
_IMAGES = ("inverse", "warped_labels", "inverse_labels")
_FIELDS = ("field", "inverse_field")
# Scans of one body part and kind reach a correlation of 0.8 to 0.95, a heart laid on a hippocampus
# 0.64, and cardiac pairs without geometry 0.52 with a Dice of 0.50 (docs/registration.md).
_POOR_CORRELATION = 0.7
_LITTLE_COVERED = 0.5
# Percentage of the fixed scan, and share of its longest axis: 0.01 to 0.02 is usual, noise 0.1.
_MUCH_FOLDING, _LARGE_CYCLE_ERROR = 1.0, 0.05


@dataclass(frozen=True)
class RegisterReport(PairReport):
    """Report of `register`.

    Attributes:
        moving: location of the moving scan.
        fixed: location of the fixed scan, or name and version of a bundle.
        outputs: location of each output, by kind.
        covered: share of the fixed scan within the moving scan, 0 to 1.
        dice_before: Dice of each label by the headers alone; empty without labels of both scans.
        dice: Dice of each label after registration.
        notes: warnings about a poor fit, one sentence each.
    """

    moving: str
    fixed: str
    outputs: dict[str, str]
    covered: float
    dice_before: dict[int, float]
    dice: dict[int, float]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Outputs:
    """Label maps to read, and files to write besides the warped scan; None for none.

    Labels of both scans are compared by Dice; their warped outputs are optional then.

    Attributes:
        inverse: output of the fixed scan on the moving grid.
        labels: label map of the moving scan.
        warped_labels: output of the moving labels on the fixed grid.
        fixed_labels: label map of the fixed scan.
        inverse_labels: output of the fixed labels on the moving grid.
        field: output of the displacement field that warps the moving scan to the fixed grid.
        inverse_field: output of the displacement field that warps the fixed scan to the moving
            grid.
    """

    inverse: PathLike | None = None
    labels: PathLike | None = None
    warped_labels: PathLike | None = None
    fixed_labels: PathLike | None = None
    inverse_labels: PathLike | None = None
    field: PathLike | None = None
    inverse_field: PathLike | None = None

    def of(self, kinds: Iterable[str]) -> dict[str, PathLike]:
        """Return the paths that are not None among some attributes, by name."""
        return {kind: path for kind in kinds if (path := getattr(self, kind)) is not None}

    def check(self) -> None:
        """Raise an InputError where labels come without a use, or an output without labels."""
        compared = self.labels is not None and self.fixed_labels is not None
        for given, wanted, what in (
            (self.labels, self.warped_labels, "labels of the moving scan"),
            (self.fixed_labels, self.inverse_labels, "labels of the fixed scan"),
        ):
            if given is None and wanted is not None:
                raise InputError(f"{what}: give what to warp, too")
            if given is not None and wanted is None and not compared:
                raise InputError(
                    f"{what}: give where they go, too, or labels of both scans to compare"
                )


def register(
    moving: PathLike,
    to: PathLike,
    output: PathLike,
    others: Outputs | None = None,
    *,
    overwrite: bool = False,
    progress: Callable[[str], None] = lambda message: None,
) -> RegisterReport:
    """Register a scan to another, or to a bundle's template, and write it on the fixed grid.

    Args:
        moving: path or URL of the moving scan.
        to: path or URL of the fixed scan, or the name or folder of a bundle with a template.
        output: path or URL of the moving scan on the fixed grid.
        others: label maps, and further outputs.
        overwrite: replace existing files.
        progress: called with a sentence at each step.

    Returns:
        Measurements of the registration, and warnings about a poor fit.

    Raises:
        InputError: a scan cannot be read, is 4-D or constant; labels are not on its grid; an output
            is an input or another output, or its format cannot hold the image.
        GeometryError: the scans cannot be laid on each other.
        BundleError: the bundle has no template.
        OutputExistsError: an output exists and ``overwrite`` is False.
    """
    others = others or Outputs()
    others.check()
    images = {"output": output, **others.of(_IMAGES)}
    fields = others.of(_FIELDS)
    inputs = (moving, to, *others.of(("labels", "fixed_labels")).values())
    _check_apart(inputs, [*images.values(), *fields.values()])
    for path in (moving, *others.of(("labels", "fixed_labels")).values()):
        io.check_input(path)
    with ExitStack() as places:
        put = {
            kind: places.enter_context(io.writer(path, overwrite=overwrite))
            for kind, path in images.items()
        }
        put_field = {
            kind: places.enter_context(io.displacement_writer(path, overwrite=overwrite))
            for kind, path in fields.items()
        }
        progress("reading the scans")
        scan = _one_frame(io.real_world(io.read(moving, progress=progress)), moving)
        fixed, start, name = _fixed(to)
        seen, fill = _without_padding(scan.voxels)
        target, target_fill = _without_padding(fixed.voxels)
        warps = [
            _Warp("output", scan.voxels, fixed, fill=fill),
            _Warp("inverse", fixed.voxels, scan, fill=target_fill, back=True),
            *_labels("warped_labels", others.labels, scan, fixed, progress),
            *_labels("inverse_labels", others.fixed_labels, fixed, scan, progress, back=True),
        ]
        labels = [warp for warp in warps if warp.nearest]
        warps = [warp for warp in warps if warp.kind in images]
        for warp in warps:
            warp.check(images[warp.kind])
        for kind, path in fields.items():
            io.check_displacement((fixed if kind == "field" else scan).voxels.ndim, path)
        progress("registering")
        moved = io.shown(io.location(moving))
        from deepstd.registration.pair import laid_by_headers, register_pair

        with named(moved):
            transform, report = register_pair(seen, scan.affine, target, fixed.affine, start=start)
            by_headers = laid_by_headers(transform.fixed, transform.moving)
        del seen, target
        progress("measuring")
        overlaps = [_overlaps(labels, laid) for laid in (by_headers, transform)]
        covered = float(transform.warp(np.ones(scan.shape, np.uint8), nearest=True).mean())
        progress("writing")
        for warp in warps:
            put[warp.kind](warp.apply(transform))
        for kind in fields:
            grid_map = transform.forward if kind == "field" else transform.backward
            put_field[kind](grid_map.displacement(), grid_map.source.affine)
    written = {kind: io.shown(io.location(path)) for kind, path in {**images, **fields}.items()}
    return RegisterReport(
        **asdict(report),
        moving=moved,
        fixed=name,
        outputs=written,
        covered=covered,
        dice_before=overlaps[0],
        dice=overlaps[1],
        notes=tuple(poor_fit(report, max(fixed.shape), covered, *overlaps)),
    )


def poor_fit(
    report: PairReport,
    longest: int,
    covered: float,
    before: Mapping[int, float],
    after: Mapping[int, float],
) -> Iterator[str]:
    """Yield warnings about a poor registration, one sentence each.

    Args:
        report: measurements of the registration.
        longest: voxels along the longest axis of the fixed scan.
        covered: share of the fixed scan within the moving scan, 0 to 1.
        before: Dice of each label by the headers alone.
        after: Dice of each label after registration.
    """
    if report.ncc_after < _POOR_CORRELATION:
        yield (
            f"poor fit: the correlation is {report.ncc_after:.2f} only. Look at the result. Both "
            "scans must show the same body part in the same kind of image"
        )
    if report.ncc_after < report.ncc_before:
        yield "poor fit: the correlation is lower than by the headers alone"
    if covered < _LITTLE_COVERED:
        yield f"only {100 * covered:.0f} % of the fixed scan lie within the moving one"
    if report.folding_percent > _MUCH_FOLDING:
        yield f"poor fit: the field folds in {report.folding_percent:.1f} % of the fixed scan"
    if report.cycle_error_voxels > _LARGE_CYCLE_ERROR * longest:
        yield (
            f"poor fit: forward and backward field miss each other by "
            f"{report.cycle_error_voxels:.1f} voxels"
        )
    if after and np.nanmean([*after.values()]) < np.nanmean([*before.values()]):
        yield "poor fit: the labels overlap less than by the headers alone"


@dataclass(frozen=True, eq=False)
class _Warp:
    """Image to warp to the other scan's grid.

    Attributes:
        kind: name of its output.
        values: voxels of the image.
        grid: scan on the target grid.
        fill: value outside the image.
        back: True for an image on the fixed grid, False for one on the moving grid.
        nearest: nearest neighbour, for labels, instead of linear interpolation.
    """

    kind: str
    values: np.ndarray
    grid: Volume
    fill: float = 0.0
    back: bool = False
    nearest: bool = False

    def check(self, path: PathLike) -> None:
        """Raise an InputError where the format of an output cannot hold the result."""
        io.check_output(path, self.grid.voxels.ndim, self.values.dtype, self.grid.affine)

    def apply(self, transform: PairTransform) -> Volume:
        pull = transform.warp_back if self.back else transform.warp
        return Volume(pull(self.values, nearest=self.nearest, fill=self.fill), self.grid.affine)


def _overlaps(labels: Sequence[_Warp], transform: PairTransform) -> dict[int, float]:
    """Return the Dice of each label under a transform; empty without labels of both scans."""
    moving = [warp.values for warp in labels if not warp.back]
    fixed = [warp.values for warp in labels if warp.back]
    if not moving or not fixed:
        return {}
    warped, there = transform.warp(moving[0], nearest=True), fixed[0]
    return {n: dice(warped == n, there == n) for n in labels_of(moving[0], there)}


def _check_apart(inputs: Iterable[PathLike], outputs: Iterable[PathLike]) -> None:
    """Raise an InputError where an output is an input, or equals another output."""
    read = [io.location(path) for path in inputs]
    places: list[str] = []
    for place in map(io.location, outputs):
        # A missing file is no input; `to` may be the name of a bundle, which is no location.
        there = io.is_url(place) or os.path.exists(place)
        if there and any(io.is_same(place, other) for other in read):
            raise InputError(f"{io.shown(place)}: is an input. Choose another output")
        if any(io.is_same(place, other) for other in places):
            raise InputError(f"{io.shown(place)}: is given for two outputs. Choose another for one")
        places.append(place)


def _fixed(to: PathLike) -> tuple[Volume, Trunk | None, str]:
    """Return the fixed scan or template, hidden layers to start from or None, and its name."""
    place = io.location(to)
    is_bundle = (Path(place) / "bundle.json").is_file()
    if io.is_url(place) or (Path(place).exists() and not is_bundle):
        return _one_frame(io.read(to), to), None, io.shown(place)
    from deepstd import bundle as bundles

    try:
        bundle = bundles.load(bundles.find(place))
    except BundleNotFoundError as error:
        raise InputError(
            f"{io.shown(place)}: there is no such scan, and no bundle of that name. "
            "`deepstd model list` shows the bundles"
        ) from error
    model = None
    if bundle.shape is not None:
        from deepstd.codec.model import shape_model_of

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
    """Return the voxels with NaN at special values, and the fill value outside the scan."""
    special = special_values.find(voxels, special_values.standing_apart(voxels))
    values = special_values.without(voxels, special)
    if special is None:
        return values, float(voxels.min())
    values[special.labels != 0] = np.nan
    outside = special.values[-1]
    return values, float(outside) if np.isfinite(outside) else float(np.nanmin(values))


def _labels(
    kind: str,
    path: PathLike | None,
    scan: Volume,
    grid: Volume,
    progress: Callable[[str], None],
    *,
    back: bool = False,
) -> list[_Warp]:
    """Read the labels of a scan, to be warped to another grid; empty without a path."""
    if path is None:
        return []
    values = io.read(path, progress=progress).voxels
    if values.shape != scan.shape:
        raise InputError(
            f"{io.shown(io.location(path))}: labels of shape {values.shape}, expected "
            f"{scan.shape}, that of their scan"
        )
    return [_Warp(kind, values, grid, back=back, nearest=True)]
