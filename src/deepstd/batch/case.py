"""The request to a batch, and one scan that it is made of.

ScanSource, name of its output ─▶ Case ─ read ─▶ Volume ─ fingerprint ─▶ a hash in the ledger
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deepstd import io
from deepstd.batch.ledger import Row
from deepstd.io import Metadata
from deepstd.io.dicom import Item
from deepstd.rate.effort import NORMAL
from deepstd.rate.target import Target
from deepstd.volume import Volume

_DIGEST_DIGITS = 32
_STATE_DIGITS = 16
# A shorter name says nothing of anybody, and is part of other words.
_LEAST_LETTERS = 3


@dataclass(frozen=True)
class Request:
    """Settings that hold for every scan.

    Attributes:
        target: the size.
        model: bundle as the ledger names it: "auto", or name, version and hash.
        effort: "fast", "normal" or "best".
        metadata: which information beside voxels and geometry is stored.
    """

    target: Target
    model: str
    effort: str = NORMAL
    metadata: Metadata = Metadata.DEIDENTIFIED

    @property
    def described(self) -> dict[str, Any]:
        """Plain values, equal where the same is asked."""
        target = self.target
        size = {"ratio": target.ratio, "bpv": target.bpv, "max_bytes": target.max_bytes}
        return {
            **{k: v for k, v in size.items() if v is not None},
            "model": self.model,
            "effort": self.effort,
            "metadata": str(self.metadata),
        }

    @staticmethod
    def told(row: Row) -> dict[str, Any] | None:
        """Return the request that a ledger's line states, None where it states none.

        Lines of earlier releases leave out what could not be chosen then.
        """
        asked = row.get("request")
        if not isinstance(asked, dict):
            return None
        first = {"effort": NORMAL, "metadata": str(Metadata.DEIDENTIFIED)}
        return {**asked, **{key: first[key] for key in first if key not in asked}}


@dataclass(frozen=True)
class Case:
    """One scan to compress.

    Attributes:
        scan: its files.
        root: folder that was searched.
        state: hash that changes with the sizes and times of its files.
        attempts: how often it was tried before.
        replaces: whether its output may be replaced.
        output: name of its output, or empty where that is the scan's.
        is_anonymous: whether nothing may tell the names of its files and folders.
    """

    scan: io.ScanSource
    root: Path
    state: str
    attempts: int = 0
    replaces: bool = False
    output: str = ""
    is_anonymous: bool = False

    @property
    def name(self) -> str:
        """Name of the output, without its suffix."""
        return self.output or self.scan.name

    @property
    def source(self) -> str:
        """The scan in words: its only file below the folder that was searched, or a name."""
        places = self.scan.places
        if self.is_anonymous or len(places) != 1:
            return self.name
        return places[0].relative_to(self.root).as_posix()

    def read(self, metadata: Metadata) -> Volume:
        """Read the scan with so much of its metadata; raises as `deepstd.io.read`."""
        return io.read_scan(self.scan, metadata)

    def facts(self) -> Row:
        """Return the part of a ledger's line that is known before the work."""
        return {
            "name": self.name,
            "source": self.source,
            "files": len(self.scan.files),
            "source_bytes": self.scan.nbytes,
            "source_state": self.state,
        }

    def without_root(self, text: str) -> str:
        """Take the name of the file, and where the folder lies, out of a message."""
        items = self.scan.items
        for item in items:
            text = text.removeprefix(f"{item.label}: ").removeprefix(f"{item.path}: ")
        if not self.is_anonymous:
            return text.replace(str(self.root) + os.sep, "")
        parts = [part for item in items for part in _names_of(item, self.root)]
        for part in sorted({*parts, self.scan.name}, key=len, reverse=True):
            if len(part) >= _LEAST_LETTERS:
                text = text.replace(part, self.name)
        # Whatever else of the folder is named, up to what may end a path in a message.
        return re.sub(re.escape(str(self.root)) + r"[^,;:()'\"]*", self.name, text)


def state_of(scan: io.ScanSource) -> str:
    """Return a text that changes with the sizes and times of a scan's files."""
    facts: list[object] = [*scan.members]
    for path in dict.fromkeys(scan.files):
        try:
            about = path.stat()
        except OSError:
            continue
        facts.append((path.name, about.st_size, about.st_mtime_ns))
    # A time may be a patient's date.
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:_STATE_DIGITS]


def fingerprint(volume: Volume) -> str:
    """Hash all that is compressed of a scan: voxels, shape, type, affine and header."""
    voxels, source = volume.voxels, volume.source
    affine = None if volume.affine is None else volume.affine.tolist()
    told = (voxels.shape, voxels.dtype.str, affine, source.format)
    digest = hashlib.sha256(repr(told).encode())
    digest.update(hashlib.sha256(source.raw).digest())
    for plane in np.moveaxis(voxels, -1, 0):
        digest.update(np.ascontiguousarray(plane).data)
    return digest.hexdigest()[:_DIGEST_DIGITS]


def _names_of(item: Item, root: Path) -> list[str]:
    """Return the texts by which a message may name a file."""
    below = item.path.relative_to(root).as_posix()
    names = [item.label, str(item.path), below, item.path.name]
    if item.member is not None:
        names += [item.member, item.member.rpartition("/")[2]]
    return names
