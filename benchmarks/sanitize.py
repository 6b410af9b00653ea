"""Damaged streams through the native engine, built with sanitizers.

    csrc/*.c ─ compile with AddressSanitizer and UndefinedBehaviorSanitizer ─▶ library
    symbols ─ encode ─▶ stream ─ flip, cut, lengthen ─▶ decode passes ─▶ symbols or a refusal

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

from deepstd.coding.native import NativeDecoder, NativeEncoder
from deepstd.coding.tables import SCALE_COUNT, parametric_tables
from deepstd.engine import library
from deepstd.errors import DamagedError

_SANITIZED = "DEEPSTD_SANITIZED_ENGINE"
_FLAGS = ("-O1", "-g", "-std=c11", "-ffp-contract=off", "-fPIC", "-shared")
_CHECKS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
_SYMBOLS = 600
_BANDS = 7


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
    """Decode damaged streams of passes, and print how many were refused."""
    library.library_path = lambda: Path(os.environ[_SANITIZED])
    engine = library.engine()
    if engine is None:
        sys.exit("the sanitized library does not load")
    generator = random.Random(0)
    tables, numbers = parametric_tables(), np.random.default_rng(0)
    refused = 0
    for number in range(streams):
        if number % 1000 == 0:
            scales = numbers.integers(0, SCALE_COUNT, _SYMBOLS * _BANDS).astype(np.uint8)
            stream = _coded(engine, scales, numbers)
        decoder = NativeDecoder(engine, _damaged(stream, generator))
        try:
            decoder.decode_pass(scales.copy(), np.full(_BANDS, _SYMBOLS), tables)
            decoder.decode(scales[:50], tables, number % 3)
            decoder.decode_bits(number % 16)
        except DamagedError:
            refused += 1
    print(f"{streams} damaged streams: {refused} refused, the others decoded to some symbols")


def _coded(engine: object, scales: np.ndarray, numbers: np.random.Generator) -> bytes:
    """Return a stream of one pass."""
    tables, coder = parametric_tables(), NativeEncoder(engine)
    aims = numbers.logistic(size=scales.size) * 2.0 ** ((scales.astype(float) - 20) / 4)
    for _ in range(_BANDS):
        coder.encode_offset(int(numbers.integers(-4, 5)))
    coder.encode_pass(aims, scales, np.rint(aims).astype(np.int64), tables, 0.1)
    return coder.finish()


def _damaged(stream: bytes, generator: random.Random) -> bytes:
    """Return a stream with changed, removed or appended bytes."""
    data = bytearray(stream[: generator.randrange(len(stream) + 1)])
    for _ in range(generator.randrange(4)):
        if data:
            data[generator.randrange(len(data))] = generator.randrange(256)
    if generator.random() < 0.2:
        data += generator.randbytes(generator.randrange(64))
    return bytes(data)


if __name__ == "__main__":
    main()
