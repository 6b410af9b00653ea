"""Sending: the series of a .dstd file goes back to a node, object by object.

.dstd ─ restored as a DICOM series ─▶ temporary folder ─┬ AET@HOST:PORT ─ C-STORE ─▶ Sent
                                                        └ https://…     ─ STOW-RS ─▶ Sent

Restored objects are in explicit VR little endian; a node that takes implicit VR alone gets that.
What a node refuses is a failure of that object; the others are sent all the same.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from ssl import SSLContext
from typing import TYPE_CHECKING, Any, Protocol

from deepstd import api, io
from deepstd.errors import DeepSTDError, InputError
from deepstd.inspection import AUTO, read_container
from deepstd.io.dicom import NAME
from deepstd.network.peers import Peer, Server, target_of
from deepstd.network.scu import Association
from deepstd.network.stow import stowing
from deepstd.network.tls import asking

if TYPE_CHECKING:
    from deepstd.sources import PathLike

Tell = Callable[[str], None]


@dataclass
class Sent:
    """Outcome of one file.

    Attributes:
        file: name of the file.
        sent: number of objects that the node has taken.
        failures: reason for each object that it has not, by SOP Instance UID; by "" where
            the whole file failed.
    """

    file: str
    sent: int = 0
    failures: dict[str, str] = field(default_factory=dict)


class Sender(Protocol):
    """Open way to a node."""

    def send(self, path: Path) -> str | None:
        """Send a DICOM file; return the reason where it was not taken, else None."""
        ...


def send(
    sources: Sequence[PathLike],
    target: str,
    *,
    calling: str,
    model: str = AUTO,
    device: str = "auto",
    lossy: bool = False,
    authority: Path | None = None,
    tell: Tell = lambda text: None,
) -> list[Sent]:
    """Restore .dstd files and send their series to a node.

    Args:
        sources: paths or URLs of .dstd files made from DICOM.
        target: "HOST:PORT", "AET@HOST:PORT", or the base URL of a DICOMweb server.
        calling: application entity title of this side.
        model: name or folder of the model bundle; "auto" finds the bundle that a file names.
        device: "auto", "cpu", "cuda" or "cuda:N".
        lossy: whether the exact part of a file is left out.
        authority: PEM file of the certificate that a DICOM node is trusted by, which turns on TLS.
        tell: called with a sentence now and then.

    Returns:
        The outcome of each file. A file that cannot be restored does not stop the others.

    Raises:
        InputError: the target or the certificate is not understood, or no connection can be made.
        MissingExtraError: a package for the target is not installed.
    """
    where = target_of(target)
    where.check()
    if authority is not None and isinstance(where, Server):
        raise InputError(
            f"{authority}: goes with a DICOM node. For https, REQUESTS_CA_BUNDLE names an authority"
        )
    context = None if authority is None else asking(authority)
    outcomes = []
    for source in sources:
        name = io.shown(io.location(source))
        outcome = Sent(name)
        outcomes.append(outcome)
        with tempfile.TemporaryDirectory(prefix="deepstd-") as folder:
            series = Path(folder) / "series"
            tell(f"restoring {name}")
            try:
                _check_dicom(source, name)
                api.decompress(source, f"{series}/", model=model, device=device, lossy=lossy)
            except (DeepSTDError, OSError) as error:
                outcome.failures[""] = str(error)
                continue
            paths = sorted(series.iterdir())
            with _connected(where, calling, paths, context) as sender:
                for number, path in enumerate(paths, 1):
                    tell(f"{name}: {number} of {len(paths)} objects")
                    reason = sender.send(path)
                    if reason is None:
                        outcome.sent += 1
                    else:
                        outcome.failures[_instance_of(path)] = reason
    return outcomes


def _check_dicom(source: PathLike, name: str) -> None:
    """Raise an InputError where a file did not come from DICOM, or cannot be read twice."""
    if io.location(source) == io.STREAM:
        raise InputError("standard input: give a file")
    if read_container(source, lossy_suffices=True).head.source_format != NAME:
        raise InputError(
            f"{name}: did not come from DICOM, so there is no series to send. Restore it as NIfTI "
            "with `deepstd decompress`"
        )


@contextmanager
def _connected(
    where: Peer | Server, calling: str, paths: Sequence[Path], context: SSLContext | None
) -> Iterator[Sender]:
    if isinstance(where, Server):
        with stowing(where) as server:
            yield server
        return
    with Association(where, calling, paths, context) as association:
        yield association


def _instance_of(path: Path) -> str:
    from pydicom import dcmread

    dataset: Any = dcmread(path, specific_tags=["SOPInstanceUID"], stop_before_pixels=True)
    return str(dataset.SOPInstanceUID)
