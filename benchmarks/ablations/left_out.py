"""Parts of the texture stage that can be left out of a finished codec, or done otherwise.

first test scans × variants × rates ─ Codec.encode ─▶ results/ablations.json ─▶ a table

The reference is `--effort fast`, to which all other variants but those of effort keep.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from torch import nn

from benchmarks.standing.results import FOLDER
from benchmarks.standing.studies import RATES, STUDIES, Scan
from deepstd.codec.codec import Codec
from deepstd.codec.compressed import Compressed
from deepstd.coding.tables import ScaleTables
from deepstd.engine import library
from deepstd.errors import InputError
from deepstd.evaluate.metrics import bd_rate
from deepstd.quality import psnr
from deepstd.rate.target import Target
from deepstd.registration.pair import register_pair
from deepstd.texture.autoencoder.blocks import TCMBlock
from deepstd.texture.autoencoder.network import AutoencoderNetwork
from deepstd.texture.codec import Network
from deepstd.texture.filters.postfilter import NoFilter
from deepstd.texture.models import network_of
from deepstd.texture.wavelet.network import WaveletNetwork
from deepstd.volume import Volume

_OUT = FOLDER / "ablations.json"
REFERENCE = "reference: effort fast"


@dataclass(frozen=True)
class Row:
    """One file; ``model`` is the study's bundle, by name and version."""

    study: str
    variant: str
    scan: str
    model: str
    bpv: float
    nbytes: int
    psnr: float
    seconds: float

    @property
    def key(self) -> tuple[str, str, str, str, float]:
        """What is measured once."""
        return self.study, self.variant, self.scan, self.model, self.bpv


@dataclass(frozen=True)
class Variant:
    """A codec with something left out.

    Attributes:
        network: what becomes of each network as it is loaded.
        change: what is done to a codec.
        options: of `Codec.encode`.
        bundle: another than the study's.
        on_template: whether what is coded is the scan on the template's grid, as in the paper, and
            the decoder warps it back.
        needs_template: whether it is of no use with bundles without a template.
        replaced: what stands in place of functions and constants, by their full names.
    """

    network: Callable[[Network], Network] = lambda network: network
    change: Callable[[Codec], None] = lambda codec: None
    options: dict[str, Any] = field(default_factory=dict)
    bundle: str | None = None
    on_template: bool = False
    needs_template: bool = False
    replaced: dict[str, Any] = field(default_factory=dict)

    def load(self, bundle: str) -> Codec:
        """A study's bundle with the change, or the variant's own."""

        def changed(*given: Any) -> Network:
            return self.network(network_of(*given))

        with patch("deepstd.codec.model.network_of", changed):
            codec = Codec.load(self.bundle or bundle, device="cpu")
        self.change(codec)
        return codec

    def encode(self, codec: Codec, volume: Volume, target: Target) -> Compressed:
        """A volume encoded so, to be decoded in the same `context`."""
        return codec.encode(volume, target, **{"effort": "fast", **self.options})

    @contextmanager
    def context(self) -> Iterator[None]:
        """In which codecs do what is measured."""
        with ExitStack() as stack:
            if self.replaced:  # the engine knows nothing of what is replaced in the reference
                stack.enter_context(patch.dict(os.environ, {library.DISABLED: "1"}))
                library.engine.cache_clear()
                stack.callback(library.engine.cache_clear)
            for name, other in self.replaced.items():
                stack.enter_context(patch(name, other))
            yield


def _no_offsets(
    symbols: np.ndarray, scale_index: np.ndarray, counts: np.ndarray, tables: ScaleTables
) -> np.ndarray:
    return np.zeros(len(counts), dtype=np.int64)


def _without_filter(network: Network) -> Network:
    if isinstance(network, WaveletNetwork):
        return replace(network, postfilter=NoFilter())
    return network


def _without_optimisation(codec: Codec) -> None:
    manifest = codec.bundle.manifest.model_copy(update={"rate_weight": 0.0})
    codec.model.bundle = replace(codec.bundle, manifest=manifest)


def _without_attention(network: Network) -> Network:
    if isinstance(network, AutoencoderNetwork):
        for block in network.modules():
            if isinstance(block, TCMBlock):
                block.register_module("transformer", nn.Identity())
    return network


VARIANTS = {
    REFERENCE: Variant(),
    "effort normal": Variant(options={"effort": "normal"}),
    "effort best": Variant(options={"effort": "best"}),
    "no deformation field": Variant(options={"shape": "off"}, needs_template=True),
    "no post-filter": Variant(_without_filter),
    "no Wiener filter": Variant(replaced={"deepstd.codec.encoder.best_filter": lambda *_: None}),
    "no rate-distortion-optimised quantisation": Variant(change=_without_optimisation),
    "no trellis": Variant(replaced={"deepstd.coding.trellis.FEWEST_SYMBOLS": 1 << 62}),
    "no offsets of scales": Variant(
        replaced={"deepstd.texture.entropy.symbols.best_offsets": _no_offsets}
    ),
    "on the template's grid": Variant(on_template=True, needs_template=True),
}


def of_bundle(name: str, folder: str) -> dict[str, Variant]:
    """Another bundle beside the study's; the paper's autoencoder in other ways besides."""
    variants = {name: Variant(bundle=folder)}
    networks = Codec.load(folder, device="cpu").model.networks.values()
    if any(isinstance(network, AutoencoderNetwork) for network in networks):
        variants[f"{name}, its attention left out"] = Variant(_without_attention, bundle=folder)
        variants[f"{name}, on the template's grid"] = Variant(bundle=folder, on_template=True)
    return variants


def measure(study: str, variants: dict[str, Variant], count: int, data: Path) -> None:
    """Measure what is missing with the bundle of the day."""
    rows = {row.key: row for row in load()}
    model = model_of(Codec.load(STUDIES[study].bundle, device="cpu"))
    for name, variant in variants.items():
        codec = variant.load(STUDIES[study].bundle)
        if variant.needs_template and codec.model.shape_model is None:
            continue
        for scan in STUDIES[study].scans[:count]:
            missing = [t for t in RATES if (study, name, scan, model, t.bpv or 0.0) not in rows]
            if not missing:
                continue
            volume = Scan.read(data, scan).volume
            peak = STUDIES[study].peak(volume.voxels)
            coded, back = (
                _laid_on_template(codec, volume) if variant.on_template else (volume, _as_is)
            )
            for target in missing:
                bpv = target.bpv or 0.0
                size = Target(max_bytes=target.bytes_for(volume.voxels.size, volume.nbytes))
                began = time.process_time()
                with variant.context():
                    made = variant.encode(codec, coded, size)
                    seconds = round(time.process_time() - began, 2)
                    restored = back(codec.decompress(made.data).voxels)
                level = psnr(volume.voxels, restored, peak=peak)
                row = Row(study, name, scan, model, bpv, len(made.data), round(level, 4), seconds)
                rows[row.key] = row
                print(row, flush=True)
        lines = ",\n".join(json.dumps(asdict(row)) for row in rows.values())
        _OUT.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def _laid_on_template(
    codec: Codec, volume: Volume
) -> tuple[Volume, Callable[[np.ndarray], np.ndarray]]:
    """A scan on the template's grid, and how to bring it back.

    Both fields are those of `deepstd register`. The file holds the field from the laid scan to the
    template instead of the one that leads back, which takes no fewer bytes.
    """
    model = codec.model.shape_model
    if model is None:
        raise ValueError("a study of a bundle with a template is needed")
    voxels = volume.voxels
    transform, _ = register_pair(
        voxels, volume.affine, model.template, model.affine, start=model.trunk()
    )
    fill = float(voxels.min())

    def back(laid: np.ndarray) -> np.ndarray:
        return transform.warp_back(laid, fill=fill)

    return Volume(transform.warp(voxels, fill=fill), model.affine), back


def _as_is(voxels: np.ndarray) -> np.ndarray:
    return voxels


def load() -> list[Row]:
    """Rows that are known."""
    known = json.loads(_OUT.read_text(encoding="utf-8")) if _OUT.is_file() else []
    return [Row(**values) for values in known]


def model_of(codec: Codec) -> str:
    """Name and version of a codec's bundle."""
    return codec.model.name


def table(rows: Sequence[Row], study: str, model: str) -> list[str]:
    """Lines of the table of a study and a bundle."""
    own = [row for row in rows if (row.study, row.model) == (study, model)]
    reference = _curves(own, REFERENCE)
    rates = [f"{target.bpv} bpv" for target in RATES]
    lines = [
        f"With `{model}`, the first {len(reference)} scans. Mean PSNR in dB, then what each "
        "variant gains on the reference, its BD-rate against it (below 0: fewer bytes), and CPU "
        "time to compress.\n",
        f"| variant | {' | '.join(rates)} | BD-rate | CPU time |",
        "| --- |" + " --- |" * (len(rates) + 2),
    ]
    for name in dict.fromkeys(row.variant for row in own):
        lines.append(_line(name, _curves(own, name), reference, own))
    return lines


def _curves(rows: Sequence[Row], variant: str) -> dict[str, dict[float, Row]]:
    """Rows of a variant by scan and rate; scans of which a rate is missing are left out."""
    found: dict[str, dict[float, Row]] = {}
    for row in rows:
        if row.variant == variant:
            found.setdefault(row.scan, {})[row.bpv] = row
    return {scan: curve for scan, curve in found.items() if len(curve) == len(RATES)}


def _line(
    name: str,
    curves: dict[str, dict[float, Row]],
    reference: dict[str, dict[float, Row]],
    rows: Sequence[Row],
) -> str:
    scans = [scan for scan in curves if scan in reference]
    cells = []
    for target in RATES:
        bpv = target.bpv or 0.0
        level = float(np.mean([curves[s][bpv].psnr for s in scans]))
        gain = level - float(np.mean([reference[s][bpv].psnr for s in scans]))
        cells.append(f"{level:.2f}" if name == REFERENCE else f"{gain:+.2f}")
    rates = []
    for scan in scans:
        with suppress(InputError):  # no PSNR that both curves have
            rates.append(bd_rate(*_points(reference[scan]), *_points(curves[scan])))
    times = [
        sum(r.seconds for c in some.values() for r in c.values())
        for some in (curves, {s: reference[s] for s in scans})
    ]
    more = f"{float(np.mean(rates)):+.1f} %" if len(rates) == len(scans) else "–"
    cells += [more, f"{times[0] / times[1]:.1f} ×"]
    return f"| {name} | {' | '.join(cells)} |"


def _points(curve: dict[float, Row]) -> tuple[list[float], list[float]]:
    ordered = [curve[bpv] for bpv in sorted(curve)]
    return [float(row.nbytes) for row in ordered], [row.psnr for row in ordered]
