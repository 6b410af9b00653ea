"""``info`` of a folder: a line for each scan, then problems and notes.

entries of `deepstd.listing` ─▶ table · problems and notes · number of other files
"""

from __future__ import annotations

from typing import Any

from deepstd.cli import console

_HEAD = (
    "path",
    "kind",
    "series",
    "size",
    "voxel (mm)",
    "stored as",
    "date",
    "bytes",
    "description",
)
_MOST_LETTERS = 48  # characters of a description
_NONE = "-"


def in_words(found: dict[str, Any]) -> str:
    """Format the contents of a folder, the result of `deepstd.listing.listing`."""
    entries = [*found["series"], *found["scans"], *found["compressed"]]
    entries.sort(key=lambda entry: entry["path"])
    parts = [console.table(_HEAD, [_row(entry) for entry in entries])] if entries else ["no scans"]
    for entry in entries:
        name = f"{entry['path']} ({entry['id']})" if "id" in entry else entry["path"]
        texts = [text for text in (entry["problem"], *entry["notes"]) if text]
        parts += [console.reason(name, text) for text in texts]
    parts += [console.reason(label, why) for label, why in found["refused"].items()]
    if found["others"]:
        parts.append(f"{found['others']} other files")
    return "\n".join(parts)


def _row(entry: dict[str, Any]) -> tuple[str, ...]:
    spacing = entry["spacing_mm"]
    size = _NONE if entry["shape"] is None else _joined(entry["shape"], "g")
    stored = entry["dtype"] or _NONE
    if "bits" in entry:
        stored += f", {entry['bits']} bits"
    if entry.get("ratio") is not None:
        stored += f", {entry['ratio']:.1f}:1"
    description = entry["description"] or _NONE
    return (
        entry["path"],
        entry["kind"],
        entry.get("id", _NONE),
        "cannot be read" if entry["problem"] else size,
        _NONE if spacing is None else _joined(spacing, ".4g"),
        stored,
        entry["date"] or _NONE,
        f"{entry['bytes']:,}",
        description
        if len(description) <= _MOST_LETTERS
        else f"{description[: _MOST_LETTERS - 1]}…",
    )


def _joined(values: list[float], form: str) -> str:
    return " x ".join(format(value, form) for value in values)
