"""Compile the native engine while the package is built: csrc/*.c ─▶ one shared library.

A compiler of the system serves where there is one; else the build asks for `ziglang`, a C compiler
that PyPI ships as a package. The library is loaded with ctypes and needs no Python headers, so one
wheel serves all Python versions of a platform. A build that fails leaves the engine out: DeepSTD
then computes the same in Python, slower, and `deepstd doctor` says so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ENGINE = Path("src/deepstd/engine")
NAMES = {"darwin": "libdeepstd_engine.dylib", "win32": "libdeepstd_engine.dll"}
# Products and sums stay separate operations: fused, they would round once instead of twice.
FLAGS = ("-O3", "-std=c11", "-ffp-contract=off", "-fvisibility=hidden", "-shared")


class EngineBuildHook(BuildHookInterface):
    """Hatch's hook that adds the compiled engine to a wheel."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Return the packages that the build needs besides hatchling."""
        return [] if system_compiler() else ["ziglang>=0.13"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and mark the wheel as one for this platform."""
        if self.target_name != "wheel":
            return
        library = Path(self.root) / ENGINE / NAMES.get(sys.platform, "libdeepstd_engine.so")
        try:
            compile_engine(Path(self.root) / ENGINE / "csrc", library)
        except (OSError, subprocess.CalledProcessError) as error:
            message = getattr(error, "stderr", "") or error
            self.app.display_warning(f"the native engine is left out: {message}")
            return
        build_data["artifacts"].append(f"/{ENGINE.as_posix()}/{library.name}")
        build_data["pure_python"] = False
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{platform}"


def system_compiler() -> str | None:
    """Return a C compiler on the PATH, $CC first."""
    candidates = (os.environ.get("CC"), "cc", "gcc", "clang")
    return next((found for name in candidates if name and (found := shutil.which(name))), None)


def compile_engine(sources: Path, library: Path) -> None:
    """Compile all C sources of a folder to a shared library.

    Raises:
        OSError, subprocess.CalledProcessError: no compiler could be run, or it failed.
    """
    compiler = system_compiler()
    command = [compiler] if compiler else [sys.executable, "-m", "ziglang", "cc"]
    if sys.platform != "win32":
        command += ["-fPIC", "-pthread"]
    files = sorted(map(str, sources.glob("*.c")))
    made = library.with_name(f"{library.name}.{os.getpid()}")
    try:
        subprocess.run(
            [*command, *FLAGS, "-o", str(made), *files, "-lm"],
            check=True,
            capture_output=True,
            text=True,
        )
        made.replace(library)
    finally:
        made.unlink(missing_ok=True)
