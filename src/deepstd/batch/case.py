"""The settings of a batch, and one scan of it.

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
from deepstd.batch.dataset.names import original_of
from deepstd.batch.ledger import Row
from deepstd.batch.misses import OnMiss
from deepstd.io import KeptMetadata, Metadata
from deepstd.io.dicom import Item
from deepstd.rate.effort import NORMAL
from deepstd.rate.target import Target
from deepstd.volume import Volume

_DIGEST_DIGITS = 32
_STATE_DIGITS = 16
# Characters. A shorter name identifies nobody, and occurs inside other words.
_LEAST_LETTERS = 3


@dataclass(frozen=True)
class Request:
    """Settings that apply to every scan.

    Attributes:
        target: size of an output, or lossless outputs.
        model: bundle as the ledger names it: "auto", or name, version and hash.
        effort: "fast", "normal" or "best".
        metadata: which information beside voxels and geometry is stored.
        on_miss: what is done with a file that misses the quality; None to fail.
        with_residual: whether outputs get an exact part.
        protect: whether regions that the bundle explains badly get the fidelity of the rest.
    """

    target: Target
    model: str
    effort: str = NORMAL
    metadata: KeptMetadata = Metadata.DEIDENTIFIED
    on_miss: OnMiss | None = None
    with_residual: bool = False
    protect: bool = False

    @property
    def described(self) -> dict[str, Any]:
        """JSON values of the settings; equal for equal settings."""
        target = self.target
        size = {
            "ratio": target.ratio,
            "bpv": target.bpv,
            "max_bytes": target.max_bytes,
            "lossless": True if target.lossless else None,
            "max_error": None if target.bound is None else str(target.bound),
            **({} if target.goal is None else {target.goal.option: target.goal.value}),
            "on_miss": None if self.on_miss is None else str(self.on_miss),
            "with_residual": True if self.with_residual else None,
            "protect": True if self.protect else None,
        }
        return {
            **{k: v for k, v in size.items() if v is not None},
            "model": self.model,
            "effort": self.effort,
            "metadata": str(self.metadata),
        }

    @staticmethod
    def told(row: Row) -> dict[str, Any] | None:
        """Return the request in a line of the ledger, or None where the line has none.

        Settings that an earlier release did not have get the value that it used.
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
        scan: files of the scan.
        root: folder that was searched.
        state: hash of the sizes and times of its files.
        attempts: attempts in earlier runs.
        replaces: an existing output may be replaced.
        output: name of the output; empty for the name of the scan.
        is_anonymous: no message or report may contain names of its files and folders.
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
        """Text that identifies the scan: path of its only file below the root, or its name."""
        places = self.scan.places
        if self.is_anonymous or len(places) != 1:
            return self.name
        return places[0].relative_to(self.root).as_posix()

    def read(self, metadata: KeptMetadata) -> Volume:
        """Read the scan.

        Args:
            metadata: information beside voxels and geometry that is kept.

        Raises:
            DeepSTDError: a file cannot be read, is damaged or holds no scan.
        """
        return io.read_scan(self.scan, metadata)

    def facts(self) -> Row:
        """Return the fields of the ledger that are known before the compression."""
        return {
            "name": self.name,
            "source": self.source,
            "original": original_of(self.scan, self.name),
            "files": len(self.scan.files),
            "source_bytes": self.scan.nbytes,
            "source_state": self.state,
        }

    def without_root(self, text: str) -> str:
        """Remove the file's name and the folder's path from a message."""
        items = self.scan.items
        for item in items:
            text = text.removeprefix(f"{item.label}: ").removeprefix(f"{item.path}: ")
        if not self.is_anonymous:
            return text.replace(str(self.root) + os.sep, "")
        parts = [part for item in items for part in _names_of(item, self.root)]
        for part in sorted({*parts, self.scan.name}, key=len, reverse=True):
            if len(part) >= _LEAST_LETTERS:
                text = text.replace(part, self.name)
        # Any other path below the folder, up to a character that may end a path in a message.
        return re.sub(re.escape(str(self.root)) + r"[^,;:()'\"]*", self.name, text)


def state_of(scan: io.ScanSource) -> str:
    """Return a hash of the names, sizes and modification times of a scan's files."""
    facts: list[object] = [*scan.members]
    for path in dict.fromkeys(scan.files):
        try:
            about = path.stat()
        except OSError:
            continue
        facts.append((path.name, about.st_size, about.st_mtime_ns))
    # Hashed, as a time may be the date of an examination.
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:_STATE_DIGITS]


def fingerprint(volume: Volume) -> str:
    """Hash the content of a scan: voxels, shape, type, affine and header."""
    voxels, source = volume.voxels, volume.source
    affine = None if volume.affine is None else volume.affine.tolist()
    facts = (voxels.shape, voxels.dtype.str, affine, source.format)
    digest = hashlib.sha256(repr(facts).encode())
    digest.update(hashlib.sha256(source.raw).digest())
    for plane in np.moveaxis(voxels, -1, 0):
        digest.update(np.ascontiguousarray(plane).data)
    return digest.hexdigest()[:_DIGEST_DIGITS]


def voxel_digest(voxels: np.ndarray) -> str:
    """Return the SHA-256 of stored voxels: little-endian, the first axis fastest, as in NIfTI.

    Args:
        voxels: stored values of any shape and type.
    """
    digest = hashlib.sha256()
    plain = voxels.astype(voxels.dtype.newbyteorder("<"), copy=False)
    for plane in np.moveaxis(plain, -1, 0):
        digest.update(plane.tobytes("F"))
    return digest.hexdigest()


def _names_of(item: Item, root: Path) -> list[str]:
    """Return the forms in which a message may name a file."""
    below = item.path.relative_to(root).as_posix()
    names = [item.label, str(item.path), below, item.path.name]
    if item.member is not None:
        names += [item.member, item.member.rpartition("/")[2]]
    return names
