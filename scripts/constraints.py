"""Print constraints for pip: the oldest dependencies that pyproject.toml allows, or the newest.

    python scripts/constraints.py oldest|newest > constraints-oldest.txt

Tools of the extra `dev` stay as constraints.txt pins them: other ones format and complain
differently.
"""

from __future__ import annotations

import argparse
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Print one line per dependency."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("which", choices=("oldest", "newest"))
    print("\n".join(lines(parser.parse_args().which)))  # noqa: T201


def lines(which: str) -> list[str]:
    """Return pins of the tools, and for `oldest` the lower bound of every other dependency."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    tools = dict(bound for text in extras["dev"] if (bound := lower_bound(text)))
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    found = [line.split()[0] for line in pinned if line.partition("==")[0] in tools]
    if which == "oldest":
        others = [*project["dependencies"], *(t for n in extras if n != "dev" for t in extras[n])]
        bounds = dict(bound for text in others if (bound := lower_bound(text)))
        found += [f"{name}=={version}" for name, version in bounds.items()]
    return found


def lower_bound(requirement: str) -> tuple[str, str] | None:
    """Return name and least version of a requirement such as `ray[client]>=2.40`."""
    match = re.match(r"([\w.-]+)(?:\[[^]]*\])?>=([\w.]+)", requirement)
    return (match[1], match[2]) if match else None


if __name__ == "__main__":
    main()
