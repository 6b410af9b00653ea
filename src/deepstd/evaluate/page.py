"""A report as one self-contained HTML file, without scripts and external resources.

sections (text, tables, plots, pictures as data URLs) ─ page.html ─▶ report.html
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from deepstd.errors import MissingExtraError
from deepstd.evaluate.tables import Table
from deepstd.io import atomic_path


@dataclass(frozen=True)
class Picture:
    """An image of a page.

    Attributes:
        caption: text below the image.
        source: data URL of the image.
        frame: left, top, width and height of a rectangle to draw, in percent; None for none.
    """

    caption: str
    source: str
    frame: tuple[float, float, float, float] | None = None


@dataclass(frozen=True)
class Section:
    """A part of a page.

    Attributes:
        title: heading.
        texts: paragraphs.
        plots: diagrams, side by side where there is room.
        panels: pictures in a grid of ``columns`` columns.
        columns: 2 or 3.
        key: colours and their meanings.
        tables: tables below the pictures.
        folded: heading of tables that are hidden until it is clicked; "" to show them.
        list: items at the end.
    """

    title: str
    texts: tuple[str, ...] = ()
    plots: tuple[Picture, ...] = ()
    panels: tuple[Picture, ...] = ()
    columns: int = 3
    key: tuple[tuple[str, str], ...] = ()
    tables: tuple[Table, ...] = ()
    folded: str = ""
    list: tuple[str, ...] = ()


def write_page(
    path: str | os.PathLike[str], title: str, intro: Sequence[str], sections: Sequence[Section]
) -> None:
    """Write a page, replacing an earlier one.

    Raises:
        MissingExtraError: Jinja is not installed.
        InputError: the file cannot be written.
    """
    try:
        from jinja2 import Environment
    except ImportError as error:
        raise MissingExtraError(
            'a report page needs Jinja: pip install "deepstd[evaluate]"'
        ) from error
    source = resources.files("deepstd.evaluate").joinpath("page.html").read_text(encoding="utf-8")
    template = Environment(autoescape=True, trim_blocks=True).from_string(source)
    text = template.render(title=title, intro=intro, sections=sections)
    with atomic_path(path, overwrite=True) as temporary:
        # Names of files may hold bytes that are no UTF-8.
        temporary.write_text(text, encoding="utf-8", errors="replace")
