"""A results file: rows, and for each the run that measured it.

results/*.json ─ Results.open ─▶ rows by what they answer ─ save ─▶ the same file
    {"runs": [{date, processor, cores, versions}, …], "rows": [one a line, with "run": n]}
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

FOLDER = Path(__file__).resolve().parents[1] / "results"
_PACKAGES = ("deepstd", "torch", "numpy", "imagecodecs", "av", "scikit-image")
Run = Mapping[str, Any]
Key = tuple[str, str, str]


class _Answer(Protocol):
    @property
    def scan(self) -> str: ...

    @property
    def codec(self) -> str: ...

    @property
    def target(self) -> str: ...


_R = TypeVar("_R", bound=_Answer)


@dataclass
class Results(Generic[_R]):
    """Rows of one file.

    Attributes:
        path: of the file.
        to_json: the fields of a row.
        rows: each with the run that measured it, by scan, codec and size.
    """

    path: Path
    to_json: Callable[[_R], Mapping[str, Any]]
    rows: dict[Key, tuple[_R, Run]] = field(default_factory=dict)

    @staticmethod
    def open(
        path: Path,
        from_json: Callable[[Mapping[str, Any]], _R],
        to_json: Callable[[_R], Mapping[str, Any]],
    ) -> Results[_R]:
        """Return the results of a file; none where there is no file."""
        results = Results(path, to_json)
        if path.is_file():
            kept = json.loads(path.read_text(encoding="utf-8"))
            for values in kept["rows"]:
                run = kept["runs"][values.pop("run")]
                results.add(from_json(values), run)
        return results

    def add(self, row: _R, run: Run) -> None:
        """Keep a row, in place of an earlier one that answers the same."""
        self.rows[row.scan, row.codec, row.target] = row, run

    def save(self) -> None:
        """Write the file, one row a line, with the runs that are still needed."""
        runs: list[Run] = []
        lines = []
        for row, run in self.rows.values():
            if run not in runs:
                runs.append(run)
            values = {**self.to_json(row), "run": runs.index(run)}
            lines.append(json.dumps(values, ensure_ascii=False))
        head = ",\n".join(json.dumps(run, ensure_ascii=False) for run in runs)
        text = '{"runs": [\n' + head + '\n],\n"rows": [\n' + ",\n".join(lines) + "\n]}\n"
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(self.path)


def this_run() -> Run:
    """Date, machine and versions of what is measured now."""
    versions = {"python": platform.python_version()}
    versions |= {name: metadata.version(name) for name in _PACKAGES}
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "versions": versions,
    }


def _processor() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
