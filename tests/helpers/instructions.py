"""Instruction sets of the native engine, one after the other in one process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from deepstd.engine import library


@contextmanager
def limited(limit: str) -> Iterator[None]:
    """Limit the engine to the instructions of a name in `library.LIMITS`."""
    try:
        with patch.dict(os.environ, {library.LIMIT: limit}):
            library.engine.cache_clear()
            library.engine()
            yield
    finally:
        library.engine.cache_clear()
        library.engine()
