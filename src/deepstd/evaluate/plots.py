"""Plots of a report, each an SVG image in a data URL.

series of (x, y) points · bars · boxes ─ matplotlib ─▶ "data:image/svg+xml;base64,…"

The palette of Okabe and Ito, with markers and line styles, suits colour-blind readers. DeepSTD is
drawn thick and last. Letters are drawn as paths, so a page needs no fonts.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from deepstd.errors import MissingExtraError
from deepstd.evaluate.rows import OURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = ("#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#7F7F7F", "#B8A800")
_MARKERS = "osD^vPX*<>dph"
_LINES = ("-", "--", ":", "-.")
OUR_COLOUR = "#0072B2"
_INK = "#222222"
_BOX_WIDTH = 0.5
_STYLE: Any = {
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e3e3e3",
    "axes.axisbelow": True,
    "axes.edgecolor": "#888888",
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "svg.hashsalt": "deepstd",
    "figure.facecolor": "white",
}
Points = Sequence[tuple[float, float]]


def curves(
    series: Mapping[str, Points], x: str, y: str, ticks: Mapping[float, str] | None = None
) -> str:
    """Plot lines through points, over a logarithmic x axis.

    Args:
        series: points (x, y) by the name of a codec.
        x: label of the x axis.
        y: label of the y axis.
        ticks: labels of the x axis by value; None for the usual ones.
    """
    with _figure(8.2, 4.6) as (figure, axes):
        for name, points in _ours_last(series):
            axes.plot(
                *zip(*sorted(points), strict=True), label=name, **style_of(name, list(series))
            )
        axes.set_xscale("log", base=2)
        if ticks:
            axes.set_xticks(list(ticks), list(ticks.values()))
            axes.minorticks_off()
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        handles, names = axes.get_legend_handles_labels()
        order = sorted(range(len(names)), key=lambda n: list(series).index(names[n]))
        axes.legend(
            [handles[n] for n in order],
            [names[n] for n in order],
            loc="center left",
            bbox_to_anchor=(1.01, 0.5),
            frameon=False,
        )
        return _data_url(figure)


def bars(values: Mapping[str, Sequence[float]], groups: Sequence[str], x: str) -> str:
    """Plot horizontal bars side by side, over a logarithmic axis.

    Args:
        values: one positive number per group, by name.
        groups: names of the groups.
        x: label of the axis.
    """
    with _figure(8.2, 0.9 + 0.42 * len(values)) as (figure, axes):
        names = list(values)[::-1]
        height = 0.8 / len(groups)
        for number, group in enumerate(groups):
            positions = [n + 0.4 - height * (number + 0.5) for n in range(len(names))]
            lengths = [values[name][number] for name in names]
            colours = [OUR_COLOUR if name.startswith(OURS) else "#999999" for name in names]
            axes.barh(
                positions, lengths, height, color=colours, alpha=1 - 0.45 * number, label=group
            )
            for position, length in zip(positions, lengths, strict=True):
                axes.annotate(
                    f" {length:.3g}", (length, position), va="center", fontsize=9, color=_INK
                )
        axes.set_xscale("log")
        axes.margins(x=0.15)
        axes.set_yticks(range(len(names)), names)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(f"{x}; upper bar {groups[0]}, lower bar {groups[-1]}")
        return _data_url(figure)


def boxes(
    values: Mapping[str, Sequence[float]], y: str, x: str = "", line: float | None = None
) -> str:
    """Plot a box for each name: median, quartiles, whiskers to 1.5 of their distance, all points.

    Args:
        values: numbers by name.
        y: label of the y axis.
        x: label of the x axis.
        line: position of a horizontal line; None for none.
    """
    with _figure(max(4.4, 1.5 + 0.95 * len(values)), 3.6) as (figure, axes):
        names = list(values)
        axes.boxplot(
            [list(values[name]) for name in names],
            widths=_BOX_WIDTH,
            showfliers=False,
            medianprops={"color": OUR_COLOUR, "linewidth": 2.5},
            boxprops={"color": _INK},
        )
        for position, name in enumerate(names, 1):
            points = list(values[name])
            spread = [position + 0.16 * ((7 * n) % 11 - 5) / 5 for n in range(len(points))]
            axes.plot(spread, points, "o", color=OUR_COLOUR, alpha=0.45, markersize=4)
        if line is not None:
            axes.axhline(line, color="#D55E00", linewidth=1.2)
        axes.set_xticks(range(1, len(names) + 1), names)
        axes.grid(visible=False, axis="x")
        axes.ticklabel_format(axis="y", useOffset=False)
        axes.set_ylabel(y)
        axes.set_xlabel(x)
        return _data_url(figure)


def stacks(values: Mapping[str, Mapping[str, float]], x: str) -> str:
    """Plot horizontal bars of stacked parts.

    Args:
        values: lengths by part, by name of the bar.
        x: label of the axis.
    """
    with _figure(8.2, 1.4 + 0.5 * len(values)) as (figure, axes):
        names, parts = list(values)[::-1], list(next(iter(values.values())))
        begun = [0.0] * len(names)
        for number, part in enumerate(parts):
            lengths = [values[name].get(part, 0.0) for name in names]
            colour = (OUR_COLOUR, "#56B4E9", "#E69F00")[number % 3]
            axes.barh(range(len(names)), lengths, 0.6, left=begun, color=colour, label=part)
            begun = [b + length for b, length in zip(begun, lengths, strict=True)]
        axes.set_yticks(range(len(names)), names)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(x)
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False)
        return _data_url(figure)


def profile(lines: Mapping[str, Sequence[float]], start: int, x: str, y: str) -> str:
    """Plot values along a line of the scan, the original in black.

    Args:
        lines: values by name, the original first.
        start: index of the first voxel.
        x: label of the x axis.
        y: label of the y axis.
    """
    with _figure(8.2, 3.6) as (figure, axes):
        names = list(lines)
        for name in names:
            look = {**style_of(name, names), "marker": None, "linewidth": 1.6}
            if name == names[0]:
                look = {"color": "black", "linewidth": 2.4}
            axes.plot(range(start, start + len(lines[name])), lines[name], label=name, **look)
        axes.locator_params(axis="x", integer=True)
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False)
        return _data_url(figure)


def style_of(name: str, names: Sequence[str]) -> dict[str, Any]:
    """Return the line style of a codec, the same in all plots with the same names."""
    if name.startswith(OURS):
        return {
            "color": OUR_COLOUR,
            "linewidth": 3.0,
            "marker": "o",
            "markersize": 7,
            "zorder": 5,
        }
    number = [n for n in names if not n.startswith(OURS)].index(name)
    return {
        "color": _COLOURS[number % len(_COLOURS)],
        "linestyle": _LINES[number // len(_COLOURS) % len(_LINES)],
        "marker": _MARKERS[number % len(_MARKERS)],
        "linewidth": 1.4,
        "markersize": 5,
    }


def _ours_last(series: Mapping[str, Points]) -> list[tuple[str, Points]]:
    return sorted(series.items(), key=lambda item: item[0].startswith(OURS))


@contextmanager
def _figure(width: float, height: float) -> Iterator[tuple[Figure, Axes]]:
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError(
            'a report page needs matplotlib: pip install "deepstd[evaluate]"'
        ) from error
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure, figure.subplots()


def _data_url(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(
        buffer, format="svg", metadata={"Date": None, "Creator": None}, bbox_inches="tight"
    )
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
