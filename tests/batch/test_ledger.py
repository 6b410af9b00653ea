"""The ledger: whatever a kill leaves of it, whole lines count and nothing else does."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepstd.batch.ledger import DONE, FAILED, Ledger, path_of, read_past
from deepstd.batch.shard import Shard
from deepstd.errors import InputError

names = st.text(max_size=8)
statuses = st.sampled_from([DONE, FAILED])


def row(name: str, status: str = DONE, attempt: int = 1, **more: object) -> dict[str, object]:
    return {"name": name, "status": status, "attempt": attempt, **more}


def test_without_a_ledger_there_is_no_past(tmp_path: Path) -> None:
    assert read_past(tmp_path) is None
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
        assert past is not None
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
        path.write_bytes(b"\n".join([*garbage, b""]))
        with Ledger(path) as ledger:
            ledger.append(row("a"))
        past = read_past(Path(folder))
        assert past is not None
        assert set(past) == {"a"}


def test_figures_that_json_has_not(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.jsonl") as ledger:
        ledger.append(row("a", psnr=float("inf"), ssim=float("nan")))
    (line,) = (tmp_path / "ledger.jsonl").read_text().splitlines()
    read = json.loads(line, parse_constant=pytest.fail)
    assert (read["psnr"], read["ssim"]) == (None, None)


def test_one_run_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    with Ledger(path):
        with pytest.raises(InputError, match="another run"), Ledger(path):
            pass
        with Ledger(path_of(tmp_path, Shard(1, 2))):
            pass
    with Ledger(path):
        pass


def test_parts_know_of_each_other(tmp_path: Path) -> None:
    for index in (1, 2):
        with Ledger(path_of(tmp_path, Shard(index, 2))) as ledger:
            ledger.append(row(f"scan{index}"))
            ledger.append(row("both", FAILED, index, refused=index == 1))
    past = read_past(tmp_path)
    assert past is not None
    assert set(past) == {"scan1", "scan2", "both"}
    assert (past["both"].done, past["both"].attempts, past["both"].refused) == (None, 2, False)
