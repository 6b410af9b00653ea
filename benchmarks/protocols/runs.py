"""Updates of bundles and whole files at equal bytes, kept in results/other-protocol.json.

scans of the new protocol ─ deepstd train --update ─▶ updated bundle, or none
test scans × bundle, updated, generic, SPERR × rates ─▶ Row: bytes, PSNR
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.protocols.cases import CASES, Case, write_scan
from benchmarks.standing.results import FOLDER
from benchmarks.standing.studies import RATES, STUDIES, Scan, split
from deepstd import baselines
from deepstd.codec.codec import Codec
from deepstd.errors import InputError, RateError
from deepstd.quality import psnr
from deepstd.rate.target import Target
from deepstd.volume import Volume

OUT = FOLDER / "other-protocol.json"
BEFORE, UPDATED, GENERIC, PEER = "the bundle", "updated", "generic", "SPERR"
NEW, OWN = "new", "own"
_OWN_SCANS = 4
_REFUSAL = "no new version is written"
_OLD_SCANS = 40  # scans of the own protocol that an update keeps in sight


@dataclass(frozen=True)
class Row:
    """One file.

    Attributes:
        case: key of the case.
        variant: which bundle or peer.
        protocol: "new", or "own" for a scan of the protocol that the bundle knows.
        scan: name of the scan.
        model: name and version of the bundle.
        bpv: bits a voxel.
        nbytes: bytes of the file; 0 where none is that small.
        psnr: dB.
        shape: True where the file holds a deformation field.
        minutes: time of the update; 0 without.
    """

    case: str
    variant: str
    protocol: str
    scan: str
    model: str
    bpv: float
    nbytes: int
    psnr: float
    shape: bool
    minutes: float

    @property
    def key(self) -> tuple[str, str, str, str, float]:
        """Identity of a measurement that is made once."""
        return self.case, self.variant, self.protocol, self.scan, self.bpv


def updated(key: str, minutes: float, data: Path, work: Path) -> Path | None:
    """Return the updated bundle of a case, trained if it is not there; None if it was refused."""
    case, folder = CASES[key], work / key
    bundle, refused = folder / "bundle", folder / "refused"
    if not bundle.is_dir() and not refused.is_file():
        scans, old = folder / "scans", folder / "old"
        scans.mkdir(parents=True, exist_ok=True)
        old.mkdir(exist_ok=True)
        for name, volume in case.volumes("train", data):
            write_scan(name, volume, scans)
        _link_own(case, data, old)
        command = [sys.executable, "-m", "deepstd", "train", str(scans), "-o", str(bundle)]
        command += ["--update", case.bundle, "--old", str(old), "--max-time", f"{minutes:g}m"]
        done = subprocess.run(command, check=False, stderr=subprocess.PIPE, text=True)
        if done.returncode and _REFUSAL not in done.stderr:
            raise InputError(f"the update of {key} failed: {done.stderr.strip()}")
        if done.returncode:
            refused.write_text(done.stderr, encoding="utf-8")
    return bundle if bundle.is_dir() else None


def measure(key: str, minutes: float, data: Path, work: Path) -> None:
    """Measure what is missing of a case, and keep it."""
    case = CASES[key]
    better = updated(key, minutes, data, work)
    bundles = {BEFORE: case.bundle, GENERIC: "generic"}
    if better is not None:
        bundles[UPDATED] = str(better)
    rows = {row.key: row for row in load()}
    fresh = list(case.volumes("test", data))
    own = [(n, Scan.read(data, n).volume) for n in STUDIES[case.own].scans[:_OWN_SCANS]]
    for variant, name in bundles.items():
        codec = Codec.load(name, device="cpu")
        spent = minutes if variant == UPDATED else 0.0
        for protocol, scans in ((NEW, fresh), (OWN, [] if variant == GENERIC else own)):
            for scan, volume in scans:
                for target in RATES:
                    bpv = target.bpv or 0.0
                    if (key, variant, protocol, scan, bpv) not in rows:
                        found = _ours(codec, volume, target, case)
                        model = codec.model.name
                        row = Row(key, variant, protocol, scan, model, bpv, *found, spent)
                        rows[row.key] = row
                        print(row, flush=True)
        _keep(rows)
    for scan, volume in fresh:
        for target in RATES:
            bpv = target.bpv or 0.0
            if (key, PEER, NEW, scan, bpv) not in rows:
                row = Row(key, PEER, NEW, scan, "", bpv, *_peer(volume, target, case), False, 0.0)
                rows[row.key] = row
    _keep(rows)


def _ours(codec: Codec, volume: Volume, target: Target, case: Case) -> tuple[int, float, bool]:
    size = Target(max_bytes=target.bytes_for(volume.voxels.size, volume.nbytes))
    made = codec.encode(volume, size, effort="fast")
    restored = codec.decompress(made.data).voxels
    level = psnr(volume.voxels, restored, peak=case.peak(volume.voxels))
    return len(made.data), round(level, 4), any(made.shape)


def _peer(volume: Volume, target: Target, case: Case) -> tuple[int, float]:
    voxels = volume.voxels
    allowed = target.bytes_for(voxels.size, volume.nbytes)
    try:
        found = baselines.fit_to_bytes(baselines.LOSSY["sperr"], voxels, allowed)
    except RateError:
        return 0, float("nan")
    level = psnr(voxels, found.restored, peak=case.peak(voxels))
    return found.nbytes, round(level, 4)


def _link_own(case: Case, data: Path, folder: Path) -> None:
    """Link training scans of the bundle's own protocol into a folder."""
    data_set = STUDIES[case.own].scans[0].split("/")[0]
    names = split(data_set, "train")
    chosen = np.linspace(0, len(names) - 1, min(_OLD_SCANS, len(names))).astype(int)
    for number in chosen:
        link = folder / Path(names[number]).name
        if not link.exists():
            link.symlink_to((data / names[number]).resolve())


def _keep(rows: dict[tuple[str, str, str, str, float], Row]) -> None:
    lines = ",\n".join(json.dumps(asdict(row)) for row in rows.values())
    OUT.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def load() -> list[Row]:
    """Return the rows that are known."""
    known = json.loads(OUT.read_text(encoding="utf-8")) if OUT.is_file() else []
    return [Row(**values) for values in known]
