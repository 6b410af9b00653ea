"""Numbers of threads, for the time of a block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from deepstd.threads import limit_to, thread_count


@contextmanager
def limited_to(count: int) -> Iterator[None]:
    """Let computations of this thread use so many threads."""
    before = thread_count()
    limit_to(count)
    try:
        yield
    finally:
        limit_to(before)
