"""Choice of the bundle for a scan: an estimate with each, then a search with the best.

bundles that suit the scan ─ one encoding each ─▶ rate-distortion costs
bundles close to the least cost ─ search ─▶ smallest error
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from deepstd import bundle as bundles
from deepstd import io
from deepstd.codec import exact, without_bundle
from deepstd.codec.frames import flat_axis, frames_of
from deepstd.codec.missed import missed
from deepstd.container import NO_BUNDLE, Container
from deepstd.errors import BundleError, BundleNotFoundError, InputError, RateError
from deepstd.inspection import AUTO
from deepstd.progress import Progress
from deepstd.rate.effort import NORMAL, effort_named
from deepstd.rate.goal import QualityGoal
from deepstd.rate.target import Target
from deepstd.rate.tradeoff import decibels
from deepstd.volume import Volume

if TYPE_CHECKING:
    from deepstd.codec.codec import Codec
    from deepstd.codec.compressed import Compressed
    from deepstd.codec.encoder import Encoding
    from deepstd.codec.model import Model
    from deepstd.codec.protection import Protection

# Largest ratio of a scan's extents to the template's.
_FIELD_OF_VIEW_FACTOR = 2.0
# Share of the stored bytes that lossless files of scans are never below, unless nearly constant.
_NEVER_LOSSLESS = 0.05
_NO_BUNDLE = f"{NO_BUNDLE.name} {NO_BUNDLE.version}"
# Most dB that coding slice by slice gains over the volume of the estimate.
_GAIN_OF_SLICES = 1.0


@dataclass
class Chosen:
    """Encoding with the chosen bundle.

    Attributes:
        bundle: name and version of the bundle.
        encoding: encoding with the smallest error.
        tried: mean squared error by bundle, in squared stored units, of each bundle searched.
        missed: what the file misses of the quality asked for beside its size, in words; empty where
            it misses nothing.
        codec: codec of the bundle; None for a file without a bundle.
    """

    bundle: str
    encoding: Compressed
    tried: dict[str, float] = field(default_factory=dict[str, float])
    missed: str = ""
    codec: Codec | None = None

    def predict(self, container: Container) -> Volume:
        """Decode a file of this encoding without filters, as an exact part needs it."""
        if self.codec is None:
            return without_bundle.decode(container)
        return self.codec.predict(container)


def best_encoding(
    volume: Volume,
    target: Target,
    model: str,
    device: str,
    progress: Progress,
    *,
    effort: str = NORMAL,
    load: Callable[..., Codec] | None = None,
    protect: Protection | None = None,
) -> Chosen:
    """Encode with one bundle, or with the best of all bundles that suit the scan.

    Constant scans, lossless files and those of bounded error need no bundle. With a size and a
    quality the file has the size, and `Chosen.missed` tells whether it misses the quality.

    Args:
        volume: the scan.
        target: requested size of the file, or a lossless file.
        model: name or folder of a model bundle; "auto" for all that suit the scan.
        device: "auto", "cpu", "cuda" or "cuda:N".
        progress: progress of the job, with the parts "encode shape", "encode texture"
            and "encode check".
        effort: "fast", "normal" or "best".
        load: replacement of `Codec.load` that may keep loaded codecs; None for `Codec.load`.
        protect: regions that shall get the fidelity of the rest; None for none.

    Raises:
        InputError: no bundle compresses such a scan.
        RateError: the size cannot be reached.
        BundleError: the bundle is missing or damaged.
    """
    found = without_bundle.encode(volume, target, progress)
    if found is not None:
        return Chosen(_NO_BUNDLE, found)
    bounded = None
    if target.bound is not None:
        bounded = exact.encode(volume, progress, target.bound)
        if len(bounded.data) <= target.bytes_for(volume.voxels.size, volume.nbytes):
            return Chosen(_NO_BUNDLE, bounded)
        target = replace(target, bound=None, goal=exact.goal_of(target.bound, volume))
    from deepstd.codec.codec import Codec

    load = load or Codec.load
    if model != AUTO:
        codecs = [load(model, device=device)]
    else:
        codecs = _fitting(volume, device, progress, load)
    # What no bundle can keep, a lossless file can.
    failures = _Failures(alone=len(codecs) == 1 and not target.sizeless)
    jobs = _begun(codecs, volume, target, effort, progress, failures)
    by_name = {codec.model.name: codec for codec in codecs}
    best: Chosen | None = None
    tried: dict[str, float] = {}
    for name, may_pay in _ranked(jobs, effort_named(effort).close, failures, progress):
        if best is not None and not may_pay:
            break
        progress(f"compressing with {name}")
        with failures.kept(name), progress.timed("encode texture"):
            found = jobs[name].finish(jobs[name].best(), protect)
            tried[name] = found.mean_squared_error
            if best is None or _is_better(found, best.encoding, target):
                best = Chosen(name, found, tried, codec=by_name[name])
    if target.goal is not None and target.sizeless:
        best = _or_lossless(best, volume, target.goal, progress)
    if best is None:
        raise failures.error()
    if target.goal is not None and best.bundle != _NO_BUNDLE:
        best.missed = missed(best.encoding, volume, target.goal, bounded)
    return best


def _begun(
    codecs: list[Codec],
    volume: Volume,
    target: Target,
    effort: str,
    progress: Progress,
    failures: _Failures,
) -> dict[str, Encoding]:
    """Begin the encodings with each bundle, by the name of the bundle."""
    from deepstd.codec import to_quality
    from deepstd.codec.encoder import Encoding

    jobs: dict[str, Encoding] = {}
    if target.goal is not None and target.sizeless:
        models = [codec.model for codec in codecs]
        begun = to_quality.begun(models, volume, target.goal, effort, progress)
        return {model.name: job for model, job in zip(models, begun, strict=True)}
    for codec in codecs:
        name = codec.model.name
        with failures.kept(name), progress.timed("encode texture"):
            jobs[name] = Encoding.of(codec.model, volume, target, effort=effort, progress=progress)
    return jobs


def _is_better(one: Compressed, other: Compressed, target: Target) -> bool:
    """Return True if a file is better: of less error at one size, of fewer bytes at one quality."""
    if target.sizeless:
        return len(one.data) < len(other.data)
    return one.mean_squared_error < other.mean_squared_error


def _or_lossless(
    best: Chosen | None, volume: Volume, goal: QualityGoal, progress: Progress
) -> Chosen | None:
    """Return a lossless file where it is smaller than the best one that keeps a quality."""
    is_small = best is not None and len(best.encoding.data) < _NEVER_LOSSLESS * volume.nbytes
    if volume.loss or is_small:
        return best
    progress("comparing with a lossless file")
    found = exact.encode(volume, progress, goal=goal)
    if best is not None and len(best.encoding.data) <= len(found.data):
        return best
    reason = "is smaller than one that just keeps" if best else "alone keeps"
    note = f"a lossless file {reason} {goal}, so every voxel is kept"
    return Chosen(
        _NO_BUNDLE, replace(found, notes=(*found.notes, note)), best.tried if best else {}
    )


class _Failures:
    """Errors of the bundles tried; the error of a bundle that is alone is raised as it is."""

    def __init__(self, *, alone: bool) -> None:
        self._alone = alone
        self._errors: list[tuple[str, RateError | InputError]] = []

    @contextmanager
    def kept(self, name: str) -> Iterator[None]:
        """Keep the error of a bundle in the context."""
        try:
            yield
        except (RateError, InputError) as error:
            if self._alone:
                raise
            self._errors.append((name, error))

    def error(self) -> RateError | InputError:
        """Return one error for all bundles."""
        kind = RateError if any(isinstance(e, RateError) for _, e in self._errors) else InputError
        reasons = " ".join(f"{name}: {error}" for name, error in self._errors)
        return kind(f"no bundle can do it. {reasons}")


def _ranked(
    jobs: Mapping[str, Encoding], close: float, failures: _Failures, progress: Progress
) -> list[tuple[str, bool]]:
    """Return names of bundles, best estimate first, with True where a search may pay.

    Args:
        jobs: encodings that were not begun, by name of the bundle.
        close: dB below the best estimate within which a search may pay.
        failures: keeper of the errors of bundles that cannot be estimated.
        progress: progress of the job.
    """
    if len(jobs) == 1:
        return [(name, True) for name in jobs]
    costs: dict[str, float] = {}
    for name, job in jobs.items():
        progress(f"trying {name}")
        with failures.kept(name), progress.timed("encode texture"):
            costs[name] = job.estimated_cost()
    order = sorted(costs, key=lambda name: costs[name])

    def may_pay(name: str) -> bool:
        sliced = jobs[name].may_be_sliced() and not jobs[order[0]].may_be_sliced()
        behind = decibels(costs[name] - costs[order[0]])
        return behind <= close + (_GAIN_OF_SLICES if sliced else 0.0)

    return [(name, may_pay(name)) for name in order]


def _fitting(
    volume: Volume, device: str, progress: Progress, load: Callable[..., Codec]
) -> list[Codec]:
    """Return codecs of all installed bundles that suit a scan; skip damaged bundles."""
    folders = bundles.available()
    if not folders:
        raise BundleNotFoundError("no bundle is installed; `deepstd doctor` shows where")
    codecs = []
    for folder in folders:
        try:
            codecs.append(load(str(folder), device=device))
        except BundleError as error:
            progress(f"passing over a bundle: {error}")
    codecs = [codec for codec in codecs if suits(codec.model, volume)]
    if not codecs:
        raise InputError(
            f"no installed bundle compresses a scan of shape {volume.shape}; "
            "`deepstd model list` shows what there is"
        )
    return codecs


def suits(model: Model, volume: Volume) -> bool:
    """Return True if a bundle was made for the axes and the field of view of a scan."""
    frame = frames_of(volume)[0]
    flat = flat_axis(frame.shape)
    ndim = frame.ndim if flat is None else 2
    if ndim not in model.networks and frame.ndim not in model.networks:
        return False
    shape = model.shape_model
    if shape is None:
        return True
    affine = io.placement_of(volume.source)
    if frame.ndim != shape.ndim:
        return False
    ours, theirs = np.array(shape.template.shape, float), np.array(frame.shape, float)
    if affine is not None and shape.affine is not None:
        ours *= np.linalg.norm(shape.affine[:3, : shape.ndim], axis=0)
        theirs *= np.linalg.norm(affine[:3, : shape.ndim], axis=0)
    else:
        ours, theirs = ours / ours.max(), theirs / theirs.max()
    # Axes may be permuted: compare the sorted extents.
    ratio = np.sort(theirs) / np.sort(ours)
    return bool((ratio < _FIELD_OF_VIEW_FACTOR).all() and (ratio > 1 / _FIELD_OF_VIEW_FACTOR).all())
