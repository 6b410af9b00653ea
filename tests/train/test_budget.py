"""A run keeps to its time: what there is no time for is left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from deepstd.shape.model import FieldCode
from deepstd.shape.register import ShapeReport
from deepstd.train import job, ready
from deepstd.train.budget import ENDING_SHARE, REGISTRATION_SHARE, Budget
from deepstd.train.cache import CachedScan
from deepstd.train.config import TrainConfig
from deepstd.train.finish import write_bundle
from deepstd.train.ready import by_chance, interleaved, register_within, with_fields
from deepstd.train.run import train
from deepstd.train.template import build as template
from deepstd.train.template.build import build_shape_model
from deepstd.train.template.population import Population


class Clock:
    """A clock that goes on only when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("time.monotonic", clock)
    return clock


def slowed(clock: Clock, seconds: float, function: Callable) -> Callable:
    """A function that takes its time by the clock."""

    def slow(*arguments: object, **more: object) -> object:
        clock.now += seconds
        return function(*arguments, **more)

    return slow


def scans(count: int, shape: tuple[int, ...] = (6, 6, 6), split: str = "train") -> list[CachedScan]:
    random = np.random.default_rng(0)
    axes = np.indices(shape).sum(0)
    return [
        CachedScan(
            f"{split}{n}", str(n), split,
            np.rint(axes * (20 + n) + random.normal(size=shape)).astype("i2"),
            np.eye(4), n % 2,
        )
        for n in range(count)
    ]  # fmt: skip


@pytest.fixture
def slow_registration(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> list[int]:
    """A registration that takes a second a scan, and how many it was given at once."""
    given: list[int] = []

    def register_all(
        volumes: Sequence[np.ndarray], affines: object, model: object
    ) -> list[tuple[FieldCode, ShapeReport]]:
        clock.now += len(volumes)
        given.append(len(volumes))
        report = ShapeReport(0.5, 0.8, 0.1, 0.0, 10, 1.0)
        return [(FieldCode(0, np.zeros(3, np.int32)), report) for _ in volumes]

    monkeypatch.setattr(ready, "register_all", register_all)
    return given


def test_as_many_scans_are_registered_as_there_is_time_for(
    clock: Clock, slow_registration: list[int]
) -> None:
    fields: dict[str, FieldCode] = {}
    told: list[str] = []
    register_within(
        scans(200), None, fields, Budget(300.0, 0.0, 0.0),  # pyright: ignore[reportArgumentType]
        lambda message, share: told.append(message),
    )  # fmt: skip
    assert 0.9 * REGISTRATION_SHARE * 300 <= len(fields) <= REGISTRATION_SHARE * 300
    assert clock.now <= REGISTRATION_SHARE * 300
    assert max(slow_registration) <= 32
    assert told[-1] == f"the time is enough to register {len(fields)} of 200 scans"
    # What a checkpoint has already is not done again.
    slow_registration.clear()
    some = scans(len(fields))
    register_within(some, None, fields, Budget(300.0, 0.0, 0.0), lambda *_: None)  # pyright: ignore[reportArgumentType]
    assert sum(slow_registration) == len([s for s in some if s.key not in fields])


def test_scans_to_validate_with_are_registered_among_the_others() -> None:
    chosen, checked = scans(20), scans(3, split="validation")
    ordered = interleaved(chosen, checked)
    assert len(ordered) == 23
    assert [s.split for s in ordered[:10]].count("validation") == 2
    assert ordered[0].split == "train"
    assert [s for s in ordered if s.split == "train"] == chosen


def test_where_few_scans_are_registered_others_are_learned_from_as_well() -> None:
    all_of_them = scans(40)
    code = FieldCode(0, np.zeros(1, np.int32))
    few = {s.key: code for s in all_of_them[5:8]}
    chosen = with_fields(all_of_them, few)
    assert [s.key for s in chosen[:3]] == list(few)
    assert len(chosen) == 16
    many = {s.key: code for s in all_of_them[10:30]}
    assert [s.key for s in with_fields(all_of_them, many)] == list(many)


def test_an_order_of_chance_begins_with_every_source() -> None:
    ordered = by_chance(scans(30), 0)
    assert {s.source for s in ordered[:2]} == {0, 1}
    assert sorted(s.key for s in ordered) == sorted(s.key for s in scans(30))
    assert ordered != scans(30)


def test_networks_get_what_is_left(clock: Clock) -> None:
    budget = Budget(1000.0, 100.0, 0.0)
    clock.now = 150.0
    assert budget.spent == 250.0
    assert budget.for_next_network(2, 2) == (750.0 - 1000 * ENDING_SHARE) / 2
    clock.now = 950.0
    assert budget.left_for_networks == 0.0
    # They get two fifths where everything else has taken too long.
    assert budget.for_next_network(1, 2) == pytest.approx(200.0)


def test_items_end_with_their_share_of_the_time(clock: Clock) -> None:
    def slow(item: int) -> int:
        clock.now += 4.0
        return item

    budget = Budget(100.0, 0.0, 0.0)
    assert list(budget.within(map(slow, range(50)), 0.1)) == [0, 1, 2]
    clock.now = 99.0
    assert list(budget.within(map(slow, range(50)), 0.0)) == [0]


def test_a_template_in_short_time_is_made_of_fewer_scans(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(template, "align", slowed(clock, 1.0, template.align))
    monkeypatch.setattr(Population, "_step", slowed(clock, 1.0, Population._step))
    told: list[str] = []
    some = [scan.voxels.astype("f4") for scan in scans(30, (12, 10, 9))]
    build_shape_model(
        some, [None] * 30, max_seconds=20.0, seed=0, progress=lambda text, _: told.append(text)
    )
    assert told[0] == "3 of 30 scans aligned by their headers"


@pytest.mark.parametrize("asked", [60.0, 400.0])
def test_a_whole_run_ends_in_its_time_with_a_bundle(
    asked: float,
    clock: Clock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    slow_registration: list[int],
) -> None:
    """Everything takes its time by a clock of its own: a step 1 s, a batch for tables 2 s."""

    def trained(state: object, *arguments: object, **more: object) -> bool:
        step = min(more["total_seconds"] - state.seconds, 120.0)  # pyright: ignore
        state.seconds += step  # pyright: ignore
        clock.now += step
        return state.seconds >= more["total_seconds"]  # pyright: ignore

    def frozen(*arguments: object, seconds: float, batches: int, **more: object) -> None:
        clock.now += max(min(seconds, 2.0 * batches), 2.0)

    monkeypatch.setattr(Population, "_step", slowed(clock, 1.0, Population._step))
    monkeypatch.setattr(template.HeadFit, "run", slowed(clock, 6.0, template.HeadFit.run))
    monkeypatch.setattr(job, "train_until", trained)
    monkeypatch.setattr(job, "freeze_tables", frozen)
    monkeypatch.setattr(job, "make_example", slowed(clock, 0.2, job.make_example))
    monkeypatch.setattr(job, "save_checkpoint", slowed(clock, 0.5, job.save_checkpoint))
    monkeypatch.setattr(ready, "register_all", _with_true_fields(clock))
    config = TrainConfig("blobs", widths_3d=(4,), filter_3d=(4, 1), template=True)
    cache = [*scans(24, (12, 10, 9)), *scans(4, (12, 10, 9), "validation")]
    done = train(cache, config, tmp_path, total_seconds=asked, spent=0.05 * asked)
    assert done.finished
    assert clock.now + 0.05 * asked == pytest.approx(asked, rel=0.1 + 1e-9)
    assert done.seconds[3] >= 0.4 * asked
    assert done.used[3] == (24 if asked > 300 else 16)
    write_bundle(done, config, cache, tmp_path / "bundle")
    card = (tmp_path / "bundle" / "README.md").read_text()
    assert f"parameters, {done.used[3]} scans" in card


def _with_true_fields(clock: Clock) -> Callable:
    """A registration that takes a second a scan, to fields that do not move anything."""

    def register_all(
        volumes: Sequence[np.ndarray], affines: object, model: object
    ) -> list[tuple[FieldCode, ShapeReport]]:
        clock.now += len(volumes)
        symbols = np.zeros(model.modes.shape[1], np.int32)  # pyright: ignore[reportAttributeAccessIssue]
        report = ShapeReport(0.5, 0.8, 0.1, 0.0, 10, 1.0)
        return [(FieldCode(0, symbols), report) for _ in volumes]

    return register_all
