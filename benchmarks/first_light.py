"""The acceptance benchmark of the first release, on held-out scans.

    baselines ─▶ results/baselines.json ─┐
    hippocampus, xray, generic ──────────┴─▶ results/*.json, Markdown tables on stdout
    damage ────────────────────────────────▶ results/damage.json, table, exit code 1 on any fault

Usage: python benchmarks/first_light.py {baselines,hippocampus,xray,generic,damage} [--limit N]

`baselines` brings every peer to the bytes that DeepSTD may use, and measures only what its file
lacks; the others read its rows. With --limit only the first scans are used, and nothing is kept
unless --out says where.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from peers import peer_row
from results import Row, bd_rates, load, per_scan, rates, save, table
from studies import STUDIES, Folders, Study

logger = logging.getLogger("first_light")

_HERE = Path(__file__).resolve().parent
_RESULTS = _HERE / "results"
_BASELINES = _RESULTS / "baselines.json"
_DAMAGED_FILES = (
    # kind, study, first scan of its test split that begins so, bits per voxel
    ("3-D with template", "hippocampus", "hippocampus-t1/images/", 0.125),
    ("2-D with template", "xray", "chest-xray/images/", 0.0625),
    ("3-D generic", "generic", "samples/breast1_image", 0.25),
)


@dataclass(frozen=True)
class Run:
    """What the command line asked for."""

    command: str
    folders: Folders
    bundle: str | None
    limit: int | None
    out: Path | None

    def keep(self, rows: list[Row]) -> None:
        """Save the rows so far, where they are kept."""
        if self.out:
            save(rows, self.out)


def run_baselines(run: Run) -> None:
    """Every peer at the bytes that DeepSTD may use; rows that are kept already stay."""
    known = {row.key: row for row in load(run.out)} if run.out else {}
    rows: list[Row] = []
    for name, study in STUDIES.items():
        mine: list[Row] = []
        for scan in list(study.scans())[: run.limit]:
            volume = run.folders.read(scan)
            for peer, target in product(study.peers, study.targets):
                key = (scan, peer.name, str(target), target.max_bytes(volume))
                mine.append(known.get(key) or peer_row(study, scan, volume, peer, target))
            logger.info("%s", scan)
            done = {row.key: row for row in rows + mine}
            run.keep(list((known | done).values()))
        rows += mine
        show(f"{name}, psnr[{study.peak_name}] / ssim, mean over scans", table(mine))
        for peer in study.peers:
            show(rates(mine, peer.name))


def run_study(run: Run) -> None:
    """DeepSTD on a study's test scans, with shape and without, beside its peers."""
    from ours import Ours

    study = STUDIES[run.command]
    bundle = run.bundle or study.bundle
    has_template = study.bundle != "generic"
    ours = [Ours("DeepSTD", bundle, "auto", fresh=not has_template)]
    if has_template:
        ours.append(Ours("DeepSTD, shape off", bundle, "off", fresh=False))
    peers = {row.key: row for row in load(_BASELINES)}
    rows: list[Row] = []
    for scan in list(study.scans())[: run.limit]:
        volume, path = run.folders.read(scan), run.folders.path(scan)
        for target in study.targets:
            found = [codec.row(study, scan, path, volume, target) for codec in ours]
            logger.info("%s %s: %s dB %s", scan, target, found[0].psnr, found[0].note)
            for peer in study.peers:
                key = (scan, peer.name, str(target), target.max_bytes(volume))
                if key not in peers:
                    raise SystemExit(f"no row for {key}; first run: first_light.py baselines")
                found.append(peers[key])
            rows += found
        run.keep(rows)
    report(run.command, study, rows)


def report(name: str, study: Study, rows: list[Row]) -> None:
    """Tables of one study."""
    show(f"{name}, psnr[{study.peak_name}] / ssim, mean over scans", table(rows))
    show(rates(rows, "DeepSTD"))
    shapes = [row.shape for row in rows if row.codec == "DeepSTD" and row.nbytes is not None]
    show(f"deformation field kept in {sum(map(bool, shapes))} of {len(shapes)} files")
    if len(study.targets) > 1:
        show(bd_rates(rows, "DeepSTD"))
    if name == "generic":
        show(per_scan(rows))


def run_damage(run: Run) -> int:
    """Every truncation and random byte flips of one file of each kind."""
    import damage

    reports = []
    for kind, name, prefix, bits_per_voxel in _DAMAGED_FILES:
        study = STUDIES[name]
        scan = next(scan for scan in study.scans() if scan.startswith(prefix))
        path = run.folders.path(scan)
        reports.append(damage.study(kind, path, study.bundle, bits_per_voxel, run.limit))
        logger.info("%s: %d faults", kind, len(reports[-1].faults))
        if run.out:
            run.out.write_text(json.dumps([vars(r) for r in reports], indent=1) + "\n")
    show(damage.describe(reports))
    return int(any(report.faults for report in reports))


def show(*parts: str) -> None:
    """Print paragraphs of Markdown."""
    for part in parts:
        sys.stdout.write(f"{part}\n\n")
    sys.stdout.flush()


def main() -> int:
    """Run one sub-command."""
    beside = _HERE.parents[1]
    data = os.environ.get("DEEPSTD_DATA", beside / "shared" / "data")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=["baselines", *STUDIES, "damage"])
    parser.add_argument("--limit", type=int, help="only the first scans (damage: cases)")
    parser.add_argument("--out", type=Path, help="where to keep the raw results")
    parser.add_argument("--bundle", help="another bundle than the study's own: a name or folder")
    parser.add_argument("--data", type=Path, default=Path(data), help="folder of the scans")
    asked = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    out: Path | None = asked.out
    if out is None and asked.limit is None:
        out = _RESULTS / f"{asked.command}.json"
    folders = Folders(asked.data)
    run = Run(asked.command, folders, asked.bundle, asked.limit, out)
    if run.command == "damage":
        return run_damage(run)
    (run_baselines if run.command == "baselines" else run_study)(run)
    return 0


if __name__ == "__main__":
    sys.exit(main())
