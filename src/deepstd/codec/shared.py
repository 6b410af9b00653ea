"""Codecs of bundles, loaded once for all files of a process.

description, model ─ folder known, its files as they were? ─▶ Codec
                            └ no ─ bundle_for ─ Codec ─ kept ─▶ Codec

Loading a bundle checks every file of it against its hash. A kept codec is used while these files
have the same size, time and inode, and lie in a folder that is searched. A forked process begins
with the codecs of its parent.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from pathlib import Path

from deepstd import bundle as bundles
from deepstd.bundle import Bundle
from deepstd.codec.codec import Codec
from deepstd.container import BundleRef, Description
from deepstd.inspection import AUTO, bundle_for, mismatch

MOST = 4
"""Most codecs that a process keeps. Each has some megabytes of networks."""
_Stamps = tuple[tuple[int, ...], ...]
_kept: OrderedDict[tuple[Path, str], tuple[Codec, _Stamps | None]] = OrderedDict()
_lock = threading.Lock()  # threads that begin at the same time load a bundle once


def codec_for(described: Description, model: str, device: str) -> Codec:
    """Return the codec for a file.

    Args:
        described: the parsed file, or its description.
        model: name or folder of a bundle; "auto" for the installed bundle that the file names.
        device: "auto", "cpu", "cuda" or "cuda:N".

    Raises:
        BundleMismatchError: the file was written with another bundle, or its bundle is not
            installed.
        BundleError: the bundle is missing or damaged.
        DeviceError: the device is not available.
    """
    wanted = described.head.bundle
    with _lock:
        if model == AUTO:
            found = _installed(wanted, device)
        else:
            found = _unchanged(bundles.find(model).absolute(), device)
        if found is None:
            return _keep(bundle_for(described, model), device)
    if found.bundle.reference != wanted:
        raise mismatch(described)
    return found


def codec_named(model: str, device: str) -> Codec:
    """Return the codec of a bundle given by name or folder.

    Raises:
        BundleError: the bundle is missing or damaged.
        DeviceError: the device is not available.
    """
    with _lock:
        folder = bundles.find(model)
        found = _unchanged(folder.absolute(), device)
        return _keep(bundles.load(folder), device) if found is None else found


def _installed(wanted: BundleRef, device: str) -> Codec | None:
    """Return a kept codec of an installed bundle, or None."""
    searched = {folder.absolute() for folder in bundles.folders()}
    for folder, placed_on in reversed(list(_kept)):
        if folder.parent in searched and placed_on == device:
            codec, _ = _kept[folder, device]
            if codec.bundle.reference == wanted:
                return _unchanged(folder, device)
    return None


def _unchanged(folder: Path, device: str) -> Codec | None:
    """Return the kept codec of a folder whose files are those that were loaded, or None."""
    codec, stamps = _kept.get((folder, device), (None, None))
    if codec is None or stamps is None or _stamps(folder, codec.bundle) != stamps:
        return None
    _kept.move_to_end((folder, device))
    return codec


def _keep(bundle: Bundle, device: str) -> Codec:
    """Make the codec of a bundle that was just loaded, and keep it."""
    folder = bundle.folder.absolute()
    codec = Codec(bundle, device)
    _kept.pop((folder, device), None)
    _kept[folder, device] = codec, _stamps(folder, bundle)
    while len(_kept) > MOST:
        _kept.popitem(last=False)
    return codec


def _stamps(folder: Path, bundle: Bundle) -> _Stamps | None:
    """Return size, times and inode of each file of a bundle, or None where one is missing."""
    try:
        told = [os.stat(path) for path in bundle.paths(folder)]
    except OSError:
        return None
    return tuple((s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_dev, s.st_ino) for s in told)


def _begin_after_fork() -> None:
    """Give a forked process a free lock: a thread of its parent may have held it."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_after_fork)
