"""The .dstd file format: chunks with checksums, readable without a model.

    Head, source header, frames ─ write_container ─▶ bytes ─ parse ─▶ Container

The format is specified in docs/format.md.
"""

from deepstd.container.digest import FrameChunks
from deepstd.container.format import Coding
from deepstd.container.head import (
    BUNDLE_DIGEST_BYTES,
    LARGEST_FIGURE,
    NO_BUNDLE,
    REGISTRATION_BYTES,
    BundleRef,
    Head,
    Registration,
)
from deepstd.container.layers import ExactPart, exact_part, exact_part_alone, joined
from deepstd.container.notes import pack_notes, printable
from deepstd.container.reader import (
    Beginning,
    Container,
    Description,
    Section,
    description_of,
    parse,
    parse_head_only,
    read_beginning,
    read_description,
)
from deepstd.container.smallest import least_bytes
from deepstd.container.source_header import (
    MAX_HEADER_BYTES,
    pack_source_header,
    unpack_source_header,
)
from deepstd.container.writer import About, write_container, write_exact_container

__all__ = [
    "BUNDLE_DIGEST_BYTES",
    "LARGEST_FIGURE",
    "MAX_HEADER_BYTES",
    "NO_BUNDLE",
    "REGISTRATION_BYTES",
    "About",
    "Beginning",
    "BundleRef",
    "Coding",
    "Container",
    "Description",
    "ExactPart",
    "FrameChunks",
    "Head",
    "Registration",
    "Section",
    "description_of",
    "exact_part",
    "exact_part_alone",
    "joined",
    "least_bytes",
    "pack_notes",
    "pack_source_header",
    "parse",
    "parse_head_only",
    "printable",
    "read_beginning",
    "read_description",
    "unpack_source_header",
    "write_container",
    "write_exact_container",
]
