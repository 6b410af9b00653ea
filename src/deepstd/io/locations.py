"""Locations to read from and write to: paths, URLs, and "-" for the standard streams.

argument ─ location ─▶ path, URL or "-" ─ shown ─▶ text for messages

No message shows the credentials in a URL (user, password, query).
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from deepstd.errors import InputError

STREAM = "-"  # standard input or output
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_CHAIN = re.compile(r"::[A-Za-z][A-Za-z0-9+.-]*://|::[A-Za-z][A-Za-z0-9+.-]*$|^[A-Za-z0-9+.-]+::")


def location(path: str | os.PathLike[str]) -> str:
    """Return the location that an argument names; a file:// URL becomes a path.

    Raises:
        InputError: the argument holds a NUL character, or is a chain of URLs.
    """
    text = os.fsdecode(os.fspath(path))
    if "\0" in text:
        raise InputError("a path holds a NUL character. Correct it")
    if "://" in text and _CHAIN.search(text):
        raise InputError("a chain of URLs (with ::) is not supported. Give one URL")
    if text.lower().startswith("file://"):
        from urllib.request import url2pathname  # loads an HTTP client

        return url2pathname(urlsplit(text).path)
    return text


def is_url(place: str) -> bool:
    """Return whether a location is a URL."""
    return _URL.match(place) is not None


def shown(place: str) -> str:
    """Return a location for messages: a URL loses user, password, query and fragment."""
    if not is_url(place):
        return place
    scheme, _, rest = place.partition("://")
    rest = re.split(r"[?#]", rest, maxsplit=1)[0]
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


def basename(place: str) -> str:
    """Return the last part of a path or URL, fit as the name of a local file."""
    if not is_url(place):
        return Path(place).name
    name = unquote(shown(place).rpartition("/")[2])
    return re.sub(r"[^\w.() -]", "_", name)[-100:].lstrip(".") or "scan"


def is_same(one: str, other: str) -> bool:
    """Return whether two locations are the same; standard streams never are."""
    if STREAM in (one, other):
        return False
    if is_url(one) or is_url(other):
        return one == other
    return os.path.realpath(one) == os.path.realpath(other)
