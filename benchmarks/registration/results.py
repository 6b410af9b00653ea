"""The results file: when, where, with what, and every row on a line of its own.

rows ─ save ─▶ results/registration.json ─ load ─▶ rows
"""

from __future__ import annotations

import datetime
import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.registration.measure import Row

RESULTS = Path(__file__).resolve().parents[1] / "results" / "registration.json"
_PACKAGES = ("deepstd", "torch", "numpy", "scipy", "itk-elastix", "antspyx")


@dataclass(frozen=True)
class Results:
    """Measurements of all methods on all pairs.

    Attributes:
        about: date, machine, versions.
        rows: one per study, pair and method.
    """

    about: dict[str, Any]
    rows: tuple[Row, ...] = ()


def load(path: Path = RESULTS) -> Results:
    """Results of a file that `save` wrote; none where there is no file."""
    if not path.is_file():
        return Results({})
    kept = json.loads(path.read_text(encoding="utf-8"))
    return Results(kept["about"], tuple(Row(**row) for row in kept["rows"]))


def save(rows: Sequence[Row], path: Path = RESULTS) -> Results:
    """Write rows beside today's date, this machine and the versions in use."""
    results = Results(_about(), tuple(rows))
    about = json.dumps(results.about, ensure_ascii=False)
    lines = ",\n".join(json.dumps(asdict(row), ensure_ascii=False) for row in rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'{{"about": {about},\n"rows": [\n{lines}\n]}}\n', encoding="utf-8")
    return results


def _about() -> dict[str, Any]:
    return {
        "date": datetime.date.today().isoformat(),
        "machine": f"{_processor()}, {os.cpu_count()} cores, one thread a method",
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in _PACKAGES},
    }


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
