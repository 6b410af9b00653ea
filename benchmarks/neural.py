"""Neural reference codecs beside DeepSTD at equal bytes; writes docs/neural-peers.md.

    test scans × rates × (DeepSTD, BRIEF, Gaussians, DVC, TCM) ─▶ results/neural.json ─▶ page

Usage: python -m benchmarks.neural [STUDY …] --weights WEIGHTS [--codecs brief,tcm]

WEIGHTS holds what `benchmarks.neural_training` wrote: tcm-STUDY.safetensors, dvc-STUDY.safetensors.
A run that was stopped goes on with what is missing; a codec is measured anew when its name, with
the length of its fit or training, has changed.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from benchmarks.standing.results import FOLDER
from benchmarks.standing.studies import STUDIES, Scan, add_data_option
from deepstd import baselines
from deepstd.codec.codec import Codec
from deepstd.errors import RateError
from deepstd.evaluate.rows import OURS
from deepstd.quality import psnr, ssim
from deepstd.rate.target import Target
from deepstd.threads import limit_process

OUT = FOLDER / "neural.json"
PAGE = FOLDER.parents[1] / "docs" / "neural-peers.md"
_T = TypeVar("_T")
_LEARNED = {"dvc": baselines.Dvc, "tcm": baselines.Tcm}
_INTRO = """# Neural reference codecs

Written by `python -m benchmarks.neural --weights WEIGHTS`; every file is in
`benchmarks/results/neural.json`.

Short implementations of our own, in `deepstd.baselines.neural` (extra `neural`), of codecs that the
paper compares with. They follow the papers in outline; none is the authors' program. BRIEF and
Gaussians are fitted to each scan, with the number of steps in their names; the authors' programs
take minutes to hours on a GPU. TCM and DVC are trained on the training scans of the study, with the
CPU minutes in their names (`python -m benchmarks.neural_training`). All get the bytes of DeepSTD's
file. Means over the test scans; encoding and decoding in CPU seconds of one core, without the
search for a setting, on a machine that did other work, too. DeepSTD at normal effort. The settings
of BRIEF and Gaussians were chosen on the first scans of the hippocampus and X-ray tables. The paper
fits BRIEF far longer, and states that its own method encodes 37 to 165 times faster.
"""


@dataclass(frozen=True)
class Plan:
    """Measurements of one study.

    Attributes:
        count: number of test scans.
        rates: bits a voxel.
        steps: of BRIEF and of Gaussians, which take about the same time; all pairs but the first
            are measured on the first scan alone.
    """

    count: int
    rates: tuple[float, ...]
    steps: tuple[tuple[int, int], ...]


PLANS = {
    "hippocampus": Plan(10, (0.5, 0.25, 0.125, 0.0625), ((3000, 600), (20000, 3500))),
    "xray": Plan(5, (0.25,), ((10000, 700),)),
    "brain-mr": Plan(1, (0.25,), ((20000, 1200),)),
}


@dataclass(frozen=True)
class Row:
    """One file.

    Attributes:
        study, scan, codec: which.
        bpv: bits a voxel.
        nbytes: bytes of the file; 0 where the codec has none that small.
        psnr: dB, with the study's peak.
        ssim: structural similarity, with the same range.
        encode_s, decode_s: CPU seconds.
    """

    study: str
    scan: str
    codec: str
    bpv: float
    nbytes: int
    psnr: float
    ssim: float
    encode_s: float
    decode_s: float

    @property
    def key(self) -> tuple[str, str, str, float]:
        """Identity of a measurement that is made once."""
        return self.study, self.scan, self.codec, self.bpv


def main() -> None:
    """Measure what is missing and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_option(parser)
    parser.add_argument("studies", nargs="*", help=f"default: {', '.join(PLANS)}")
    parser.add_argument("--weights", type=Path, required=True, help="folder of trained weights")
    parser.add_argument("--codecs", default="deepstd,brief,gaussians,dvc,tcm")
    given = parser.parse_args()
    limit_process(1)
    torch.set_num_threads(1)
    for study in given.studies or PLANS:
        measure(study, given.codecs.split(","), given.weights, given.data)
        PAGE.write_text(page(load()), encoding="utf-8")


def measure(study: str, codecs: Sequence[str], weights: Path, data: Path) -> None:
    """Measure what is missing of a study, and keep it."""
    plan, rows = PLANS[study], {row.key: row for row in load()}
    for number, name in enumerate(STUDIES[study].scans[: plan.count]):
        voxels = Scan.read(data, name).volume.voxels
        stored = voxels.size * voxels.dtype.itemsize
        for codec, encode in _codecs(study, codecs, weights, data, name, first=not number):
            for bpv in plan.rates:
                key = (study, name, codec, bpv)
                if key in rows:
                    continue
                allowed = Target(bpv=bpv).bytes_for(voxels.size, stored)
                rows[key] = _row(key, voxels, STUDIES[study].peak(voxels), encode, allowed)
                print(rows[key], flush=True)
                lines = ",\n".join(json.dumps(asdict(row)) for row in rows.values())
                OUT.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


_Encode = Callable[[np.ndarray, int], tuple[int, np.ndarray, float, float]]


def _row(
    key: tuple[str, str, str, float], voxels: np.ndarray, peak: float, encode: _Encode, allowed: int
) -> Row:
    try:
        nbytes, restored, encode_s, decode_s = encode(voxels, allowed)
    except RateError:
        return Row(*key, 0, 0.0, 0.0, 0.0, 0.0)
    level = psnr(voxels, restored, peak=peak)
    likeness = ssim(voxels, restored, data_range=peak)
    times = round(encode_s, 3), round(decode_s, 3)
    return Row(*key, nbytes, round(level, 4), round(likeness, 6), *times)


def _codecs(
    study: str, wanted: Sequence[str], weights: Path, data: Path, scan: str, *, first: bool
) -> list[tuple[str, _Encode]]:
    """Return the codecs of a scan with their names; learned ones where there are weights."""
    found: list[tuple[str, _Encode]] = []
    if "deepstd" in wanted:
        found.append((OURS, _ours(study, data, scan)))
    plan = PLANS[study]
    for brief, gaussians in plan.steps if first else plan.steps[:1]:
        fitted = {
            "brief": baselines.Brief(steps=brief),
            "gaussians": baselines.Gaussians(steps=gaussians),
        }
        for key, codec in fitted.items():
            if key in wanted:
                found.append((codec.name, _fitted(codec)))
    for key in _LEARNED:
        path = weights / f"{key}-{study}.safetensors"
        if key in wanted and path.is_file():
            codec = _LEARNED[key](path)
            found.append((codec.name, _learned(codec)))
    return found


def _ours(study: str, data: Path, scan: str) -> _Encode:
    codec, volume = Codec.load(STUDIES[study].bundle, device="cpu"), Scan.read(data, scan).volume

    def encode(voxels: np.ndarray, allowed: int) -> tuple[int, np.ndarray, float, float]:
        (made, seconds) = _timed(lambda: codec.encode(volume, Target(max_bytes=allowed)))
        restored, decoding = _timed(lambda: codec.decompress(made.data).voxels)
        return len(made.data), restored, seconds, decoding

    return encode


def _fitted(codec: baselines.Budgeted) -> _Encode:
    def encode(voxels: np.ndarray, allowed: int) -> tuple[int, np.ndarray, float, float]:
        made, seconds = _timed(lambda: codec.encode(voxels, allowed))
        restored, decoding = _timed(lambda: codec.decode(made))
        return made.nbytes, restored, seconds, decoding

    return encode


def _learned(codec: baselines.Baseline) -> _Encode:
    def encode(voxels: np.ndarray, allowed: int) -> tuple[int, np.ndarray, float, float]:
        known = baselines.fit_to_bytes(codec, voxels, allowed)
        made, seconds = _timed(lambda: codec.encode(voxels, known.knob))
        restored, decoding = _timed(lambda: codec.decode(made))
        return made.nbytes, restored, seconds, decoding

    return encode


def _timed(job: Callable[[], _T]) -> tuple[_T, float]:
    start = time.process_time()
    return job(), time.process_time() - start


def load() -> list[Row]:
    """Return the rows that are known."""
    known = json.loads(OUT.read_text(encoding="utf-8")) if OUT.is_file() else []
    return [Row(**values) for values in known]


def page(rows: Sequence[Row]) -> str:
    """Return the page: a table for each study."""
    parts = [_INTRO]
    for study in dict.fromkeys(row.study for row in rows):
        own = [row for row in rows if row.study == study]
        first = [row for row in own if row.scan == own[0].scan]
        everywhere = {row.codec for row in own if row.scan != own[0].scan}
        longer = {row.codec for row in own} - everywhere if everywhere else set[str]()
        parts += [f"## {STUDIES[study].title}\n"]
        parts += [*_table([row for row in own if row.codec not in longer]), ""]
        if longer:
            parts += ["The first scan alone, with longer fits:\n", *_table(first), ""]
    return "\n".join(parts)


def _table(rows: Sequence[Row]) -> list[str]:
    rates = sorted({row.bpv for row in rows}, reverse=True)
    heads = [f"{rate:g} bpv, dB (SSIM)" for rate in rates]
    lines = [
        f"| codec | scans | {' | '.join(heads)} | encoding, s | to DeepSTD's | decoding, s |",
        "| --- |" + " --- |" * (len(rates) + 4),
    ]
    for codec in dict.fromkeys(row.codec for row in rows):
        own = [row for row in rows if row.codec == codec]
        scans = {row.scan for row in own}
        ours = [row for row in rows if row.codec == OURS and row.scan in scans]
        cells = [codec, str(len(scans))]
        for rate in rates:
            at = [row for row in own if row.bpv == rate]
            done = [row for row in at if row.nbytes]
            if not done:
                cells.append("cannot")
                continue
            level, likeness = (np.mean([getattr(r, n) for r in done]) for n in ("psnr", "ssim"))
            some = "" if len(done) == len(at) else f" ({len(done)} of {len(at)})"
            cells.append(f"{level:.2f} ({likeness:.3f}){some}")
        encoding, reference, decoding = (
            float(np.mean([getattr(row, name) for row in some if row.nbytes] or [math.nan]))
            for some, name in ((own, "encode_s"), (ours, "encode_s"), (own, "decode_s"))
        )
        ratio = f"{encoding / reference:.1f} ×" if codec != OURS and reference > 0 else ""
        cells += [f"{encoding:.2f}", ratio, f"{decoding:.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    main()
