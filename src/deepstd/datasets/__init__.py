"""Public data sets by name: their folder structures, and the paper's protocol.

name, folder ─ find ─▶ Selection: training and test scans, remarks on what is missing
Item ─ read ─▶ Volume, resampled where the protocol says so
name ─ PAPER ─▶ the paper's figures
"""

from deepstd.datasets.layouts import LAYOUTS, find, layout_named, read
from deepstd.datasets.paper import PAPER, Figure, PaperFigures
from deepstd.datasets.selection import TEST, TRAIN, Item, Selection

__all__ = [
    "LAYOUTS",
    "PAPER",
    "TEST",
    "TRAIN",
    "Figure",
    "Item",
    "PaperFigures",
    "Selection",
    "find",
    "layout_named",
    "read",
]
