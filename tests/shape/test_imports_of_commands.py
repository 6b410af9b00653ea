"""Commands do not wait for libraries that only the making of templates needs."""

from __future__ import annotations

import subprocess
import sys


def test_a_codec_is_imported_without_scipy() -> None:
    code = "import sys, deepstd.codec; print('scipy.ndimage' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
