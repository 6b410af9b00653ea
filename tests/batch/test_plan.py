"""The work that is left to do, whatever happened before."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from batch_runs import fake_outcome, files_in
from hypothesis import given
from hypothesis import strategies as st

from deepstd import api
from deepstd.batch.case import Case, Request, fingerprint, state_of
from deepstd.batch.ledger import DONE, FAILED, WRITING, Ledger
from deepstd.batch.outputs import A_LINK, IN_THE_WAY, digest_of
from deepstd.batch.past import read_past
from deepstd.batch.plan import Plan, make_plan
from deepstd.batch.shard import Shard
from deepstd.errors import InputError
from deepstd.io import Metadata, discover
from deepstd.rate.target import Target
from deepstd.volume import SourceHeader, Volume

REQUEST = Request(Target(ratio=16.0), "auto")


@given(st.sets(st.text(max_size=12), max_size=30), st.integers(1, 9))
def test_parts_are_disjoint_and_complete(names: set[str], count: int) -> None:
    shards = [Shard(index, count) for index in range(1, count + 1)]
    assert all(sum(shard.holds(name) for shard in shards) == 1 for name in names)


def test_parts_do_not_change_with_the_platform() -> None:
    held = [name for name in map(str, range(20)) if Shard(2, 3).holds(name)]
    assert held == ["1", "2", "3", "4", "11", "14", "18", "19"]


@pytest.mark.parametrize("text", ["", "1", "0/3", "4/3", "1/0", "-1/2", "1/2/3", "a/b", "1.0/2"])
def test_what_is_no_part(text: str) -> None:
    with pytest.raises(InputError):
        Shard.of(text)


class TestPlan:
    """`make_plan` with a scan that is done."""

    @pytest.fixture
    def place(self, scans: Path, tmp_path: Path) -> tuple[Path, Path]:
        """A folder of two scans, and one with the output of the first, without a ledger."""
        for name in ("b", "c"):
            (scans / f"{name}.npy").unlink()
        output = tmp_path / "out"
        output.mkdir()
        case = Case(discover(scans).scans[0], scans, "")
        (output / "a.dstd").write_bytes(fake_outcome(case).data or b"")
        return scans, output

    def plan(self, place: tuple[Path, Path], request: Request = REQUEST, **options: Any) -> Plan:
        source, output = place
        return make_plan(
            discover(source).scans, source, output, request, read_past(output), **options
        )

    def record(self, place: tuple[Path, Path], status: str = DONE, **more: Any) -> None:
        (case,) = (case for case in self.plan(place, overwrite=True).cases if case.name == "a")
        outcome = fake_outcome(case)
        assert outcome.data is not None
        told = {"output_hash": digest_of(outcome.data)} if status == WRITING else {}
        row = {"status": status, **case.facts(), **outcome.figures, **told}
        with Ledger(place[1] / "ledger.jsonl") as ledger:
            ledger.append({**row, "request": REQUEST.described, "attempt": 3, **more})

    def test_what_is_done_stays(self, place: tuple[Path, Path]) -> None:
        self.record(place)
        plan = self.plan(place)
        assert [row["name"] for row in plan.finished] == ["a"]
        assert [(case.name, case.attempts, case.replaces) for case in plan.cases] == [
            ("sub/d", 0, False)
        ]
        assert len(self.plan(place, overwrite=True).finished) == 1

    def test_a_changed_source_is_done_again(self, place: tuple[Path, Path]) -> None:
        self.record(place)
        os.utime(place[0] / "a.npy", ns=(1, 1))
        case = self.plan(place).cases[0]
        assert (case.name, case.attempts, case.replaces) == ("a", 3, True)

    @pytest.mark.parametrize("how", ["gone", "cut", "empty"])
    def test_an_output_that_was_lost_is_made_again(
        self,
        place: tuple[Path, Path],
        phantom: Callable[..., np.ndarray],
        only_tiny: Path,
        how: str,
    ) -> None:
        target = place[1] / "a.dstd"
        np.save(place[0] / "a.npy", phantom((18, 16, 12)))
        api.compress(place[0] / "a.npy", target, ratio=16, effort="fast", overwrite=True)
        data = target.read_bytes()
        self.record(place, file_bytes=len(data))
        target.unlink()
        if how != "gone":
            target.write_bytes(data[:-1] if how == "cut" else b"")
        plan = self.plan(place)
        assert [(case.name, case.replaces) for case in plan.cases] == [
            ("a", how != "gone"),  # another file may appear in its place until it is done
            ("sub/d", False),
        ]
        assert plan.refused == []

    @pytest.mark.parametrize("content", [b"precious", b"precious" * 9])
    @pytest.mark.parametrize("changed", [False, True])
    @pytest.mark.parametrize("status", [DONE, WRITING])
    def test_an_output_that_somebody_replaced_is_left_alone(
        self, place: tuple[Path, Path], content: bytes, changed: bool, status: str
    ) -> None:
        self.record(place, status)
        target = place[1] / "a.dstd"
        target.write_bytes(content)
        if changed:
            os.utime(place[0] / "a.npy", ns=(1, 1))
        plan = self.plan(place)
        assert [(case.name, why) for case, why in plan.refused] == [("a", IN_THE_WAY)]
        assert [case.name for case in plan.cases] == ["sub/d"]
        assert plan.finished == plan.recovered == []
        plan = self.plan(place, overwrite=True)
        assert [(case.name, case.replaces) for case in plan.cases] == [
            ("a", True),
            ("sub/d", True),
        ]

    def test_killed_between_output_and_ledger(self, place: tuple[Path, Path]) -> None:
        self.record(place, WRITING)
        plan = self.plan(place)
        ((case, figures),) = plan.recovered
        assert (case.name, case.attempts) == ("a", 3)
        assert figures["file_bytes"] == (place[1] / "a.dstd").stat().st_size
        assert not {"status", "time", "attempt"} & set(figures)
        assert [case.name for case in plan.cases] == ["sub/d"]

    def test_killed_between_output_and_ledger_and_then_another_scan(
        self, place: tuple[Path, Path]
    ) -> None:
        self.record(place, WRITING)
        path = place[0] / "a.npy"
        about = path.stat()
        np.save(path, np.load(path) + 100)
        os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
        plan = self.plan(place)
        assert plan.recovered == plan.refused == []
        assert [(case.name, case.replaces) for case in plan.cases] == [
            ("a", True),
            ("sub/d", False),
        ]

    @pytest.mark.parametrize(
        "other",
        [
            Request(Target(ratio=17.0), "auto"),
            Request(Target(ratio=16.0), "generic 1 00"),
            Request(Target(ratio=16.0), "auto", metadata=Metadata.NONE),
        ],
    )
    def test_a_file_that_another_request_gave_is_not_taken_over(
        self, place: tuple[Path, Path], other: Request
    ) -> None:
        self.record(place, WRITING)
        with pytest.raises(InputError, match="another request"):
            self.plan(place, other)
        plan = self.plan(place, other, overwrite=True)
        assert [case.name for case in plan.cases] == ["a", "sub/d"]
        assert plan.recovered == []

    def test_a_file_without_a_line_is_refused_until_overwriting_is_allowed(
        self, place: tuple[Path, Path]
    ) -> None:
        assert [case.name for case, _ in self.plan(place).refused] == ["a"]
        with Ledger(place[1] / "ledger.jsonl"):
            pass
        assert [case.name for case, _ in self.plan(place).refused] == ["a"]
        assert [c.replaces for c in self.plan(place, overwrite=True).cases] == [True, True]

    def test_what_was_refused_stays_refused(self, place: tuple[Path, Path]) -> None:
        self.record(place, FAILED, refused=True)
        assert [case.name for case, _ in self.plan(place).refused] == ["a"]

    def test_a_link_on_the_way_to_an_output_is_refused(self, place: tuple[Path, Path]) -> None:
        elsewhere = place[1].with_name("elsewhere")
        elsewhere.mkdir()
        (place[1] / "sub").symlink_to(elsewhere, target_is_directory=True)
        for overwrite in (False, True):
            plan = self.plan(place, overwrite=overwrite)
            assert ("sub/d", A_LINK) in [(case.name, why) for case, why in plan.refused]

    def test_another_request(self, place: tuple[Path, Path]) -> None:
        self.record(place)
        other = Request(Target(bpv=1.0), "auto")
        with pytest.raises(InputError, match=r"ratio 16.*bpv 1"):
            self.plan(place, other)
        assert len(self.plan(place, other, overwrite=True).cases) == 2
        shutil.move(place[1] / "a.dstd", place[1] / "moved.dstd")
        assert len(self.plan(place, other).cases) == 2

    @pytest.mark.parametrize("other", [{"effort": "best"}, {"metadata": Metadata.NONE}])
    def test_other_settings_are_another_request(
        self, place: tuple[Path, Path], other: dict[str, Any]
    ) -> None:
        self.record(place)
        asked = Request(Target(ratio=16.0), "auto", **other)
        ((key, value),) = other.items()
        with pytest.raises(InputError, match=rf"now .*{key} {value}"):
            self.plan(place, asked)
        assert len(self.plan(place, asked, overwrite=True).cases) == 2

    def test_a_ledger_of_an_earlier_release_tells_the_usual_settings(
        self, place: tuple[Path, Path]
    ) -> None:
        self.record(place, request={"ratio": 16.0, "model": "auto"})
        assert [row["name"] for row in self.plan(place).finished] == ["a"]
        with pytest.raises(InputError, match=r"effort normal.*now .*effort best"):
            self.plan(place, Request(Target(ratio=16.0), "auto", effort="best"))

    @pytest.mark.parametrize("request_told", [None, "ratio 16", {}])
    def test_a_ledger_that_does_not_tell_what_was_asked(
        self, place: tuple[Path, Path], request_told: object
    ) -> None:
        self.record(place, request=request_told)
        with pytest.raises(InputError, match="another request"):
            self.plan(place)

    @pytest.mark.parametrize("status", [DONE, WRITING])
    def test_planning_changes_nothing(self, place: tuple[Path, Path], status: str) -> None:
        self.record(place, status)
        before = files_in(place[1])
        self.plan(place)
        assert files_in(place[1]) == before


def test_a_state_is_that_of_earlier_releases(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(b"12345")
    os.utime(tmp_path / "a.npy", ns=(1, 1_700_000_000_000_000_007))
    (scan,) = discover(tmp_path).scans
    assert state_of(scan) == "9b8b3eaef9c5538e"


def test_a_fingerprint_is_of_all_that_is_compressed() -> None:
    voxels = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    volume = Volume(voxels, np.eye(4), SourceHeader("npy", b"header"))
    others = [
        replace(volume, voxels=voxels[::-1]),
        replace(volume, voxels=voxels.astype(np.uint16)),
        replace(volume, voxels=voxels.reshape(3, 2, 4)),
        replace(volume, affine=np.diag([2.0, 1, 1, 1])),
        replace(volume, source=SourceHeader("npy", b"another")),
        replace(volume, source=SourceHeader("nrrd", b"header")),
    ]
    assert len({fingerprint(one) for one in (volume, *others)}) == 7
    assert fingerprint(replace(volume, voxels=np.asfortranarray(voxels))) == fingerprint(volume)
