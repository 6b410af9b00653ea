"""Checks of the options of ``train`` before scans are read.

options, RUN.toml ─ check ─▶ settings, or an error that names the option
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from deepstd.errors import InputError
from deepstd.extras import check_torch

if TYPE_CHECKING:
    from deepstd.train.config import TrainConfig


def check_ledger(source: Path, searched: Path | None, update: str | None) -> None:
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


def check_update(
    update: str | None, old: Path | None, config: Path | None, begin: str | None, *, few: bool
) -> None:
    """Raise an InputError for options that do not go together."""
    if update is None and old is not None:
        raise InputError("--old goes with --update BUNDLE, the bundle that learned from the scans")
    if update is not None and (config is not None or begin is not None):
        raise InputError(
            "--update takes all settings from its bundle: leave --config and --from out. For other "
            "settings, train with --from BUNDLE --config RUN.toml"
        )
    if update is not None and few:
        raise InputError("--update learns as its bundle did: leave --teacher and --augment out")
    if old is not None:
        from deepstd import preflight

        preflight.check_sources([old])


def checked(
    source: Path,
    output: Path,
    config: Path | None,
    bundles: tuple[str | None, str | None, str | None],
    device: str,
) -> TrainConfig | None:
    """Check all inputs before scans are read; return the settings of ``config``, if given.

    Args:
        source: cache or scans.
        output: folder of the new bundle.
        config: file of settings, or None.
        bundles: names given with --from, --update and --teacher.
        device: name of the device.
    """
    from deepstd import io, preflight
    from deepstd.train.config import TrainConfig

    check_torch("training", "train")
    preflight.check_sources([source])
    preflight.check_devices(device)
    io.check_folder(output)
    begin, update, _ = bundles
    for name in bundles:
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
