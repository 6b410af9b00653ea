"""``prepare`` and ``train``: scans to a cache, a cache to a bundle.

SRC … ─ prepare ─▶ CACHE ─ train ─▶ CHECKPOINT ─▶ … ─▶ BUNDLE_DIR
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deepstd.cli import console, options
from deepstd.errors import InputError, OutputExistsError
from deepstd.extras import check_torch

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from deepstd.train.cache import CachedScan
    from deepstd.train.config import TrainConfig
    from deepstd.train.start import Start

_MOST_LEFT_OUT_SHOWN = 10
# Bundle whose networks begin a training without settings, and learning rate of networks that are
# trained further.
_USUAL_START, _FURTHER_RATE = "generic", 1e-3
# Post-filter of volumes with a template, which `generic` has none for.
_FILTER_WITH_TEMPLATE = (16, 1)


def prepare(
    sources: Annotated[
        list[Path], typer.Argument(metavar="SRC", help="Folders of scans, or single scans.")
    ],
    cache: Annotated[
        Path, typer.Option("--output", "-o", metavar="CACHE", help="Folder to write.")
    ],
    split: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="JSON file with lists train, validation and test of file names for each data set. "
            "Default: a tenth of the patients is kept for validation.",
        ),
    ] = None,
    patient: Annotated[
        str | None,
        typer.Option(
            metavar="REGEX",
            help="Regular expression that matches the patient's name in a scan's path below its "
            "folder. Default: the path up to the first dot of the name; for a DICOM series its "
            "folder.",
        ),
    ] = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Gather scans into a training cache."""
    if is_cache(cache) and not overwrite:
        raise OutputExistsError(
            f"{cache}: there is a training cache already. Choose another folder, or --overwrite it"
        )
    with console.Progress("looking for scans", bar=True) as progress:
        console.result(gather(sources, cache, split, patient, progress))


def gather(
    sources: list[Path],
    cache: Path,
    split: Path | None,
    patient: str | None,
    report: Callable[[str, float], None],
    only: Mapping[Path, Collection[str]] | None = None,
) -> str:
    """Prepare a training cache; return a text on its contents.

    Args:
        sources: folders of scans, or single scans.
        cache: folder to write.
        split: JSON file of the lists train, validation and test, or None.
        patient: regular expression for the patient in a scan's path, or None.
        report: called with a sentence and the share done, 0 to 1.
        only: names of the scans to take from each source; None for all.
    """
    from deepstd.train.prepare import prepare as prepare_cache

    done = prepare_cache(sources, cache, splits=split, patient=patient, only=only, report=report)
    lines = [f"{cache}: {done.train} training and {done.validation} validation scans"]
    if done.left_out:
        lines.append(f"left out: {len(done.left_out)} files")
        shown = list(done.left_out.items())[:_MOST_LEFT_OUT_SHOWN]
        lines += [f"  {name}: {reason}" for name, reason in shown]
        if len(shown) < len(done.left_out):
            lines.append("  …")
    return "\n".join(lines)


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
            help="Start from the template and networks of a bundle, by name or folder. Without "
            "--config, the networks have the sizes of the bundle. Default: random networks with "
            "--config, otherwise those of generic.",
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
        _check_update(update, old, config, begin)
        _check_ledger(source, searched, update)
        described = _checked(source, output, config, begin, update, device)
        from deepstd.train import session

        session.keep_checkpoint(checkpoint, resume=resume)
        scans = _scans_of(source, checkpoint / "cache", progress, searched)
        earlier = None if old is None else _scans_of(old, checkpoint / "old", progress)
        import torch

        from deepstd.devices import device_named
        from deepstd.train import run
        from deepstd.train.familiar import write_familiarity
        from deepstd.train.finish import write_bundle

        if update is not None:
            scans, earlier, start, settings = _updating(update, scans, earlier or [])
        elif described is not None:
            start, settings = None if begin is None else _start_of(begin), described
        else:
            start = _start_of(begin or _USUAL_START)
            settings = _described_by(scans, start, output, template=begin is None)
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


def is_cache(folder: Path) -> bool:
    """Return True where a folder holds a training cache."""
    return (folder / "cache.json").is_file()


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
        console.note(told)
    return read_cache(cache)


def _check_ledger(source: Path, searched: Path | None, update: str | None) -> None:
    """Raise an InputError where a ledger comes without its folder, or the folder without one."""
    from deepstd import preflight
    from deepstd.batch.unfitted import is_ledger

    if is_ledger(source):
        if update is None or searched is None:
            raise InputError(
                f"{source}: a ledger names scans below the folder that was compressed. Give that "
                "with --scans SRC_DIR, and the bundle to update with --update BUNDLE"
            )
        preflight.check_sources([searched])
    elif searched is not None:
        raise InputError(f"{source}: is no ledger of `deepstd batch`, and --scans goes with one")


def _check_update(
    update: str | None, old: Path | None, config: Path | None, begin: str | None
) -> None:
    """Raise an InputError for options that do not go together."""
    if update is None and old is not None:
        raise InputError("--old goes with --update BUNDLE, the bundle that learned from the scans")
    if update is not None and (config is not None or begin is not None):
        raise InputError(
            "--update takes all settings from its bundle: leave --config and --from out. For other "
            "settings, train with --from BUNDLE --config RUN.toml"
        )
    if old is not None:
        from deepstd import preflight

        preflight.check_sources([old])


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


def _checked(
    source: Path,
    output: Path,
    config: Path | None,
    begin: str | None,
    update: str | None,
    device: str,
) -> TrainConfig | None:
    """Check all inputs before scans are read; return the settings of ``config``, if given."""
    from deepstd import io, preflight
    from deepstd.train.config import TrainConfig

    check_torch("training", "train")
    preflight.check_sources([source])
    preflight.check_devices(device)
    io.check_folder(output)
    for name in (begin, update):
        if name is not None:
            preflight.check_bundle(name)
    if update is not None:
        return None
    if config is None:
        _check_manifest(TrainConfig(output.name.lower()), output)
        return None
    settings = TrainConfig.read(config)
    if settings.kept and begin is None:
        raise InputError(f"{config}: the run keeps networks of a bundle: name that with --from")
    _check_manifest(settings, config)
    return settings


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

    ndims = sorted({scan.voxels.ndim for scan in scans if scan.split == "train"}, reverse=True)
    values: dict[str, Any] = {"name": output.name.lower(), "ndims": ndims, **start.sizes(ndims)}
    values["learning_rate"] = _FURTHER_RATE
    if template and len(ndims) == 1:
        values |= {"template": True, "widths_between": ()}
        if ndims == [3]:
            values["filter_3d"] = _FILTER_WITH_TEMPLATE
    return TrainConfig.from_dict(values, "the default description")


def _check_manifest(settings: TrainConfig, source: Path) -> None:
    """Raise an InputError for settings that would fail when the bundle is written."""
    from pydantic import ValidationError

    from deepstd.bundle import Manifest

    try:
        Manifest(
            name=settings.name,
            version=settings.version,
            modality=settings.modality,
            body_part=settings.body_part,
            description=settings.description,
            licence=settings.licence,
            networks={},
            rate_weight=settings.rate_weight,
            files={},
        )
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise InputError(
            f"{source}: {field} = {first['input']!r} does not suit a bundle: {first['msg']}. Name "
            "it in small letters, digits, dots and hyphens, with --config"
        ) from error
