"""Update of a bundle with new scans: description of the run, and its verdict on each network.

    bundle, new scans ─▶ TrainConfig: small learning rate, version + 1
    old weights ─ share ─▶ trained weights: figures on new and on old scans ─▶ accepted or not

A share of the way between old and new weights often keeps more of the old ability than it costs of
the new one (Wortsman et al. 2022).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from deepstd.errors import InputError
from deepstd.texture.description import part_named
from deepstd.texture.kinds import AUTOENCODER, Part
from deepstd.texture.trainable import Trainable
from deepstd.train.between import FEWEST
from deepstd.train.cache import CachedScan
from deepstd.train.config import TrainConfig
from deepstd.train.data import Example
from deepstd.train.loop import titled
from deepstd.train.ready import of_kind
from deepstd.train.validation import VALIDATION_RATES, validate

if TYPE_CHECKING:
    from deepstd.bundle import Manifest
    from deepstd.train.start import Start

MOST_LOST = 0.01
"""Largest increase in bits at equal PSNR on the old validation scans."""
_LEARNING_RATE = 1e-3  # a quarter of that of a run from scratch
_SHARES = (1.0, 0.5, 0.25)
# Old scans are told apart from new ones by the number of their source folder.
_OLD_SOURCES = 1 << 16
_LAST_NUMBER = re.compile(r"(\d+)(\D*)$")
_LEAST_BITS = 1e-4  # bits a voxel; bounds relative changes


@dataclass(frozen=True)
class Verdict:
    """Validation of an updated network.

    Attributes:
        share: share of the way from the old to the trained weights; 0 where the old are kept.
        new: metrics on new validation scans, before and after.
        old: metrics on scans that stand for what the network could do before, before and after.
    """

    share: float
    new: tuple[dict[str, float], dict[str, float]]
    old: tuple[dict[str, float], dict[str, float]]

    @property
    def on_new(self) -> float:
        """Relative increase in bits at equal PSNR on the new scans."""
        return growth(*self.new)

    @property
    def on_old(self) -> float:
        """Relative increase in bits at equal PSNR on the old scans."""
        return growth(*self.old)

    @property
    def is_fit(self) -> bool:
        """True where the new scans improve and the old ones lose less than 1 %."""
        return self.on_new < 0 and self.on_old < MOST_LOST

    def __str__(self) -> str:
        # Adding 0 makes a negative zero positive.
        new, old = (round(100 * part, 2) + 0.0 for part in (self.on_new, self.on_old))
        return f"{new:+.2f} % on new scans, {old:+.2f} % on earlier ones"


def next_version(version: str) -> str:
    """Return a version whose last number is one higher.

    Raises:
        InputError: the version ends in no number.
    """
    match = _LAST_NUMBER.search(version)
    if match is None:
        raise InputError(f"version {version!r} of the bundle has no number to raise")
    return version[: match.start()] + str(int(match[1]) + 1) + match[2]


def config_of(
    manifest: Manifest, start: Start, scans: Sequence[CachedScan], old: Sequence[CachedScan]
) -> TrainConfig:
    """Return the description of an update. Networks without a new scan to learn from are kept.

    Args:
        manifest: description of the bundle.
        start: networks of the bundle.
        scans: new scans.
        old: scans of earlier training, or none.

    Raises:
        InputError: no network of the bundle is for such scans, or autoencoders have no old scans.
    """
    ndims = [int(name) for name in manifest.networks if name.isdigit()]
    volumes = bool(of_kind(scans, 3, "train"))
    fit = {
        2: bool(of_kind(scans, 2, "train")) or (volumes and start.shape is None and 3 in ndims),
        3: volumes,
        "between": bool(of_kind(scans, 3, "train", FEWEST)),
    }
    kept = [name for name in manifest.networks if not fit[part_named(name)]]
    if len(kept) == len(manifest.networks):
        raise InputError(f"{start.name} has no network for the number of axes of the new scans")
    values: dict[str, Any] = {
        "name": manifest.name,
        "version": next_version(manifest.version),
        "modality": manifest.modality,
        "body_part": manifest.body_part,
        "description": manifest.description,
        "licence": manifest.licence,
        "rate_weight": manifest.rate_weight,
        "ndims": ndims,
        "kept": kept,
        "learning_rate": _LEARNING_RATE,
        "varied": start.shape is None,
        **start.sizes(ndims),
    }
    config = TrainConfig.from_dict(values, f"the description of {start.name}")
    if config.transform == AUTOENCODER and not old:
        raise InputError(
            f"{start.name} has autoencoders, which keep what they could do only with scans of "
            "earlier training: name these with --old"
        )
    return config


def told_apart(old: Sequence[CachedScan]) -> list[CachedScan]:
    """Return scans of earlier training with source folders that no new scan has."""
    return [replace(scan, source=scan.source + _OLD_SOURCES) for scan in old]


def with_validation(scans: Sequence[CachedScan]) -> list[CachedScan]:
    """Return scans with a validation scan among those of each number of axes.

    Where the split has none, the patient of the smallest hash is kept from training.

    Raises:
        InputError: all scans of a number of axes are of one patient.
    """
    found = list(scans)
    for ndim in sorted({scan.voxels.ndim for scan in scans}):
        if of_kind(found, ndim, "validation"):
            continue
        patients = {scan.patient for scan in of_kind(found, ndim, "train")}
        if len(patients) < 2:
            raise InputError(
                f"all new {ndim}-D scans are of one patient ({patients.pop()}): an update needs "
                "another one to show that it improves. Add scans, or let `deepstd prepare "
                "--patient` tell patients apart"
            )
        held_out = min(patients, key=lambda name: hashlib.sha256(name.encode()).digest())
        found = [
            replace(scan, split="validation") if scan.patient == held_out else scan
            for scan in found
        ]
    return found


def growth(before: dict[str, float], after: dict[str, float]) -> float:
    """Return the relative increase in bits at equal PSNR between two validations.

    A difference in PSNR is converted to bits by the slope of the first curve, log bits over PSNR
    (a Bjøntegaard difference to first order).
    """
    bits = np.array(
        [[max(m[f"bpv_{r}"], _LEAST_BITS) for r in VALIDATION_RATES] for m in (before, after)]
    )
    psnr = np.array([[m[f"psnr_{r}"] for r in VALIDATION_RATES] for m in (before, after)])
    logs = np.log(bits)
    slope = np.gradient(logs[0], psnr[0])
    return float(np.expm1(np.mean(logs[1] - logs[0] - slope * (psnr[1] - psnr[0]))))


def judged(
    part: Part,
    before: Trainable,
    trained: Trainable,
    new: list[Example],
    old: list[Example],
    config: TrainConfig,
) -> tuple[Trainable, Verdict]:
    """Choose weights between those of a bundle and the trained ones; fall back on the bundle's.

    Args:
        part: key of the network.
        before: network of the bundle.
        trained: network at the end of the training.
        new: new validation scans.
        old: validation scans that stand for what the network could do before.
        config: description of the run.

    Returns:
        The network, with the tables of the bundle, and the figures of the last weights tried.
    """
    figures = [validate(part, before, examples, config) for examples in (new, old)]
    verdict = None
    for share, network in _blends(before, trained):
        after = [validate(part, network, examples, config) for examples in (new, old)]
        verdict = Verdict(share, (figures[0], after[0]), (figures[1], after[1]))
        if verdict.is_fit:
            return network, verdict
    if verdict is None:
        raise ValueError("no share to try")
    return before, replace(verdict, share=0.0)


def check_improved(verdicts: Mapping[Part, Verdict]) -> None:
    """Raise an InputError that says what happened, where no network of an update is better."""
    if any(verdict.is_fit for verdict in verdicts.values()):
        return
    told = "; ".join(f"{titled(part)} network {verdict}" for part, verdict in verdicts.items())
    raise InputError(
        f"no new version is written. Bits at equal PSNR after the update: {told}. They must be "
        f"fewer on new scans, and grow by less than {100 * MOST_LOST:.0f} % on earlier ones. Give "
        "a longer --max-time, more scans, or --old with scans of the earlier training"
    )


def _blends(before: Trainable, trained: Trainable) -> Iterator[tuple[float, Trainable]]:
    """Yield networks whose weights are between two networks', the trained one first."""
    old = {name: p.detach() for name, p in before.named_parameters()}
    for share in _SHARES:
        network = deepcopy(trained)
        network.tables = before.tables
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                parameter.copy_(torch.lerp(old[name].to(parameter), parameter, share))
        yield share, network.eval()
