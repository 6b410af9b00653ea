"""``train``: a cache to a bundle.

CACHE, or scans ─ prepare ─▶ CACHE ─ train ─▶ CHECKPOINT ─▶ … ─▶ BUNDLE_DIR
"""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deepstd.cli import console, options, train_checks
from deepstd.cli.prepare import gather, is_cache
from deepstd.errors import OutputExistsError

if TYPE_CHECKING:
    from deepstd.train.cache import CachedScan
    from deepstd.train.config import TrainConfig
    from deepstd.train.start import Start
    from deepstd.train.teacher import Teacher

# Bundle whose networks begin a training without settings, and learning rate of networks that are
# trained further.
_USUAL_START, _FURTHER_RATE = "generic", 1e-3
# Post-filter of volumes with a template, which `generic` has none for.
_FILTER_WITH_TEMPLATE = (16, 1)


def train(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="CACHE|DIR",
            help="A cache of `deepstd prepare`, or its scans. With --update also the ledger.jsonl "
            "of a batch, with --scans: those that missed their quality or are unlike those of "
            "their bundle.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="BUNDLE_DIR", help="Folder for the new bundle."),
    ],
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN.toml",
            help="Settings of the training, as in configs/. Default: the bundle is named after its "
            "folder, begins with the networks of generic, and gets a template if all scans have "
            "the same number of axes.",
        ),
    ] = None,
    begin: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="BUNDLE",
            help="Start from the template and networks of a bundle, by name or folder; from its "
            "template alone where the transform is another. Without --config, the networks have "
            "the sizes of the bundle. Default: random networks with --config or --teacher, "
            "otherwise those of generic.",
        ),
    ] = None,
    update: Annotated[
        str | None,
        typer.Option(
            metavar="BUNDLE",
            help="Make the next version of a bundle, by name or folder: learn from the scans, and "
            "keep what it could do before. Nothing is written where it does not improve, or loses "
            "1 % on earlier scans.",
        ),
    ] = None,
    searched: Annotated[
        Path | None,
        typer.Option("--scans", metavar="SRC_DIR", help="Folder of the scans of a ledger."),
    ] = None,
    old: Annotated[
        Path | None,
        typer.Option(
            metavar="CACHE|DIR",
            help="Scans of the earlier training, for --update. Default: synthetic scans.",
        ),
    ] = None,
    teacher: Annotated[
        str | None,
        typer.Option(
            metavar="BUNDLE",
            help="For few scans: let the features of a bundle that has learned from many scans of "
            "a related modality, by name or folder, supervise the training. Without --config, the "
            "networks have the sizes of this bundle.",
        ),
    ] = None,
    augment: Annotated[
        bool,
        typer.Option(
            "--augment",
            help="For few scans: deform them at random during training, with the strength "
            "`deformation` of the settings, or 0.03.",
        ),
    ] = False,
    max_time: Annotated[
        float,
        typer.Option(
            parser=options.duration,
            metavar="TIME",
            help="Time for the whole run, from its start to the bundle: 90s, 20m, 1h30m. In a "
            "short time fewer scans are registered and used for training.",
        ),
    ] = "20m",  # pyright: ignore[reportArgumentType]  typer parses it
    session_time: Annotated[
        float | None,
        typer.Option(
            parser=options.duration,
            metavar="TIME",
            help="Stop after this time; --resume continues. Default: run to the end.",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue from the last checkpoint.")
    ] = False,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder of the training state. Default: BUNDLE_DIR.checkpoint."
        ),
    ] = None,
    device: options.OneDevice = "auto",
) -> None:
    """Train a model bundle on your scans."""
    began = time.monotonic()
    if checkpoint is None:
        checkpoint = output.with_name(output.name + ".checkpoint")
    if (output / "bundle.json").exists():
        raise OutputExistsError(f"{output}: there is a bundle already, and bundles never change")
    with console.Progress("starting", bar=True) as progress:
        train_checks.check_update(update, old, config, begin, few=teacher is not None or augment)
        train_checks.check_ledger(source, searched, update)
        described = train_checks.checked(source, output, config, (begin, update, teacher), device)
        from deepstd.train import session

        session.keep_checkpoint(checkpoint, resume=resume)
        scans = _scans_of(source, checkpoint / "cache", progress, searched)
        earlier = None if old is None else _scans_of(old, checkpoint / "old", progress)
        import torch

        from deepstd.devices import device_named
        from deepstd.train import run
        from deepstd.train.deformation import STRENGTH
        from deepstd.train.familiar import write_familiarity
        from deepstd.train.finish import write_bundle

        taught = None if teacher is None else _teacher_of(teacher)
        if update is not None:
            scans, earlier, start, settings = _updating(update, scans, earlier or [])
        elif described is not None:
            start, settings = None if begin is None else _start_of(begin), described
        elif begin is None and taught is not None:
            start, settings = None, _described_by_teacher(scans, taught, output)
        else:
            start = _start_of(begin or _USUAL_START)
            settings = _described_by(scans, start, output, template=begin is None)
        if augment and not settings.deformation:
            settings = replace(settings, deformation=STRENGTH)
        trained = run.train(
            scans,
            settings,
            checkpoint,
            total_seconds=max_time,
            session_seconds=math.inf if session_time is None else session_time,
            spent=time.monotonic() - began,
            resume=resume,
            start=start,
            old=earlier,
            teacher=taught,
            device=torch.device(str(device_named(device))),
            report=progress,
        )
        if trained.finished:
            bundle = write_bundle(trained, settings, scans, output)
            progress("measuring how the validation scans fit")
            write_familiarity(bundle, [*scans, *(earlier or [])])
            text = f"{output}: {bundle.manifest.name} {bundle.manifest.version}"
        else:
            spent = sum(trained.seconds.values())
            text = (
                f"{checkpoint}: {spent:.0f} of {max_time:.0f} s trained. Go on with the same "
                "command and --resume"
            )
    console.result(text)


def _scans_of(
    source: Path, cache: Path, progress: console.Progress, searched: Path | None = None
) -> list[CachedScan]:
    """Read a cache, or gather scans into ``cache`` first.

    Args:
        source: a cache, scans, or a ledger.
        cache: folder for the scans, where ``source`` is no cache.
        progress: shows the scan that is read.
        searched: folder of the scans of a ledger; None for other sources.
    """
    from deepstd.train.cache import read_cache

    if is_cache(source):
        return read_cache(source)
    if not is_cache(cache):
        only = None
        if searched is not None:
            from deepstd.batch.unfitted import unfitted

            only = {searched: unfitted(source)}
        sources = [source] if searched is None else [searched]
        told = gather(sources, cache, None, None, lambda text, share: progress(text), only)
        console.result(told, aside=True)
    return read_cache(cache)


def _updating(
    name: str, scans: list[CachedScan], old: list[CachedScan]
) -> tuple[list[CachedScan], list[CachedScan], Start, TrainConfig]:
    """Return new and old scans, start and settings of the update of a bundle."""
    from deepstd import bundle
    from deepstd.train import update
    from deepstd.train.start import Start

    found = bundle.load(bundle.find(name))
    start = Start.of(found)
    settings = update.config_of(found.manifest, start, scans, old)
    return update.with_validation(scans), update.told_apart(old), start, settings


def _start_of(name: str) -> Start:
    """Load the bundle that the training starts from."""
    from deepstd import bundle
    from deepstd.train.start import Start

    return Start.of(bundle.load(bundle.find(name)))


def _teacher_of(name: str) -> Teacher:
    """Load the networks of the bundle that teaches."""
    from deepstd import bundle
    from deepstd.train.teacher import Teacher

    return Teacher.read(bundle.find(name))


def _described_by(
    scans: list[CachedScan], start: Start, output: Path, *, template: bool
) -> TrainConfig:
    """Return the settings of a training without a file of settings.

    Args:
        scans: scans to learn from.
        start: bundle whose networks are trained further.
        output: folder that the bundle is named after.
        template: True to add a template where all scans have the same number of axes.
    """
    from deepstd.train.config import TrainConfig

    ndims = _ndims(scans)
    values: dict[str, Any] = {"name": output.name.lower(), "ndims": ndims, **start.sizes(ndims)}
    values["learning_rate"] = _FURTHER_RATE
    if template and len(ndims) == 1:
        values |= {"template": True, "widths_between": ()}
        if ndims == [3]:
            values["filter_3d"] = _FILTER_WITH_TEMPLATE
    return TrainConfig.from_dict(values, "the default description")


def _described_by_teacher(scans: list[CachedScan], teacher: Teacher, output: Path) -> TrainConfig:
    """Return the settings of a training from scratch, with networks of a teacher's sizes."""
    from deepstd.train.config import TrainConfig

    ndims = _ndims(scans)
    values: dict[str, Any] = {"name": output.name.lower(), "ndims": ndims, **teacher.sizes(ndims)}
    values["template"] = len(ndims) == 1
    return TrainConfig.from_dict(values, "the default description")


def _ndims(scans: list[CachedScan]) -> list[int]:
    """Return the numbers of axes of the training scans, the largest first."""
    return sorted({scan.voxels.ndim for scan in scans if scan.split == "train"}, reverse=True)
