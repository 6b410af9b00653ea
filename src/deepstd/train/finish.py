"""Bundle of a finished run: arrays, description, model card and training curve.

Trained, TrainConfig ─▶ bundle folder (+ training.svg)
"""

from __future__ import annotations

import hashlib
import html
import json
from pathlib import Path

import numpy as np

from deepstd import bundle as bundles
from deepstd.bundle import Bundle
from deepstd.io import room_told
from deepstd.texture.description import description_of
from deepstd.texture.kinds import BETWEEN, Part
from deepstd.train.cache import CachedScan
from deepstd.train.config import TrainConfig
from deepstd.train.run import Trained
from deepstd.train.update import Verdict, check_improved
from deepstd.train.validation import VALIDATION_RATES

_WIDTH, _HEIGHT, _MARGIN = 640, 320, 48  # pixels of the training curve
_COLOURS: dict[Part, str] = {2: "#b45309", 3: "#1d4ed8", BETWEEN: "#15803d"}
_TITLES: dict[Part, str] = {
    2: "2-D network",
    3: "3-D network",
    BETWEEN: "network for slices between others",
}
_DIGEST_DIGITS = 16
_RATE = "2.0"  # log2(range / step) of the curve: middle of the validated rates


def write_bundle(
    trained: Trained, config: TrainConfig, scans: list[CachedScan], folder: Path
) -> Bundle:
    """Write the bundle of a run.

    Args:
        trained: networks and shape model.
        config: description of the run.
        scans: scans of the cache, counted in the model card.
        folder: folder to write.

    Raises:
        BundleError: the folder holds a bundle already.
        InputError: the run updated a bundle, and no network is better.
    """
    if trained.verdicts:
        check_improved(trained.verdicts)
    shape = trained.shape
    description = {
        "name": config.name,
        "version": config.version,
        "modality": config.modality,
        "body_part": config.body_part,
        "description": config.description,
        "licence": config.licence,
        "networks": {str(n): description_of(net.config) for n, net in trained.networks.items()},
        "rate_weight": config.rate_weight,
        "shape": None if shape is None else shape.metadata(),
    }
    written = bundles.save(
        folder,
        description,
        {str(n): net.to_tensors() for n, net in trained.networks.items()},
        None if shape is None else shape.to_tensors(),
        None if shape is None else shape.affine,
        model_card(trained, config, scans),
    )
    curve = folder / "training.svg"
    with room_told(curve, curve):
        curve.write_text(training_curve(trained.history), encoding="utf-8")
    return written


def model_card(trained: Trained, config: TrainConfig, scans: list[CachedScan]) -> str:
    """Return the model card in Markdown: use, data, training and validation of the bundle."""
    lines = [
        f"# {config.name} {config.version}",
        "",
        config.description,
        "",
        f"- Modality: {config.modality}. Body part: {config.body_part}.",
        f"- Data and licence: {config.licence}.",
        "- For research. Not a medical device; compressed scans are not for diagnosis.",
        "",
        "## Data",
        "",
        "| axes | training scans | validation scans |",
        "| --- | --- | --- |",
    ]
    for ndim in config.ndims:
        counts = [
            str(sum(s.split == split and s.voxels.ndim == ndim for s in scans))
            for split in ("train", "validation")
        ]
        lines.append(f"| {ndim}-D | " + " | ".join(counts) + " |")
    lines += ["", "## Training", ""]
    if trained.start is not None:
        lines.append(f"- Begun with the networks of {trained.start}.")
    if trained.teacher is not None:
        lines.append(
            f"- Supervised by the features of {trained.teacher} (weight {config.teacher_weight:g})."
        )
    if config.deformation:
        lines.append(f"- Scans deformed at random, with strength {config.deformation:g}.")
    for part in config.parts:
        parameters = sum(p.numel() for p in trained.networks[part].parameters())
        took = f"{trained.seconds[part]:.0f} s" if part in trained.seconds else "taken over"
        used = f", {trained.used[part]} scans" if trained.used.get(part) else ""
        lines.append(f"- {_TITLES[part]}: {parameters:,} parameters{used}, {took}.")
    if config.learns_slices and 2 in trained.seconds:
        lines.append("- The 2-D network learned from slices of the 3-D scans, too.")
    if trained.shape is not None:
        size = " × ".join(map(str, trained.shape.template.shape))
        lines.append(
            f"- Template: group-wise average {_averaged_over(trained)}, {size}; with the shape "
            f"model and the fields of scans {trained.shape_seconds:.0f} s."
        )
    lines += _update_lines(trained, scans) if trained.verdicts else _validation_lines(trained)
    lines += ["", "## Run", "", "```json", json.dumps(config.to_dict(), indent=1), "```", ""]
    return "\n".join(lines)


def _validation_lines(trained: Trained) -> list[str]:
    """Return the last validation of each network as a table."""
    lines = [
        "",
        "Validation scans at the end of training (estimated bits of the textures alone, PSNR with "
        "the scan's coding range as peak):",
        "",
        "| network | bits per voxel | PSNR (dB) |",
        "| --- | --- | --- |",
    ]
    for part, history in trained.history.items():
        if history:
            last = history[-1]
            rates = [k.removeprefix("bpv_") for k in last if k.startswith("bpv_")]
            lines += [
                f"| {_TITLES[part]} | {last[f'bpv_{r}']:.4f} | {last[f'psnr_{r}']:.2f} |"
                for r in rates
            ]
    return lines


def _update_lines(trained: Trained, scans: list[CachedScan]) -> list[str]:
    """Return what an update learned from, and its figures before and after."""
    lines = ["", "## Update", "", f"- Updated from {trained.start}, whose template stays."]
    if trained.shape is None:
        lines[-1] = f"- Updated from {trained.start}."
    for split, told in (("train", "Training"), ("validation", "Validation")):
        of_split = [scan for scan in scans if scan.split == split]
        patients = len({scan.patient for scan in of_split})
        lines.append(
            f"- {told}: {len(of_split)} new scans of {patients} patients, SHA-256 "
            f"{_digest(of_split)}."
        )
    lines += [
        "- The licence above is that of the earlier version; new scans may have another one.",
        "",
        "Estimated bits of the textures alone, PSNR with the scan's coding range as peak. Earlier "
        "scans are scans of earlier training where they were at hand, else synthetic ones.",
        "",
        "| network | scans | bits per voxel before | after | PSNR before (dB) | after |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for part, verdict in trained.verdicts.items():
        for kind, (before, after) in (("new", verdict.new), ("earlier", verdict.old)):
            lines += [
                f"| {_TITLES[part]} | {kind} | {before[f'bpv_{r}']:.4f} | {after[f'bpv_{r}']:.4f} "
                f"| {before[f'psnr_{r}']:.2f} | {after[f'psnr_{r}']:.2f} |"
                for r in VALIDATION_RATES
            ]
    lines.append("")
    lines += [f"- {_outcome(part, verdict)}" for part, verdict in trained.verdicts.items()]
    return lines


def _outcome(part: Part, verdict: Verdict) -> str:
    """Return a sentence about an updated network."""
    found = f"{_TITLES[part]}: bits at equal PSNR {verdict}"
    if not verdict.is_fit:
        return f"{found}, so the weights of before are kept."
    return f"{found}, with {100 * verdict.share:.0f} % of the change in weights."


def _digest(scans: list[CachedScan]) -> str:
    """Return the first digits of a hash over voxels; names could identify patients."""
    total = hashlib.sha256()
    for scan in sorted(scans, key=lambda scan: scan.key):
        total.update(np.ascontiguousarray(scan.voxels).data)
    return total.hexdigest()[:_DIGEST_DIGITS]


def _averaged_over(trained: Trained) -> str:
    taken = trained.template_from
    return "of the training scans" if taken is None else f"taken from {taken}"


def training_curve(history: dict[Part, list[dict[str, float]]]) -> str:
    """Draw validation PSNR and bits per voxel against training time, as SVG.

    Args:
        history: validation metrics of each network.
    """
    points = {
        n: [(h["seconds"], h[f"psnr_{_RATE}"], h[f"bpv_{_RATE}"]) for h in entries]
        for n, entries in history.items()
    }
    series = {
        f"{_TITLES[n]}: {name}": (n, [(p[0], p[index]) for p in values], dash)
        for n, values in points.items()
        for name, index, dash in (("PSNR (dB)", 1, ""), ("bpv", 2, "6 4"))
        if values
    }
    seconds = [x for _, line, _ in series.values() for x, _ in line]
    longest = max(seconds, default=1.0)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        f'<text x="{_MARGIN}" y="20">Validation at range / step = 4, each line on a scale of its '
        "own</text>",
    ]
    for row, (name, (part, line, dash)) in enumerate(series.items()):
        low, high = min(y for _, y in line), max(y for _, y in line)
        span = (high - low) or 1.0
        drawn = " ".join(
            f"{_MARGIN + x / longest * (_WIDTH - 2 * _MARGIN):.1f},"
            f"{_HEIGHT - _MARGIN - (y - low) / span * (_HEIGHT - 2 * _MARGIN):.1f}"
            for x, y in line
        )
        colour = _COLOURS[part]
        parts.append(
            f'<polyline points="{drawn}" fill="none" stroke="{colour}" stroke-width="2" '
            f'stroke-dasharray="{dash}"/>'
        )
        label = f"{name}: {line[0][1]:.4g} to {line[-1][1]:.4g}"
        parts.append(
            f'<text x="{_WIDTH / 2}" y="{40 + 16 * row}" fill="{colour}">'
            f"{html.escape(label)}</text>"
        )
    axis = _HEIGHT - _MARGIN
    parts += [
        f'<line x1="{_MARGIN}" y1="{axis}" x2="{_WIDTH - _MARGIN}" y2="{axis}" stroke="black"/>',
        f'<text x="{_WIDTH - _MARGIN}" y="{axis + 18}" text-anchor="end">{longest:.0f} s</text>',
        f'<text x="{_MARGIN}" y="{axis + 18}">0 s</text>',
        "</svg>",
    ]
    return "\n".join(parts)
