"""Files of the page, as they lie in the package.

page/*.js ─ joined ─▶ one script, for the browser and for notebooks
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

# In this order one module: a notebook takes a single one, and the page shares it.
_SCRIPTS = ("source.js", "paint.js", "histogram.js", "pane.js", "controls.js", "viewer.js")


@cache
def page_file(name: str) -> str:
    """Return the text of a file of the page."""
    return files("deepstd.viewer").joinpath("page", name).read_text(encoding="utf-8")


@cache
def script() -> str:
    """Return the module that draws the viewer."""
    return "\n".join(page_file(name) for name in _SCRIPTS)
