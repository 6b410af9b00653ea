"""Who competes: DeepSTD with a bundle, and the peers, each answering a scan and a size.

Scan, Target ─┬─ Codec.compress, decompress ─┬─▶ Answer (bytes, restored scan, seconds)
              ├─ fit_to_bytes(peer) ─────────┤
              └─ encode_exactly(peer) ───────┘
"""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from benchmarks.standing.studies import Scan, Study
from deepstd import baselines, bundle
from deepstd.codec.codec import Codec
from deepstd.container import parse
from deepstd.errors import InputError
from deepstd.evaluate.cases import OUR_CODEC
from deepstd.evaluate.rows import LOSSLESS, OURS
from deepstd.rate.target import Target

# Minutes a volume: these are measured on a study's slow_scans.
_SLOW = ("vvc",)
_DIGEST_LETTERS = 12


@dataclass(frozen=True)
class Answer:
    """File of a codec, restored, with its times.

    Attributes:
        nbytes: of DeepSTD's file, or of a peer's codestreams.
        restored: voxels.
        encode_s, decode_s: seconds; of a peer, of its last encoding.
        shape: whether DeepSTD's file holds a deformation field; None for peers.
    """

    nbytes: int
    restored: np.ndarray
    encode_s: float
    decode_s: float
    shape: bool | None = None


class Competitor(Protocol):
    """A codec under test.

    Attributes:
        key: on the command line.
        name: in rows and tables.
        model: the bundle by name, version and hash; "" for peers.
        lossless: whether it gives back what it was given, and has no choice of size.
    """

    @property
    def key(self) -> str:
        """On the command line."""
        ...

    @property
    def name(self) -> str:
        """In rows and tables."""
        ...

    @property
    def model(self) -> str:
        """The bundle by name, version and hash; "" for peers."""
        ...

    @property
    def lossless(self) -> bool:
        """Whether it gives back what it was given, and has no choice of size."""
        ...

    @property
    def cost(self) -> int:
        """0 for quick ones, 2 for slow ones."""
        ...

    def scans(self, study: Study) -> tuple[str, ...]:
        """Those scans of a study that it is measured on."""
        ...

    def missing(self) -> str | None:
        """Why it cannot be used here; None where it can."""
        ...

    def answer(self, scan: Scan, target: Target | None) -> Answer:
        """Compress to a size and restore; RateError where the size cannot be reached."""
        ...


@dataclass(frozen=True)
class Ours:
    """DeepSTD with one bundle.

    Attributes:
        bundle: name or folder.
        shape: "auto", or "off" for texture alone.
    """

    bundle: str
    shape: Literal["auto", "off"] = "auto"
    key: str = OUR_CODEC
    lossless: bool = False
    cost: int = 1

    @property
    def name(self) -> str:
        """In rows and tables."""
        return OURS if self.shape == "auto" else f"{OURS}, shape off"

    @property
    def model(self) -> str:
        """The bundle by name, version and hash."""
        return _identity(self.bundle)

    def scans(self, study: Study) -> tuple[str, ...]:
        """All of them."""
        return study.scans

    def missing(self) -> str | None:
        """Always there."""
        return None

    def answer(self, scan: Scan, target: Target | None) -> Answer:
        """Compress to a size and restore."""
        codec = _loaded(self.bundle)
        if target is None:
            raise InputError("this study measures DeepSTD at sizes only")
        start = time.perf_counter()
        data = codec.compress(scan.volume, bpv=target.bpv, shape=self.shape)
        encoded = time.perf_counter()
        restored = codec.decompress(data).voxels
        decoded = time.perf_counter()
        shape = any(section.name == "SHAP" for section in parse(data, scan.name).sections)
        return Answer(len(data), restored, encoded - start, decoded - encoded, shape)


@dataclass(frozen=True)
class Peer:
    """A peer by its name in the catalogue."""

    key: str
    model: str = ""

    @property
    def name(self) -> str:
        """In rows and tables."""
        return baselines.title(self.key)

    @property
    def lossless(self) -> bool:
        """Whether it gives back what it was given."""
        return self.key in baselines.LOSSLESS

    @property
    def cost(self) -> int:
        """0 for quick ones, 2 for slow ones."""
        return 2 if self.key in _SLOW else 0

    def scans(self, study: Study) -> tuple[str, ...]:
        """All of them, or those for slow codecs."""
        return study.slow_scans if self.key in _SLOW else study.scans

    def missing(self) -> str | None:
        """Why it is not installed."""
        return baselines.missing(self.key)

    def answer(self, scan: Scan, target: Target | None) -> Answer:
        """Bring the peer to the bytes that DeepSTD may use, and restore."""
        voxels = scan.volume.voxels
        if target is None:
            found = baselines.encode_exactly(baselines.LOSSLESS[self.key], voxels)
        else:
            allowed = target.bytes_for(voxels.size, scan.volume.nbytes)
            known = _known_sizes(self.key, scan.name)
            found = baselines.encode_at(self.key, voxels, allowed, known)
        return Answer(found.nbytes, found.restored, found.encode_s, found.decode_s)


def competitors(study: Study) -> list[Competitor]:
    """Everyone in a study, the slowest last."""
    peers = [Peer(key) for key in (*baselines.LOSSLESS, *baselines.LOSSY)]
    ours = [Ours(study.bundle), *([Ours(study.bundle, "off")] if study.shape_off else [])]
    return sorted([*peers, *ours], key=lambda competitor: competitor.cost)


def size_name(target: Target | None) -> str:
    """A size in rows and tables."""
    return LOSSLESS if target is None else f"{target.bpv:g} bpv"


@functools.cache
def _identity(name: str) -> str:
    found = bundle.load(bundle.find(name))
    digest = found.digest.hex()[:_DIGEST_LETTERS]
    return f"{found.manifest.name} {found.manifest.version} ({digest})"


@functools.cache
def _loaded(name: str) -> Codec:
    return Codec.load(name)


@functools.lru_cache(maxsize=1)
def _known_sizes(key: str, scan: str) -> dict[float, int]:
    """Sizes of one scan's encodings by knob, which the next size can start from."""
    return {}
