"""Search, reading and writing of bundles.

    DIR/bundle.json · texture-2d.safetensors · texture-3d.safetensors · texture-between.safetensors
        · shape.safetensors · template.nii.gz · README.md

A bundle is identified by the SHA-256 of its ``bundle.json``, which holds the hashes of the other
files. Bundles come with the package, lie in the user's data folder, or are given by their path.
Users name a bundle by its folder. Compressed files name it by its hash, so the folder's name does
not matter to them.
"""

from __future__ import annotations

import gzip
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import platformdirs
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from deepstd.bundle.manifest import Manifest, faults, on_one_line
from deepstd.container import BUNDLE_DIGEST_BYTES, BundleRef
from deepstd.errors import BundleError, BundleNotFoundError
from deepstd.io import needing, room_told

_MANIFEST = "bundle.json"
_TEMPLATE = "template.nii.gz"
_SHAPE = "shape.safetensors"
_CARD = "README.md"
_FILE_LIMIT = 1 << 30  # bytes


@dataclass(frozen=True)
class Bundle:
    """A bundle in memory, its hashes checked.

    Attributes:
        manifest: contents of ``bundle.json``.
        folder: path of the bundle.
        digest: SHA-256 of ``bundle.json``, 32 bytes.
        textures: arrays of each texture network, by its name in the manifest.
        shape: arrays of the shape model, template included; None without a template.
    """

    manifest: Manifest
    folder: Path
    digest: bytes
    textures: Mapping[str, Mapping[str, np.ndarray]]
    shape: Mapping[str, np.ndarray] | None

    @property
    def reference(self) -> BundleRef:
        """Name, version and shortened hash, as a .dstd file states them."""
        return _reference(self.manifest, self.digest)

    def paths(self, folder: Path) -> list[Path]:
        """Return the paths of all files of the bundle in a folder."""
        return [folder / name for name in (_MANIFEST, *self.manifest.files)]

    @property
    def card(self) -> str:
        """Model card in Markdown; empty where the bundle has none."""
        path = self.folder / _CARD
        return path.read_text(encoding="utf-8") if path.is_file() else ""


def folders() -> list[Path]:
    """Return the folders that are searched for bundles: the package's own, then the user's."""
    embedded = Path(str(resources.files("deepstd.bundle") / "embedded"))
    own = os.environ.get("DEEPSTD_HOME") or platformdirs.user_data_dir("deepstd")
    return [embedded, Path(own) / "bundles"]


def available() -> list[Path]:
    """Return the folders of all bundles that can be found by name."""
    return [
        path.parent
        for folder in folders()
        if folder.is_dir()
        for path in sorted(folder.glob(f"*/{_MANIFEST}"))
    ]


def find(name: str) -> Path:
    """Return the folder of a bundle given by name or path.

    Raises:
        BundleNotFoundError: there is no such bundle; the message lists the folders searched.
    """
    direct = Path(name)
    if (direct / _MANIFEST).is_file():
        return direct
    for folder in folders():
        if os.sep not in name and (folder / name / _MANIFEST).is_file():
            return folder / name
    known = sorted({path.name for path in available()})
    looked = ", ".join(str(f) for f in folders())
    raise BundleNotFoundError(
        f"no bundle {name!r}: it is neither a bundle's folder nor among those installed "
        f"({', '.join(known) or 'none'}). Looked in {looked}. "
        "`deepstd model list` shows what there is; `deepstd train` makes one."
    )


def load(folder: Path) -> Bundle:
    """Read a bundle and check every file against its hash.

    Raises:
        BundleError: a file is missing, damaged or not understood; the message names the file.
    """
    manifest, identity = _described(folder)
    contents = {}
    for name, digest in manifest.files.items():
        contents[name] = _read(folder / name)
        found = hashlib.sha256(contents[name]).hexdigest()
        if found != digest:
            raise BundleError(
                f"{folder / name}: the file is damaged or was changed (SHA-256 {found[:16]}…, "
                f"expected {digest[:16]}…). Install the bundle again."
            )
    textures = {part: _arrays(contents, _texture_file(part), folder) for part in manifest.networks}
    shape = None
    if manifest.shape is not None:
        shape = {**_arrays(contents, _SHAPE, folder), "template": _template(contents, folder)}
    return Bundle(manifest, folder, identity, textures, shape)


def load_exact(wanted: BundleRef) -> Bundle:
    """Read the installed bundle with a name, version and hash, from a folder of any name.

    Only the description of other bundles is read. Damaged bundles are skipped, also a damaged copy
    of the wanted bundle where another copy is intact.

    Raises:
        BundleNotFoundError: no installed bundle has this hash.
        BundleError: the bundle with this hash is damaged; the message names the file.
    """
    others: list[BundleRef] = []
    unreadable: list[Path] = []
    damaged: BundleError | None = None
    for folder in available():
        try:
            reference = _reference(*_described(folder))
        except BundleError:
            unreadable.append(folder)
            continue
        if reference != wanted:
            others.append(reference)
            continue
        try:
            return load(folder)
        except BundleError as error:
            damaged = damaged or error
    raise damaged or _not_installed(wanted, others, unreadable)


def save(
    folder: Path,
    description: Mapping[str, object],
    textures: Mapping[str, Mapping[str, np.ndarray]],
    shape: Mapping[str, np.ndarray] | None,
    template_affine: np.ndarray | None,
    card: str,
) -> Bundle:
    """Write a new bundle and read it back.

    Args:
        folder: new or without a bundle, as bundles never change.
        description: the manifest without its hashes.
        textures: arrays of each texture network.
        shape: arrays of the shape model, "template" among them, or None.
        template_affine: 4x4 voxel-to-world matrix of the template, or None.
        card: model card in Markdown.

    Raises:
        BundleError: the folder holds a bundle.
        InputError: the files cannot be written.
    """
    if (folder / _MANIFEST).exists():
        raise BundleError(f"{folder}: there is a bundle already, and bundles never change")
    folder.mkdir(parents=True, exist_ok=True)
    contents = {_texture_file(n): save_arrays(dict(a)) for n, a in textures.items()}
    if shape is not None:
        import nibabel

        arrays = dict(shape)
        image = nibabel.Nifti1Image(arrays.pop("template"), template_affine)
        contents[_TEMPLATE] = gzip.compress(image.to_bytes(), mtime=0)
        contents[_SHAPE] = save_arrays(arrays)
    contents[_CARD] = card.encode()
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    manifest = Manifest.model_validate({**description, "files": hashes})
    with room_told(folder, folder), needing(sum(map(len, contents.values()))):
        for name, data in contents.items():
            (folder / name).write_bytes(data)
        (folder / _MANIFEST).write_text(manifest.model_dump_json(indent=1), encoding="utf-8")
    return load(folder)


def _described(folder: Path) -> tuple[Manifest, bytes]:
    """Read the description of a bundle and its SHA-256.

    Raises:
        BundleError: the file cannot be read or is no description.
    """
    raw = _read(folder / _MANIFEST)
    try:
        manifest = Manifest.model_validate_json(raw)
    except ValidationError as error:
        raise BundleError(
            f"{folder / _MANIFEST}: not a bundle's description ({faults(error)}). Install the "
            "bundle again; one of a newer release needs that release"
        ) from error
    return manifest, hashlib.sha256(raw).digest()


def _reference(manifest: Manifest, digest: bytes) -> BundleRef:
    return BundleRef(manifest.name, manifest.version, digest[:BUNDLE_DIGEST_BYTES])


def _not_installed(
    wanted: BundleRef, others: list[BundleRef], unreadable: list[Path]
) -> BundleNotFoundError:
    """Make the error for a missing bundle, with the bundles found and the folders searched."""
    namesakes = [_in_words(other) for other in others if other.name == wanted.name]
    known = namesakes or sorted({other.name for other in others})
    damaged = f" Damaged: {', '.join(map(str, unreadable))}." if unreadable else ""
    looked = folders()
    return BundleNotFoundError(
        f"its bundle {_in_words(wanted)} is not installed. There is: {', '.join(known) or 'none'}."
        f"{damaged} Looked in {', '.join(map(str, looked))}. Copy its folder into {looked[-1]}, "
        "under any name, from where the file was written, or give it with -m FOLDER."
    )


def _in_words(reference: BundleRef) -> str:
    return f"{reference.name} {reference.version} ({reference.digest.hex()})"


def _texture_file(part: str) -> str:
    return f"texture-{part}d.safetensors" if part.isdigit() else f"texture-{part}.safetensors"


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > _FILE_LIMIT:
            raise BundleError(f"{path}: larger than a bundle's file can be")
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path}: the bundle is incomplete: {error.strerror}") from error


def _arrays(contents: Mapping[str, bytes], name: str, folder: Path) -> dict[str, np.ndarray]:
    try:
        return load_arrays(contents[name])
    except (KeyError, SafetensorError, ValueError) as error:
        raise BundleError(
            f"{folder / name}: not readable as safetensors ({on_one_line(error)}). Install the "
            "bundle again"
        ) from error


def _template(contents: Mapping[str, bytes], folder: Path) -> np.ndarray:
    import nibabel  # not at the top: importing it doubles the time to find a bundle
    from nibabel.filebasedimages import ImageFileError

    try:
        image = nibabel.Nifti1Image.from_bytes(gzip.decompress(contents[_TEMPLATE]))
        return np.asarray(image.dataobj)
    except (
        KeyError,
        OSError,
        ValueError,
        EOFError,
        ImageFileError,
    ) as error:
        raise BundleError(
            f"{folder / _TEMPLATE}: not a readable template ({on_one_line(error)}). Install the "
            "bundle again"
        ) from error
