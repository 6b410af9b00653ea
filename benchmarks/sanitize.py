"""Damaged streams through the native engine, built with sanitizers.

    csrc/*.c ─ compile with AddressSanitizer and UndefinedBehaviorSanitizer ─▶ library
    symbols ─ encode ─▶ stream ─ flip, cut, lengthen ─▶ decode tiles ─▶ symbols or a refusal

Usage: python -m benchmarks.sanitize [--streams 100000]

The exit code is 1 where a sanitizer reports a fault, or where a decoder raises anything but
DamagedError. Needs gcc and its libasan.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from deepstd.coding.native import NativeDecoder
from deepstd.coding.tables import SCALE_COUNT, parametric_tables
from deepstd.engine import library
from deepstd.errors import DamagedError
from deepstd.texture.entropy.quantizer import symbol_savings
from deepstd.texture.entropy.symbols import DecoderSource, EncoderSource
from deepstd.texture.networks.context import ContextConfig, LevelContext, condition_vector
from deepstd.texture.networks.integer import ExactConv
from deepstd.texture.networks.levels import Level
from deepstd.texture.networks.lifting import subband_mask

_SANITIZED = "DEEPSTD_SANITIZED_ENGINE"
_FLAGS = ("-O1", "-g", "-std=c11", "-ffp-contract=off", "-fPIC", "-shared")
_CHECKS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def main() -> None:
    """Build the library, then run the damaged streams in a process that loads it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--streams", type=int, default=100_000)
    streams: int = parser.parse_args().streams
    if _SANITIZED in os.environ:
        _decode_damaged(streams)
        return
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder) / "libengine.so"
        sources = sorted(map(str, (Path(library.__file__).parent / "csrc").glob("*.c")))
        subprocess.run(["gcc", *_FLAGS, *_CHECKS, "-o", built, *sources, "-lm"], check=True)
        runtime = subprocess.run(
            ["gcc", "-print-file-name=libasan.so"], check=True, capture_output=True, text=True
        )
        environment = {
            **os.environ,
            _SANITIZED: str(built),
            "LD_PRELOAD": runtime.stdout.strip(),
            "ASAN_OPTIONS": "detect_leaks=0",  # the interpreter itself leaks
        }
        command = [sys.executable, "-m", "benchmarks.sanitize", "--streams", str(streams)]
        sys.exit(subprocess.run(command, env=environment, check=False).returncode != 0)


def _decode_damaged(streams: int) -> None:
    """Decode damaged streams of tiles, and count what became of them."""
    library.library_path = lambda: Path(os.environ[_SANITIZED])
    engine = library.engine()
    if engine is None:
        sys.exit("the sanitized library does not load")
    generator = random.Random(0)
    tables, numbers = parametric_tables(), np.random.default_rng(0)
    levels = [_level(2, (41, 38)), _level(3, (12, 11, 14))]
    coded = [(level, _coded(level)) for level in levels]
    refused = 0
    for number in range(streams):
        level, stream = coded[number % 2]
        damaged = _damaged(stream, generator)
        try:
            level.code(_whole(level), DecoderSource(tables, damaged))
            decoder = NativeDecoder(engine, damaged)
            scales = numbers.integers(0, SCALE_COUNT, 50).astype(np.uint8)
            decoder.decode(scales, tables, number % 3)
            decoder.decode_bits(number % 16)
        except DamagedError:
            refused += 1
    print(f"{streams} damaged streams: {refused} refused, the others decoded to some symbols")


def _level(ndim: int, fine: tuple[int, ...]) -> Level:
    """Return a random level of a random model."""
    torch.manual_seed(ndim)
    config = ContextConfig(ndim, (8,), template=False)
    model = LevelContext(config, 8)
    for layer in model.modules():
        if isinstance(layer, ExactConv):
            layer.load_integers(layer.to_integers())
    axes = tuple(range(ndim))
    low = torch.floor(300 * torch.randn((1, 1, *(-(-n // 2) for n in fine)), dtype=torch.float64))
    return Level(
        *(model.requires_grad_(False), 0, condition_vector(config, 90, axes, 0)),
        *(subband_mask(fine, axes), config.passes, low, None, (), None, axes, fine),
        *(torch.float64, torch.float32),
    )


def _whole(level: Level) -> tuple[slice, ...]:
    return tuple(slice(0, n) for n in level.grid)


def _coded(level: Level) -> bytes:
    """Return a level's stream."""
    tables = parametric_tables()
    targets = 4 * torch.randn((1, len(level.mask), *level.grid), dtype=torch.float64)
    savings = symbol_savings(tables, "cpu")
    source = EncoderSource(tables, targets[:, :1], [targets], 64.0, 0.1, savings)
    source.begin_tile(0, _whole(level))
    level.code(_whole(level), source)
    return source.stream.finish()


def _damaged(stream: bytes, generator: random.Random) -> bytes:
    """Return a stream with some bytes changed, cut short, or followed by others."""
    data = bytearray(stream[: generator.randrange(len(stream) + 1)])
    for _ in range(generator.randrange(4)):
        if data:
            data[generator.randrange(len(data))] = generator.randrange(256)
    if generator.random() < 0.2:
        data += generator.randbytes(generator.randrange(64))
    return bytes(data)


if __name__ == "__main__":
    main()
