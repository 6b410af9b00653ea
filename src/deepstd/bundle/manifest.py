"""``bundle.json``: what a bundle is, and the hashes that make it what it is."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Version = Annotated[str, Field(pattern=r"^[0-9][0-9A-Za-z.+-]{0,63}$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


_MOST_FAULTS = 3
_MOST_LETTERS = 200


class Manifest(BaseModel):
    """Contents of ``bundle.json``.

    Attributes:
        schema_version: of this description.
        name, version: together with the hash, the bundle's identity.
        modality, body_part, description, licence: for people.
        networks: sizes of the texture network for each number of axes, "2" or "3", and of that for
            slices between others, "between".
        rate_weight: squared steps that a bit is worth in the quantiser.
        shape: what the shape model has besides arrays; None without a template.
        files: SHA-256 of every other file of the bundle.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    name: Name
    version: Version
    modality: str
    body_part: str
    description: str
    licence: str
    networks: dict[Literal["2", "3", "between"], dict[str, Any]]
    rate_weight: Annotated[float, Field(ge=0.0, lt=0.5)]
    shape: dict[str, Any] | None = None
    files: dict[FileName, Digest]


def faults(error: ValidationError) -> str:
    """Return what is wrong with a description, on one line: each field, and what it should be."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    told = [_fault(one["loc"], one["msg"]) for one in found[:_MOST_FAULTS]]
    more = len(found) - len(told)
    return "; ".join([*told, *([f"and {more} more"] if more else [])])


def on_one_line(error: Exception) -> str:
    """Return a library's message as part of a sentence, or its kind where it has none."""
    words = " ".join(str(error).split()) or type(error).__name__
    return words if len(words) <= _MOST_LETTERS else f"{words[:_MOST_LETTERS]}…"


def _fault(place: tuple[int | str, ...], message: str) -> str:
    """Return a field and a message of pydantic, which begins with a capital."""
    told = message[:1].lower() + message[1:]
    return ".".join(map(str, place)) + ": " + told if place else told
