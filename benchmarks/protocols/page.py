"""docs/other-protocols.md from the kept rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress

import numpy as np

from benchmarks.protocols.cases import CASES, Case
from benchmarks.protocols.runs import BEFORE, GENERIC, NEW, OWN, PEER, UPDATED, Row, load
from benchmarks.standing.results import FOLDER
from benchmarks.standing.studies import RATES
from deepstd.errors import InputError
from deepstd.evaluate.metrics import bd_rate

PAGE = FOLDER.parents[1] / "docs" / "other-protocols.md"
_INTRO = """# Bundles on other protocols

Written by `python -m benchmarks.protocols --work WORK --minutes M`; every file is in
`benchmarks/results/other-protocol.json`.

The paper tests its models on scans of another protocol than they learned. Here a bundle meets
scans of another contrast, resolution or scanner: as it is, after `deepstd train --update` with
training scans of the new protocol, and beside `generic` and SPERR. All files have the same bytes
(effort fast); test scans are of patients that neither bundle nor update has learned from. An update
must also keep what the bundle could do: the second table of each case measures its own protocol.
Mean PSNR in dB, then what each gains on the bundle as it is, and its BD-rate against it (below 0:
fewer bytes). "With field" is the share of files in which the deformation field paid for itself.

Two things to read from it. A template that no longer looks like the scan does not line up with it,
and minutes of update do not mend this: they teach the network alone. `--model auto` encodes once
with each bundle that suits a scan, so it takes `generic` where `generic` needs fewer bytes.
"""
_ORDER = (BEFORE, UPDATED, GENERIC, PEER)


def write() -> None:
    """Write the page."""
    PAGE.write_text(page(load()), encoding="utf-8")


def page(rows: Sequence[Row]) -> str:
    """Return the page: for each case, the new protocol and the bundle's own."""
    parts = [_INTRO]
    for key in dict.fromkeys(row.case for row in rows):
        case, own = CASES[key], [row for row in rows if row.case == key]
        parts += [f"## {case.title}\n", _words(case, own)]
        parts += [*_table([row for row in own if row.protocol == NEW]), ""]
        if any(row.variant == UPDATED for row in own):
            parts += ["Scans of the bundle's own protocol:\n"]
            parts += [*_table([row for row in own if row.protocol == OWN]), ""]
    return "\n".join(parts)


def _words(case: Case, rows: Sequence[Row]) -> str:
    models = {row.variant: row.model for row in rows}
    scans = len({row.scan for row in rows if row.protocol == NEW})
    start = f"`{models[BEFORE]}`, {scans} test scans"
    minutes = max(row.minutes for row in rows)
    if not minutes:
        return f"{start}. The update was refused: it did not improve, or lost on earlier scans.\n"
    return f"{start}; {minutes:g} minutes of update with {len(case.names('train'))} scans.\n"


def _table(rows: Sequence[Row]) -> list[str]:
    curves = {variant: _curves(rows, variant) for variant in _ORDER}
    before = curves[BEFORE]
    lines = [
        f"| codec | {' | '.join(f'{target.bpv} bpv' for target in RATES)} | BD-rate | with field |",
        "| --- |" + " --- |" * (len(RATES) + 2),
    ]
    for variant, found in curves.items():
        if found:
            fields = [row.shape for curve in found.values() for row in curve.values()]
            share = "" if variant == PEER else f"{100 * sum(fields) / len(fields):.0f} %"
            cells = [*_levels(found, before, variant), _rate(found, before, variant), share]
            lines.append(f"| {variant} | {' | '.join(cells)} |")
    return lines


def _curves(rows: Sequence[Row], variant: str) -> dict[str, dict[float, Row]]:
    found: dict[str, dict[float, Row]] = {}
    for row in rows:
        if row.variant == variant:
            found.setdefault(row.scan, {})[row.bpv] = row
    return found


def _levels(
    found: dict[str, dict[float, Row]], before: dict[str, dict[float, Row]], variant: str
) -> list[str]:
    cells = []
    for target in RATES:
        bpv = target.bpv or 0.0
        pairs = [(found[s][bpv].psnr, before[s][bpv].psnr) for s in found]
        pairs = [pair for pair in pairs if not math.isnan(pair[0])]
        if len(pairs) < len(found):
            cells.append("–")
            continue
        level, reference = (float(np.mean(values)) for values in zip(*pairs, strict=True))
        cells.append(f"{level:.2f}" if variant == BEFORE else f"{level - reference:+.2f}")
    return cells


def _rate(
    found: dict[str, dict[float, Row]], before: dict[str, dict[float, Row]], variant: str
) -> str:
    if variant == BEFORE:
        return ""
    rates = []
    for scan, curve in found.items():
        with suppress(InputError):  # no PSNR that both curves have
            rates.append(bd_rate(*_points(before[scan]), *_points(curve)))
    return f"{float(np.mean(rates)):+.1f} %" if len(rates) == len(found) else "–"


def _points(curve: dict[float, Row]) -> tuple[list[float], list[float]]:
    ordered = [curve[bpv] for bpv in sorted(curve) if curve[bpv].nbytes]
    return [float(row.nbytes) for row in ordered], [row.psnr for row in ordered]
