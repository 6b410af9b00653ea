"""``deepstd`` offers the names it says it does, no more, and loads them only when used."""

from __future__ import annotations

import ast
import inspect
import pkgutil
import subprocess
import sys
import typing
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path

import pytest

import deepstd
from deepstd import errors

# Passed on from one function to another; their fields are not for users.
HANDLES = {"Beginning", "Bundle", "Container"}


def test_all_names_are_there_and_sorted() -> None:
    assert deepstd.__all__ == sorted(deepstd.__all__)
    for name in deepstd.__all__:
        assert getattr(deepstd, name).__module__.startswith("deepstd.")
    assert set(deepstd.__all__) <= set(dir(deepstd))


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(deepstd.__file__).read_text(encoding="utf-8"))
    blocks = [node for node in tree.body if isinstance(node, ast.If)]
    assert len(blocks) == 1
    imports = [node for node in blocks[0].body if isinstance(node, ast.ImportFrom)]
    homes = {alias.name: node.module for node in imports for alias in node.names}
    assert homes == deepstd._HOMES
    assert sorted(homes) == deepstd.__all__


def test_nothing_else_is_public() -> None:
    public = {
        name
        for name, value in vars(deepstd).items()
        if not name.startswith("_") and getattr(value, "__module__", "").startswith("deepstd")
    }
    assert public <= set(deepstd.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(deepstd, "no_such_name")


def test_names_that_need_no_network_load_no_torch() -> None:
    names = ("Volume", "Target", "Metadata", "Outputs", "FileInfo", "RateError", "info", "compress")
    used = "; ".join(f"deepstd.{name}" for name in names)
    code = f"import sys, deepstd; {used}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import sys, deepstd; sys.exit(any(m in sys.modules for m in ('torch', 'numpy')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_error_is_public() -> None:
    every = {name for name, value in vars(errors).items() if isinstance(value, type)}
    every &= {name for name in every if name.endswith("Error")}
    assert len(every) > 10
    assert every <= set(deepstd.__all__)
    for name in every:
        assert getattr(deepstd, name) is getattr(errors, name)


@pytest.mark.parametrize("name", deepstd.__all__)
def test_types_in_public_signatures_are_public(name: str) -> None:
    named = {cls.__name__ for cls in types_of(getattr(deepstd, name))}
    assert named <= set(deepstd.__all__)


def test_signatures_are_looked_into() -> None:
    named = {cls.__name__ for cls in types_of(deepstd.Codec)}
    assert {"Bundle", "Codec", "Compressed", "Container", "Target", "Volume"} <= named
    assert {cls.__name__ for cls in types_of(deepstd.FileInfo)} >= {"BundleRef", "Quality"}
    assert {cls.__name__ for cls in types_of(deepstd.compress)} >= {"CompressReport", "Metadata"}


def types_of(thing: type | typing.Callable[..., object]) -> Iterator[type]:
    """Yield the classes of this package that signatures and fields of a public name mention."""
    # What a module has imported goes before classes of the same name elsewhere.
    known = classes_of_package() | vars(sys.modules[thing.__module__])
    for signature in signatures_of(thing):
        for hint in typing.get_type_hints(signature, localns=known).values():
            yield from classes_in(hint)
    if isinstance(thing, type) and is_dataclass(thing) and thing.__name__ not in HANDLES:
        hints = typing.get_type_hints(thing, localns=known)
        for field in fields(thing):
            yield from classes_in(hints[field.name])


def signatures_of(thing: object) -> Iterator[object]:
    if inspect.isfunction(thing):
        yield thing
        return
    for name, member in vars(thing).items():
        if isinstance(member, property):
            member = member.fget
        elif isinstance(member, staticmethod | classmethod):
            member = member.__func__
        generated = is_dataclass(thing) and name == "__init__"  # the fields say the same
        public = not name.startswith("_") or name == "__init__"
        if inspect.isfunction(member) and public and not generated:
            yield member


def classes_in(hint: object) -> Iterator[type]:
    if isinstance(hint, type) and hint.__module__.startswith("deepstd."):
        yield hint
    for argument in typing.get_args(hint):
        for part in argument if isinstance(argument, list) else [argument]:
            yield from classes_in(part)


def classes_of_package() -> dict[str, type]:
    """Return the classes that annotations mention by name, imported for type checkers alone."""
    for module in ("codec", "shape", "registration"):
        package = import_module(f"deepstd.{module}")
        for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            import_module(found.name)
    return {
        name: value
        for module in list(sys.modules.values())
        if module.__name__.startswith("deepstd.")
        for name, value in list(vars(module).items())
        if isinstance(value, type) and value.__module__.startswith("deepstd.")
    }
