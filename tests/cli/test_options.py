"""Sizes and times as people write them."""

from __future__ import annotations

import pytest
import typer

from deepstd.cli.options import duration, positive, size


@pytest.mark.parametrize(
    ("text", "nbytes"),
    [
        ("1", 1),
        ("4096", 4096),
        ("17 B", 17),
        ("300kB", 300_000),
        ("300 KB", 300_000),
        ("1.5MB", 1_500_000),
        (".5GB", 500_000_000),
        ("2MiB", 2_097_152),
        ("1.5kib", 1536),
    ],
)
def test_size(text: str, nbytes: int) -> None:
    assert size(text) == nbytes


@pytest.mark.parametrize("text", ["", "0", "-3", "0.4", "kB", "3 k B", "1e6", "3 elephants", "٣"])
def test_not_a_size(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        size(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("1.5s", 1.5), ("20m", 1200), ("1h30m", 5400), ("1H1M1S", 3661)],
)
def test_duration(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0s", "-5m", "20 minutes", "m", "30m1h", "1.5h"])
def test_not_a_duration(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        duration(text)


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "many", ""])
def test_not_positive(text: str) -> None:
    assert positive("0.25") == 0.25
    with pytest.raises(typer.BadParameter):
        positive(text)
