"""Writes golden files: ``python -m tests.golden.make [NAME …]``, from the root of a checkout.

    procedural scan ─ Codec.encode ─▶ NAME.dstd ─ decode ─▶ NAME.npz (voxels) · golden.json

A golden file says that whatever it holds still decodes to the same voxels. So one that exists is
left alone: a new format version gets files of its own. ``--replace`` is for those that were wrong
when they were made. Bundles are never made again.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import zipfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from deepstd import bundle
from deepstd.codec.codec import Codec
from deepstd.codec.layered import with_exact_part
from deepstd.codec.slice_decision import Trial, Way
from deepstd.container import parse
from deepstd.errors import BundleNotFoundError
from deepstd.progress import Progress
from deepstd.rate.target import Target
from tests.golden.cases import CASES, Case
from tests.golden.networks import BUNDLES, PARTS, make_bundle
from tests.golden.record import FOLDER, LIST, beginning, facts_of, read_list, unpacked

_EPOCH = (1980, 1, 1, 0, 0, 0)


def main(arguments: list[str] | None = None) -> int:
    """Make what is missing; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.golden.make", description=__doc__)
    parser.add_argument("names", nargs="*", help="golden files; all that are missing if none")
    parser.add_argument("--replace", action="store_true", help="make those again that exist")
    given = parser.parse_args(arguments)
    wanted = [case for case in CASES if case.name in given.names or not given.names]
    unknown = set(given.names) - {case.name for case in wanted}
    present = [case.name for case in wanted if (FOLDER / f"{case.name}.dstd").exists()]
    if unknown:
        sys.exit(f"no such golden file: {', '.join(sorted(unknown))}")
    if present and given.names and not given.replace:
        sys.exit(f"there already: {', '.join(present)}. --replace makes them again")
    for name in PARTS:
        if not (BUNDLES / f"{name}.zip").exists():
            _say(f"training {name}")
            _write_bundle(name)
    with tempfile.TemporaryDirectory() as folder:
        for case in wanted:
            if case.name not in present or given.replace:
                _say(case.name)
                make(case, Path(folder))
    return 0


def make(case: Case, folder: Path, into: Path = FOLDER) -> None:
    """Write one golden file and what it decodes to, and note it in the list."""
    scans = folder / "scans" / case.name
    scans.mkdir(parents=True)
    volume = case.scan(scans)
    codec = Codec(_bundle_of(case, folder))
    with ExitStack() as stack:
        if case.way is not None:
            stack.enter_context(patch("deepstd.codec.encoder.try_slices", _always(Way(*case.way))))
        target = Target(None, case.bpv, case.max_bytes, case.lossless, case.bound, case.goal)
        made = codec.encode(volume, target, shape=case.shape, effort=case.effort)
    if case.layered:
        made = with_exact_part(made, volume, codec.predict, Progress())
    container = parse(made.data, case.name)
    restored = codec.decode(container)
    previews = {}
    for level in case.previews:
        first = beginning(made.data, case.name)
        previews[str(level)] = facts_of(codec.preview(first, level))
    (into / f"{case.name}.dstd").write_bytes(made.data)
    voxels = np.ascontiguousarray(restored.voxels)
    np.savez_compressed(into / f"{case.name}.npz", voxels=voxels)
    entries = read_list(into)
    entries[case.name] = {
        "about": case.about,
        "bundle": codec.bundle.reference.digest.hex(),
        "chunks": sorted({section.name for section in container.sections} - {"preamble"}),
        "bytes": len(made.data),
        "psnr": round(made.quality.psnr, 2) if np.isfinite(made.quality.psnr) else None,
        **facts_of(restored),
        "previews": previews,
    }
    ordered = {name: entries[name] for name in sorted(entries)}
    (into / LIST).write_text(json.dumps(ordered, indent=1, ensure_ascii=False) + "\n")


def _bundle_of(case: Case, folder: Path) -> bundle.Bundle:
    if case.bundle in PARTS:
        return bundle.load(unpacked(case.bundle, folder / "bundles"))
    found = bundle.load(bundle.find(case.bundle))
    if not case.digest or found.reference.digest.hex() != case.digest:
        raise BundleNotFoundError(f"{case.name} is of another {case.bundle} than is here")
    return found


def _always(way: Way) -> Any:
    """In place of a trial of ways to code slices: one that comes to this."""

    def tried(*arguments: Any) -> Trial:
        return Trial(way, arguments[4])

    return tried


def _write_bundle(name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / name
        make_bundle(name, made)
        BUNDLES.mkdir(exist_ok=True)
        with zipfile.ZipFile(BUNDLES / f"{name}.zip", "w") as archive:
            for path in sorted(made.iterdir()):
                entry = zipfile.ZipInfo(path.name, _EPOCH)
                entry.compress_type = zipfile.ZIP_LZMA
                archive.writestr(entry, path.read_bytes())


def _say(message: str) -> None:
    sys.stderr.write(f"{message}\n")


if __name__ == "__main__":
    sys.exit(main())
