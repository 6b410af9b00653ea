"""``bundle.json``: description of a bundle, and the hashes of its files."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Version = Annotated[str, Field(pattern=r"^[0-9][0-9A-Za-z.+-]{0,63}$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


_MOST_FAULTS = 3  # faults that a message lists
_MOST_LETTERS = 200  # characters of a library's message


class Manifest(BaseModel):
    """Contents of ``bundle.json``.

    Attributes:
        schema_version: version of this description.
        name, version: identity of the bundle, together with the hash of this file.
        modality, body_part, description, licence: texts for people.
        networks: configuration of each texture network: "2" and "3" by the number of axes,
            "between" for bidirectionally predicted slices.
        rate_weight: λ of the quantiser, in squared quantisation steps per bit.
        shape: configuration of the shape model; None without a template.
        files: SHA-256 in hexadecimal of every other file, by its name.
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
    """Return the faults of a description on one line: each field and its expected value."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    shown = [_fault(one["loc"], one["msg"]) for one in found[:_MOST_FAULTS]]
    more = len(found) - len(shown)
    return "; ".join([*shown, *([f"and {more} more"] if more else [])])


def on_one_line(error: Exception) -> str:
    """Return the message of a library's error on one line, or its type where it has no message."""
    words = " ".join(str(error).split()) or type(error).__name__
    return words if len(words) <= _MOST_LETTERS else f"{words[:_MOST_LETTERS]}…"


def _fault(field: tuple[int | str, ...], message: str) -> str:
    """Return a field and pydantic's message for it, with a small first letter."""
    text = message[:1].lower() + message[1:]
    return ".".join(map(str, field)) + ": " + text if field else text
