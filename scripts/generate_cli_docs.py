"""Write docs/cli.md from the command line's own help; a test compares the two.

deepstd.cli.app ─▶ Markdown

    python scripts/generate_cli_docs.py
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import typer.main

from deepstd.cli.app import app

TARGET = Path(__file__).resolve().parents[1] / "docs" / "cli.md"
_HEAD = """# Command line

Written by `scripts/generate_cli_docs.py` from the program's own help; do not edit.

Results go to stdout, everything else to stderr; where the compressed scan itself goes to stdout
(`-o -`), its report goes to stderr. A URL may stand for a file (`pip install "deepstd[remote]"`).
Existing files are replaced only with `--overwrite`, and an interrupted command leaves no
half-written output. With `--json` the result is JSON, in which a figure that is infinite or does
not exist is `null`.

| exit code | meaning |
| --- | --- |
| 0 | done |
| 1 | failed; the message on stderr says what to do |
| 2 | wrong usage |
| 3 | some of many scans failed; the same command tries them again |
| 4 | the file is damaged, or needs another bundle or a newer release |
| 130 | interrupted |

| variable | meaning |
| --- | --- |
| `DEEPSTD_HOME` | where your own `bundles` folder lies, instead of the user's data folder |
| `DEEPSTD_DEBUG` | `1` shows where an error came from |
| `DEEPSTD_NO_ENGINE` | `1` computes in Python what the native engine computes, slower |
| `DEEPSTD_INSTRUCTIONS` | best instructions the engine may use: `plain`, `avx2` or `avx512` |
| `OMP_WAIT_POLICY` | `PASSIVE` where you set none: waiting threads soon sleep; or `ACTIVE` |
| `DEEPSTD_VVENC`, `DEEPSTD_VVDEC` | the programs of VVC, where they are not in PATH |
"""


def document() -> str:
    """Return the whole page."""
    root: Any = typer.main.get_command(app)
    parts = [_HEAD]
    for name, command in _commands(root, "deepstd"):
        parts.append(_section(name, command))
    return "\n".join(parts)


def _commands(group: Any, prefix: str) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, command in group.commands.items():
        full = f"{prefix} {name}"
        found += _commands(command, full) if hasattr(command, "commands") else [(full, command)]
    return found


def _section(name: str, command: Any) -> str:
    context = command.make_context(name, [], resilient_parsing=True)
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    paragraphs = command.help.split("\n\n")
    text = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    lines = [f"## {name}", "", "```text", usage, "```", "", text, "", "| | |", "| --- | --- |"]
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and "--help" not in record[0]:
            left, right = (" ".join(cell.split()).replace("|", "\\|") for cell in record)
            left = re.sub(r" <[^>]*>$", "", left)
            lines.append(f"| `{left}` | {right} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    TARGET.write_text(document(), encoding="utf-8")
