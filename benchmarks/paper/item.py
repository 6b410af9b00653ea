"""One figure, table or number of the paper, and what stands beside it here.

Item ─ lines ─▶ its section of docs/paper.md
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

SAME = "reproduced"
OTHER = "reproduced on other data"
DIFFERENT = "another outcome on other data"
SIMULATED = "simulated"
NOT = "not reproduced"
STATUSES = (SAME, OTHER, DIFFERENT, SIMULATED, NOT)


@dataclass(frozen=True)
class Compared:
    """A figure of the paper beside one of this project.

    Attributes:
        what: name of the figure.
        paper: figure of the paper; "–" where its main text has none.
        ours: reads the figure of this project from the results.
    """

    what: str
    paper: str
    ours: Callable[[], str]


@dataclass(frozen=True)
class Item:
    """An item of the paper.

    Attributes:
        name: "Fig. 2b", or a few words for a number in the text.
        title: subject of the item.
        shows: what the paper shows.
        status: one of STATUSES.
        why: data used here, or why it is not reproduced.
        compared: figures side by side.
        commands: command lines that measure the figures of this project, or would do so.
    """

    name: str
    title: str
    shows: str
    status: str
    why: str
    compared: tuple[Compared, ...] = ()
    commands: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """Return the lines of its section, in Markdown."""
        lines = [f"### {self.name}: {self.title}", "", self.shows, ""]
        lines += [f"**{self.status[0].upper()}{self.status[1:]}.** {self.why}", ""]
        if self.compared:
            lines += ["| figure | the paper | here |", "| --- | --- | --- |"]
            lines += [f"| {one.what} | {one.paper} | {one.ours()} |" for one in self.compared]
            lines.append("")
        if self.commands:
            lead = "Would be measured by " if self.status == NOT else "Measured by "
            lines += [lead + ", ".join(f"`{line}`" for line in self.commands) + ".", ""]
        return lines
