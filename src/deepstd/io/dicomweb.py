"""Series of a DICOMweb server.

https://HOST/…/studies/UID/series/UID ─ WADO-RS, object by object ─▶ files in a folder

A user and password in the URL, or a .netrc file, are sent as basic authentication, and a token in
DEEPSTD_DICOMWEB_TOKEN as a bearer token, to https alone. No message shows them.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit, urlunsplit

from deepstd.errors import DeepSTDError, InputError, MissingExtraError
from deepstd.io.locations import shown

if TYPE_CHECKING:
    import requests
    from dicomweb_client import DICOMwebClient

TOKEN = "DEEPSTD_DICOMWEB_TOKEN"
_SERIES = re.compile(
    r"(https?://.+?)/studies/([0-9.]{1,64})/series/([0-9.]{1,64})/?(?:[?#].*)?", re.IGNORECASE
)
_SECONDS = (30.0, 300.0)  # until a connection is made, and between two pieces of an answer
_PIECE = 1 << 20  # bytes
_SPARE_BYTES = 1 << 28  # left free on the disk of temporary files
_AS_STORED = (("application/dicom", "*"),)


def is_series(place: str) -> bool:
    """Return whether a location is the URL of a series on a DICOMweb server."""
    return _SERIES.fullmatch(place) is not None


def fetch_series(place: str, folder: Path, progress: Callable[[str], None]) -> None:
    """Write the objects of a series to a folder, in the transfer syntax that the server has.

    Args:
        place: URL of the series.
        folder: existing empty folder.
        progress: called with a sentence now and then.

    Raises:
        InputError: the server cannot be reached, refuses, has no such series, or sends objects of
            another one.
        MissingExtraError: dicomweb-client is not installed.
    """
    match = _SERIES.fullmatch(place)
    if match is None:
        raise InputError(f"{shown(place)}: is not the URL of a series (…/studies/UID/series/UID)")
    count = 0
    with connected(match[1]) as client, telling(place):
        found = client.iter_series(match[2], match[3], media_types=_AS_STORED)
        for count, dataset in enumerate(found, 1):
            uids = (dataset.get("StudyInstanceUID"), dataset.get("SeriesInstanceUID"))
            if uids != (match[2], match[3]):
                raise InputError(
                    f"{shown(place)}: the server sends an object of another study or series. Check "
                    "the URL, or export the series from the server as files"
                )
            if shutil.disk_usage(folder).free < _SPARE_BYTES:
                raise InputError(f"{shown(place)}: there is no room for it in {folder.parent}")
            dataset.save_as(folder / f"{count:06d}.dcm", enforce_file_format=True)
            progress(f"fetching {shown(place)}: {count} objects")
    if not count:
        raise InputError(f"{shown(place)}: the server has no objects of this series")


def check_server(url: str) -> None:
    """Raise the errors of `connected` without a connection."""
    with connected(url):
        return


@contextmanager
def connected(url: str) -> Iterator[DICOMwebClient]:
    """Yield a client of the server with a base URL; no request is made by that.

    Raises:
        InputError: the URL is not well-formed.
        MissingExtraError: dicomweb-client is not installed.
    """
    try:
        import requests
        from dicomweb_client import DICOMwebClient
    except ImportError as error:
        raise MissingExtraError(
            'DICOMweb needs dicomweb-client: pip install "deepstd[network]"'
        ) from error
    answers: list[requests.Response] = []

    def note(answer: requests.Response, *_: Any, **__: Any) -> None:
        while answers:  # the client leaves answers with errors open
            answers.pop().close()
        answers.append(answer)

    with requests.Session() as session:
        session.hooks["response"].append(note)
        try:
            plain = _authorised(session, url)
            client = DICOMwebClient(plain, session=session, chunk_size=_PIECE, timeout=_SECONDS)
        except ValueError as error:
            raise InputError(f"{shown(url)}: is not a well-formed URL") from error
        try:
            yield client
        finally:
            for answer in answers:
                answer.close()


def _authorised(session: requests.Session, url: str) -> str:
    """Give a session what proves who asks, and return the URL without it."""
    parts, token = urlsplit(url), os.environ.get(TOKEN)
    host = parts.hostname or ""
    if not host:
        raise ValueError("no host")
    if parts.username is not None:
        session.auth = (unquote(parts.username), unquote(parts.password or ""))
    elif token and parts.scheme.lower() == "https":
        session.headers["Authorization"] = f"Bearer {token}"
    place = f"[{host}]" if ":" in host else host
    place += "" if parts.port is None else f":{parts.port}"
    return urlunsplit((parts.scheme.lower(), place, parts.path.rstrip("/"), "", ""))


@contextmanager
def telling(place: str) -> Iterator[None]:
    """Convert errors of the client to errors that name the server and no secret."""
    try:
        yield
    except (DeepSTDError, MemoryError, KeyboardInterrupt):
        raise
    except Exception as error:
        raise InputError(f"{shown(place)}: {reason_of(error)}") from None


def reason_of(error: Exception) -> str:
    """Return why a request failed, without the text of the error, which may hold a URL."""
    import requests

    response: Any = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    if status in (401, 403):
        return (
            f"the server refuses ({status}). Give user and password in the URL or in .netrc, or a "
            f"token in {TOKEN}"
        )
    if status == 404:
        return "the server has no such study or series (404). Check the URL"
    if status is not None:
        return f"the server answers {status}"
    if isinstance(error, requests.exceptions.SSLError):
        return "the server's certificate is not trusted. REQUESTS_CA_BUNDLE names another authority"
    if isinstance(error, requests.exceptions.Timeout):
        return "the server does not answer. Try again later"
    if isinstance(error, requests.exceptions.ConnectionError):
        return "the server cannot be reached, or broke the connection off. Check the address"
    if isinstance(error, requests.exceptions.RequestException):
        return "the connection ended before the answer did. Try again"
    if isinstance(error, OSError):
        return f"cannot be stored here ({error.strerror or type(error).__name__})"
    return f"the server's answer cannot be understood ({type(error).__name__})"
