"""The ledger: whatever a kill leaves of it, whole lines count and nothing else does."""

from __future__ import annotations

import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepstd.batch.ledger import DONE, FAILED, WRITING, Ledger, check, path_of
from deepstd.batch.past import read_past
from deepstd.batch.shard import Shard
from deepstd.errors import InputError

names = st.text(max_size=8)
statuses = st.sampled_from([DONE, FAILED])


def row(name: str, status: str = DONE, attempt: int = 1, **more: object) -> dict[str, object]:
    return {"name": name, "status": status, "attempt": attempt, **more}


def test_without_a_ledger_there_is_no_past(tmp_path: Path) -> None:
    assert read_past(tmp_path) == {}
    with Ledger(tmp_path / "ledger.jsonl"):
        assert read_past(tmp_path) == {}


@given(st.lists(st.tuples(names, statuses), min_size=1, max_size=6), st.data())
def test_cut_anywhere_it_keeps_its_whole_lines(
    written: list[tuple[str, str]], data: st.DataObject
) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "ledger.jsonl")
        with Ledger(path) as ledger:
            for number, (name, status) in enumerate(written):
                ledger.append(row(name, status, number + 1))
        whole = path.read_bytes()
        cut = data.draw(st.integers(0, len(whole)))
        path.write_bytes(whole[:cut])
        kept = written[: whole[:cut].count(b"\n")]
        past = read_past(Path(folder))
        assert set(past) == {name for name, _ in kept}
        for name, known in past.items():
            assert (known.done is not None) == ((name, DONE) in kept)
            assert known.attempts == max(
                n + 1 for n, (other, _) in enumerate(kept) if other == name
            )
        with Ledger(path) as ledger:
            ledger.append(row("new"))
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        assert [line["name"] for line in lines] == [name for name, _ in kept] + ["new"]


@given(st.lists(st.binary(max_size=30) | st.just(b'{"name": 3}') | st.just(b"[]"), max_size=5))
def test_damaged_lines_are_passed_over(garbage: list[bytes]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "ledger.jsonl")
        with Ledger(path) as ledger:
            ledger.append(row("b"))
        path.write_bytes(b"\n".join([path.read_bytes().rstrip(), *garbage, b""]))
        with Ledger(path) as ledger:
            ledger.append(row("a"))
        past = read_past(Path(folder))
        assert set(past) == {"a", "b"}


def test_figures_that_json_has_not(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.jsonl") as ledger:
        ledger.append(row("a", psnr=float("inf"), ssim=float("nan")))
    (line,) = (tmp_path / "ledger.jsonl").read_text().splitlines()
    read = json.loads(line, parse_constant=pytest.fail)
    assert (read["psnr"], read["ssim"]) == (None, None)


def test_one_run_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    with Ledger(path), pytest.raises(InputError, match="another run"), Ledger(path):
        pass
    with Ledger(path):
        pass


def test_parts_know_of_each_other(tmp_path: Path) -> None:
    for index in (1, 2):
        with Ledger(path_of(tmp_path, Shard(index, 2))) as ledger:
            ledger.append(row(f"scan{index}"))
            ledger.append(row("both", FAILED, index, refused=index == 1))
    past = read_past(tmp_path)
    assert set(past) == {"scan1", "scan2", "both"}
    assert (past["both"].done, past["both"].attempts, past["both"].refused) == (None, 2, False)


@pytest.mark.parametrize(
    ("one", "other"), [(Shard(), Shard(1, 2)), (Shard(2, 2), Shard()), (Shard(1, 2), Shard(2, 3))]
)
def test_runs_that_divide_the_scans_otherwise_exclude_each_other(
    tmp_path: Path, one: Shard, other: Shard
) -> None:
    with Ledger(path_of(tmp_path, one)) as ledger:
        ledger.append(row("a"))
        with (
            pytest.raises(InputError, match="divides the scans otherwise"),
            Ledger(path_of(tmp_path, other)),
        ):
            pass
    with Ledger(path_of(tmp_path, other)):
        pass


def test_parts_of_one_division_run_beside_each_other(tmp_path: Path) -> None:
    with Ledger(path_of(tmp_path, Shard(1, 3))), Ledger(path_of(tmp_path, Shard(3, 3))):
        pass


FOREIGN = [
    b"date,amount\n2026-01-01,3\nno newline",
    b'{"account": 1}\n{"account": 2',
    b'{"name": "Doe"}',
    b"one line without an end",
    b"\n",
    b"\xff\xfe\x00",
]


@pytest.mark.parametrize("content", FOREIGN)
def test_a_file_that_is_no_ledger_is_never_touched(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"ledger\.jsonl: is no ledger"), Ledger(path):
        pass
    with pytest.raises(InputError, match=r"ledger\.jsonl: is no ledger"):
        check(path)
    assert path.read_bytes() == content
    assert read_past(tmp_path) == {}


@pytest.mark.parametrize("there", [True, False])
def test_a_link_in_the_place_of_a_ledger_is_not_followed(tmp_path: Path, there: bool) -> None:
    mine = tmp_path / "mine.jsonl"
    if there:
        with Ledger(mine) as ledger:
            ledger.append(row("a"))
        mine.write_bytes(mine.read_bytes() + b"torn")
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "ledger.jsonl").symlink_to(mine)
    before = mine.read_bytes() if there else None
    for attempt in (check, lambda path: Ledger(path).__enter__()):
        with pytest.raises(InputError, match="is a link"):
            attempt(folder / "ledger.jsonl")
    assert (mine.read_bytes() if mine.exists() else None) == before
    assert read_past(folder) == {}


def test_a_folder_or_a_pipe_in_the_place_of_a_ledger(tmp_path: Path) -> None:
    (tmp_path / "ledger.jsonl").mkdir()
    os.mkfifo(tmp_path / "ledger-1-of-2.jsonl")
    for name in ("ledger.jsonl", "ledger-1-of-2.jsonl"):
        with pytest.raises(InputError, match=name), Ledger(tmp_path / name):
            pass


def test_a_ledger_of_an_earlier_release_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    old = {**row("a"), "time": "2026-01-01T00:00:00.000+00:00"}
    path.write_text(json.dumps(old) + "\n" + '{"name": "torn')
    with Ledger(path) as ledger:
        ledger.append(row("b"))
    assert path.read_text().startswith(json.dumps(old) + "\n{")
    assert set(read_past(tmp_path)) == {"a", "b"}


def test_the_line_before_an_output_counts_until_another_follows(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.jsonl") as ledger:
        for name in ("a", "b", "c"):
            ledger.append(row(name, DONE, 1))
            ledger.append(row(name, WRITING, 2))
        ledger.append(row("b", DONE, 2))
        ledger.append(row("c", FAILED, 2))
    past = read_past(tmp_path)
    assert [past[name].writing is not None for name in "abc"] == [True, False, False]
    assert [past[name].done is not None for name in "abc"] == [True, True, True]
    assert [past[name].attempts for name in "abc"] == [2, 2, 2]


def test_a_clock_that_goes_back_does_not_reorder_a_ledger(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    lines = [
        {**row("a", WRITING, 1), "time": "2026-01-01T12:00:00.000+00:00"},
        {**row("a", DONE, 1), "time": "2026-01-01T11:00:00.000+00:00"},
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert read_past(tmp_path)["a"].writing is None


def test_a_ledger_whose_folder_went_away_is_not_in_its_place(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    with Ledger(folder / "ledger.jsonl") as ledger:
        assert ledger.is_in_place
        folder.rename(tmp_path / "moved")
        assert not ledger.is_in_place
        folder.mkdir()
        (folder / "ledger.jsonl").touch()
        assert not ledger.is_in_place
