"""A cluster of several nodes, one of which is killed at last while cases run; results as JSON.

python ray_cluster.py FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from ray.cluster_utils import Cluster  # pyright: ignore[reportMissingImports]  an extra
from workers import Scripted  # pyright: ignore[reportMissingImports]  beside this file

from deepstd.batch import ray_executor
from deepstd.batch.case import Case
from deepstd.batch.work import Outcome
from deepstd.errors import DeepSTDError
from deepstd.io import ScanSource


class Blind(ray_executor.RemoteWorker):
    """On a node that sees none of the driver's files."""

    def run(self, case: Case, contents: Any = None) -> Outcome | None:
        return None if contents is None else super().run(case, contents)


def cases_in(folder: Path, names: list[str]) -> list[Case]:
    made = []
    folder.mkdir()
    for name in names:
        path = folder / f"{name}.npy"
        path.write_bytes(b"scan")
        made.append(Case(ScanSource((path,), None, name, 4), folder, "state"))
    return made


def done(cluster: Cluster, cases: list[Case], worker: Scripted, lost: Any = None) -> dict[str, Any]:
    """What became of cases while a node is lost, if one is given, after the fourth."""
    told: list[str] = []
    found = []
    try:
        for case, outcome, tries in ray_executor.outcomes(
            cases,
            worker,
            str(cluster.address),
            None,
            on_gpu=False,
            tell=told.append,
        ):
            found.append([case.name, outcome.error, outcome.figures.get("seen"), tries])
            if lost is not None and len(found) == 4:
                cluster.remove_node(lost, allow_graceful=False)
    except DeepSTDError as error:
        return {"error": str(error)}
    return {"found": found, "told": told}


def main(folder: Path) -> dict[str, Any]:
    names = [f"case{n}" for n in range(12)]
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    results = {}
    try:
        none = Scripted(folder, "no abacus here")
        results["none"] = done(cluster, cases_in(folder / "none", ["a"]), none)
        crash = cases_in(folder / "crash", ["a", "die", "die-once", "b"])
        results["crash"] = done(cluster, crash, Scripted(folder))
        blind = cases_in(folder / "blind", names[:4])
        blind[3].scan.files[0].unlink()
        seeing, ray_executor.RemoteWorker = ray_executor.RemoteWorker, Blind
        results["blind"] = done(cluster, blind, Scripted(folder))
        ray_executor.RemoteWorker = seeing
        slow = Scripted(folder, seconds=0.5)
        results["lose"] = done(cluster, cases_in(folder / "lose", names), slow, nodes[0])
    finally:
        cluster.shutdown()
    return results


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]))))
