"""Every native function under sanitizers: damaged data of files, and random valid input.

    csrc/*.c ─ gcc -fsanitize ─▶ library ─ loaded by a process of its own ─┬ `damaged`: payloads
                                                                          └ `valid`: shapes, types

Usage: python -m benchmarks.sanitize [--payloads 100000] [--rounds 200] [--only PART …] [--seed N]
       python -m benchmarks.sanitize --races [--rounds 20]

The library is built with AddressSanitizer and UndefinedBehaviorSanitizer, with --races with
ThreadSanitizer. Then every part of `valid` runs in two threads. One line is printed for each part.
The exit code is 1 where a sanitizer reports a fault, or where a decoder raises anything but
DamagedError. Needs gcc with libasan and libtsan.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from deepstd.engine import library

_BUILT = "DEEPSTD_SANITIZED_ENGINE"
_FLAGS = ("-O1", "-g", "-std=c11", "-ffp-contract=off", "-fPIC", "-shared", "-pthread")
_MEMORY = ("-fsanitize=address,undefined,float-cast-overflow", "-fno-sanitize-recover=all")
_RACES = ("-fsanitize=thread",)


def main() -> None:
    """Build the library, then run all parts in a process that loads it."""
    parser = argparse.ArgumentParser(description="Run the native engine under sanitizers.")
    parser.add_argument("--payloads", type=int, default=100_000, help="damaged payloads in all")
    parser.add_argument("--rounds", type=int, default=200, help="random inputs of valid parts")
    parser.add_argument("--only", action="append", default=[], metavar="PART")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--races", action="store_true", help="valid parts with ThreadSanitizer")
    given = parser.parse_args()
    if _BUILT in os.environ:
        _run(given)
        return
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder) / "libengine.so"
        _build(built, _RACES if given.races else _MEMORY)
        runtime = _runtime("libtsan.so" if given.races else "libasan.so")
        environment = {
            **os.environ,
            _BUILT: str(built),
            "LD_PRELOAD": runtime,
            "ASAN_OPTIONS": "detect_leaks=0",  # the interpreter itself leaks
            "TSAN_OPTIONS": "halt_on_error=1",
            "PYTHONMALLOC": "malloc",  # so that the ends of small buffers are watched, too
            "OMP_NUM_THREADS": "2" if given.races else "1",
        }
        # ThreadSanitizer does not start where the kernel places libraries at random.
        fixed = ["setarch", os.uname().machine, "-R"] if given.races else []
        command = [*fixed, sys.executable, "-m", "benchmarks.sanitize", *sys.argv[1:]]
        sys.exit(subprocess.run(command, env=environment, check=False).returncode != 0)


def _build(built: Path, checks: tuple[str, ...]) -> None:
    sources = sorted(map(str, (Path(library.__file__).parent / "csrc").glob("*.c")))
    subprocess.run(["gcc", *_FLAGS, *checks, "-o", built, *sources, "-lm"], check=True)


def _runtime(name: str) -> str:
    """Return the path of a sanitizer's library."""
    command = ["gcc", f"-print-file-name={name}"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _run(given: argparse.Namespace) -> None:
    """Run the parts on the library that the environment names."""
    library.library_path = lambda: Path(os.environ[_BUILT])
    engine = library.engine()
    if engine is None:
        sys.exit("the sanitized library does not load")
    # Imported late: some of these modules would load the installed library.
    from benchmarks.sanitize import damaged, valid

    names = [] if given.races else [*damaged.PARTS]
    names += valid.PARTS
    if unknown := set(given.only) - set(names):
        sys.exit(f"no part {', '.join(unknown)}: there are {', '.join(names)}")
    for name in given.only or names:
        if name in damaged.PARTS:
            print(damaged.run(name, engine, given.payloads, given.seed), flush=True)
        else:
            print(valid.run(name, engine, given.rounds, given.seed), flush=True)


if __name__ == "__main__":
    main()
