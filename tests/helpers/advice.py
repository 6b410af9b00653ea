"""The commands that messages advise, run as a user would."""

from __future__ import annotations

import re
from contextlib import chdir
from pathlib import Path

_PYTHON = re.compile(r'python -c "(.*?)"')


def run_advice(message: str, folder: Path) -> None:
    """Run the Python command in a message; what it writes lies in the folder."""
    found = _PYTHON.search(message)
    assert found is not None, message
    with chdir(folder):
        exec(found[1], {})
