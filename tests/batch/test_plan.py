"""What is left to do, whatever happened before."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepstd import api
from deepstd.batch.ledger import DONE, FAILED, Ledger, read_past
from deepstd.batch.plan import Plan, Request, figures_of, make_plan
from deepstd.batch.shard import Shard
from deepstd.container import parse
from deepstd.errors import InputError
from deepstd.io import Metadata, discover
from deepstd.rate import Target

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
    def place(
        self, tmp_path: Path, phantom: Callable[..., np.ndarray], only_tiny: Path
    ) -> tuple[Path, Path]:
        """A folder of scans, and one with the first of them compressed, without a ledger."""
        source, output = tmp_path / "scans", tmp_path / "out"
        (source / "b").mkdir(parents=True)
        output.mkdir()
        np.save(source / "a.npy", phantom((18, 16, 12)))
        np.save(source / "b" / "c.npy", phantom((18, 16, 12), seed=1))
        api.compress(source / "a.npy", output / "a.dstd", ratio=16, effort="fast")
        return source, output

    def plan(self, place: tuple[Path, Path], request: Request = REQUEST, **options: Any) -> Plan:
        source, output = place
        return make_plan(
            discover(source).scans, source, output, request, read_past(output), **options
        )

    def record(self, place: tuple[Path, Path], **more: Any) -> None:
        (case,) = (case for case in self.plan(place, overwrite=True).cases if case.name == "a")
        figures = figures_of(parse((place[1] / "a.dstd").read_bytes(), "a"))
        with Ledger(place[1] / "ledger.jsonl") as ledger:
            row = {"status": DONE, **case.facts(), **figures, "request": REQUEST.described}
            ledger.append({**row, "attempt": 3, **more})

    def test_what_is_done_stays(self, place: tuple[Path, Path]) -> None:
        self.record(place)
        plan = self.plan(place)
        assert [row["name"] for row in plan.finished] == ["a"]
        assert [(case.name, case.attempts, case.replaces) for case in plan.cases] == [
            ("b/c", 0, False)
        ]
        assert len(self.plan(place, overwrite=True).finished) == 1

    def test_a_changed_source_is_done_again(self, place: tuple[Path, Path]) -> None:
        self.record(place)
        os.utime(place[0] / "a.npy", ns=(1, 1))
        case = self.plan(place).cases[0]
        assert (case.name, case.attempts, case.replaces) == ("a", 3, True)

    @pytest.mark.parametrize("how", ["gone", "cut", "empty"])
    def test_an_output_that_was_lost_is_made_again(
        self, place: tuple[Path, Path], how: str
    ) -> None:
        self.record(place)
        target = place[1] / "a.dstd"
        data = target.read_bytes()
        target.unlink()
        if how != "gone":
            target.write_bytes(data[:-1] if how == "cut" else b"")
        plan = self.plan(place)
        assert [(case.name, case.replaces) for case in plan.cases] == [
            ("a", how != "gone"),  # another file may appear in its place until it is done
            ("b/c", False),
        ]
        assert plan.refused == []

    @pytest.mark.parametrize("how", ["smaller", "larger", "no scan"])
    @pytest.mark.parametrize("changed", [False, True])
    def test_an_output_that_somebody_replaced_is_left_alone(
        self, place: tuple[Path, Path], how: str, changed: bool
    ) -> None:
        self.record(place)
        target = place[1] / "a.dstd"
        target.write_bytes(b"precious")
        if how != "no scan":
            ratio = 24 if how == "smaller" else 12
            api.compress(place[0] / "a.npy", target, ratio=ratio, effort="fast", overwrite=True)
        if changed:
            os.utime(place[0] / "a.npy", ns=(1, 1))
        plan = self.plan(place)
        assert [case.name for case in plan.refused] == ["a"]
        assert [case.name for case in plan.cases] == ["b/c"]
        assert plan.finished == plan.recovered == []
        plan = self.plan(place, overwrite=True)
        assert [(case.name, case.replaces) for case in plan.cases] == [("a", True), ("b/c", True)]

    def test_killed_between_output_and_ledger_of_a_changed_source(
        self, place: tuple[Path, Path], phantom: Callable[..., np.ndarray]
    ) -> None:
        self.record(place)
        np.save(place[0] / "a.npy", phantom((18, 16, 14)))
        api.compress(
            place[0] / "a.npy", place[1] / "a.dstd", ratio=16, effort="fast", overwrite=True
        )
        plan = self.plan(place)
        assert [case.name for case, _ in plan.recovered] == ["a"]
        assert [case.name for case in plan.cases] == ["b/c"]

    def test_killed_between_output_and_ledger(self, place: tuple[Path, Path]) -> None:
        with Ledger(place[1] / "ledger.jsonl"):
            pass
        plan = self.plan(place)
        ((case, figures),) = plan.recovered
        assert (case.name, figures["file_bytes"]) == ("a", (place[1] / "a.dstd").stat().st_size)
        assert [case.name for case in plan.cases] == ["b/c"]

    @pytest.mark.parametrize(
        "other",
        [
            Request(Target(ratio=17.0), "auto"),
            Request(Target(ratio=15.0), "auto"),
            Request(Target(ratio=16.0), "generic 1 00"),
        ],
    )
    def test_a_file_that_another_request_gave_is_not_taken_over(
        self, place: tuple[Path, Path], other: Request
    ) -> None:
        with Ledger(place[1] / "ledger.jsonl"):
            pass
        assert [case.name for case in self.plan(place, other).refused] == ["a"]

    def test_a_file_with_other_metadata_is_not_taken_over(
        self, place: tuple[Path, Path], phantom: Callable[..., np.ndarray]
    ) -> None:
        with Ledger(place[1] / "ledger.jsonl"):
            pass
        image = nibabel.Nifti1Image(phantom((18, 16, 12)), np.eye(4))
        image.header["descrip"] = b"Jane Doe"
        nibabel.save(image, place[0] / "n.nii")
        api.compress(place[0] / "n.nii", place[1] / "n.dstd", ratio=16, effort="fast")
        assert "n" in [case.name for case, _ in self.plan(place).recovered]
        dropped = Request(Target(ratio=16.0), "auto", metadata=Metadata.NONE)
        assert [case.name for case in self.plan(place, dropped).refused] == ["n"]

    def test_a_file_of_another_scan_is_not_taken_over(
        self, place: tuple[Path, Path], phantom: Callable[..., np.ndarray]
    ) -> None:
        with Ledger(place[1] / "ledger.jsonl"):
            pass
        np.save(place[0] / "a.npy", phantom((16, 18, 12)))
        assert [case.name for case in self.plan(place).refused] == ["a"]
        (place[1] / "a.dstd").write_bytes(b"precious")
        assert [case.name for case in self.plan(place).refused] == ["a"]

    def test_a_file_from_before_is_refused_until_overwriting_is_allowed(
        self, place: tuple[Path, Path]
    ) -> None:
        assert [case.name for case in self.plan(place).refused] == ["a"]
        assert [c.replaces for c in self.plan(place, overwrite=True).cases] == [True, True]

    def test_what_was_refused_stays_refused(self, place: tuple[Path, Path]) -> None:
        self.record(place, status=FAILED, refused=True)
        assert [case.name for case in self.plan(place).refused] == ["a"]

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

    def test_planning_changes_nothing(self, place: tuple[Path, Path]) -> None:
        before = {path: path.stat().st_mtime_ns for path in place[1].rglob("*")}
        self.plan(place)
        assert {path: path.stat().st_mtime_ns for path in place[1].rglob("*")} == before
