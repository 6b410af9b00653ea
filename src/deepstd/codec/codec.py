"""Codec: a volume and a model bundle to a .dstd file, and back.

Volume ─ frames ─ special values out ─▶ values
  values ─ SHAPE: register ─ quantise ─ encode, DECODE AGAIN ─▶ warped template, coordinates
  values, warped template ─ TEXTURE: level loop ─▶ payloads   ◀── rate search on the file size
  payloads ─ decode again, measure ─▶ container

container ─ shape, texture (levels wanted) ─▶ values ─ special values in ─▶ Volume, or a preview
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from deepstd import bundle as bundles
from deepstd import io, special_values
from deepstd.bundle import Bundle
from deepstd.bundle.manifest import on_one_line
from deepstd.codec import constant
from deepstd.codec.compressed import Compressed
from deepstd.codec.encoder import Encoding, Progress
from deepstd.codec.file_builder import FrameShape
from deepstd.codec.frames import as_single, flat_axis, frames_of, stored
from deepstd.container import (
    LATENTS_DIGEST_BYTES,
    Beginning,
    Container,
    FrameChunks,
    parse,
)
from deepstd.devices import Workers
from deepstd.errors import (
    BundleError,
    DamagedError,
    DeepSTDError,
    GeometryError,
    InputError,
    named,
)
from deepstd.inspection import mismatch
from deepstd.rate.effort import NORMAL, effort_named
from deepstd.rate.target import Target
from deepstd.shape.codec import decode_field, encode_field
from deepstd.shape.conditioning import Conditioning, condition_on
from deepstd.shape.model import ShapeModel
from deepstd.shape.register import register
from deepstd.texture import codec as transforms
from deepstd.texture.filters.wiener import WienerFilter
from deepstd.texture.kinds import BETWEEN, Part
from deepstd.texture.models import Network, network_of, part_named
from deepstd.texture.slices.decoder import SliceNetworks
from deepstd.texture.wavelet.decoder import DecodedTexture
from deepstd.texture.wavelet.network import TextureNetwork
from deepstd.volume import Volume

# Largest ratio of a scan's extents to the template's.
_FIELD_OF_VIEW_FACTOR = 2.0


class Codec:
    """Encoder and decoder of one model bundle, loaded once for many scans."""

    def __init__(self, bundle: Bundle, device: str = "cpu") -> None:
        self.bundle = bundle
        self.workers = Workers.named(device)
        networks: dict[str, dict[str, Any]] = {**bundle.manifest.networks}
        try:
            with named(f"bundle {bundle.manifest.name}"):
                self._shape_model = shape_model_of(bundle)
                self._networks = {
                    part_named(part): network_of(networks[part], arrays).to(self.workers.first)
                    for part, arrays in bundle.textures.items()
                }
                self._networks_of_slices = _networks_of_slices(self._networks, self._shape_model)
        except (TypeError, ArithmeticError, LookupError, RuntimeError, ValueError) as error:
            if isinstance(error, DeepSTDError):
                raise
            raise BundleError(
                f"bundle {bundle.manifest.name}: a description or an array is not such as this "
                f"release expects ({type(error).__name__}: {on_one_line(error)})"
            ) from error
        whole = [network for part, network in self._networks.items() if part != BETWEEN]
        if self._shape_model is None and any(network.config.template for network in whole):
            raise BundleError(f"bundle {bundle.manifest.name}: its networks expect a template")

    @staticmethod
    def load(name: str, *, device: str = "auto") -> Codec:
        """Load a bundle by name or folder.

        Args:
            name: name of an installed bundle, or folder of a bundle.
            device: "auto" (a GPU if there is one), "cpu", "cuda" or "cuda:N". Several devices with
                commas between share each scan.

        Raises:
            BundleError: the bundle is missing or damaged.
            DeviceError: the device is not available.
        """
        return Codec(bundles.load(bundles.find(name)), device)

    @property
    def networks(self) -> Mapping[Part, Network]:
        """Texture networks by number of axes, and the network for non-reference slices."""
        return self._networks

    @property
    def shape_model(self) -> ShapeModel | None:
        """Template and shape model; None for a bundle without."""
        return self._shape_model

    def suits(self, volume: Volume) -> bool:
        """Return True if the bundle was made for the axes and the field of view of a scan."""
        frame = frames_of(volume)[0]
        flat = flat_axis(frame.shape)
        ndim = frame.ndim if flat is None else 2
        if ndim not in self._networks and frame.ndim not in self._networks:
            return False
        model = self._shape_model
        if model is None:
            return True
        affine = io.placement_of(volume.source)
        if frame.ndim != model.ndim:
            return False
        ours, theirs = np.array(model.template.shape, float), np.array(frame.shape, float)
        if affine is not None and model.affine is not None:
            ours *= np.linalg.norm(model.affine[:3, : model.ndim], axis=0)
            theirs *= np.linalg.norm(affine[:3, : model.ndim], axis=0)
        else:
            ours, theirs = ours / ours.max(), theirs / theirs.max()
        # Axes may be permuted: compare the sorted extents.
        ratio = np.sort(theirs) / np.sort(ours)
        return bool(
            (ratio < _FIELD_OF_VIEW_FACTOR).all() and (ratio > 1 / _FIELD_OF_VIEW_FACTOR).all()
        )

    def compress(
        self,
        volume: Volume,
        *,
        ratio: float | None = None,
        bpv: float | None = None,
        max_bytes: int | None = None,
        shape: str = "auto",
        effort: str = NORMAL,
    ) -> bytes:
        """Compress a scan to the bytes of a .dstd file; forwards to `encode`.

        Exactly one of compression ratio, bits per voxel and bytes of the file is given.
        """
        target = Target(ratio, bpv, max_bytes)
        return self.encode(volume, target, shape=shape, effort=effort).data

    def encode(
        self,
        volume: Volume,
        target: Target,
        *,
        shape: str = "auto",
        effort: str = NORMAL,
        progress: Progress = lambda message: None,
    ) -> Compressed:
        """Compress a scan to a file that fills 0.997 to 1.000 of the requested size.

        Args:
            volume: scan of 2 to 4 axes.
            target: requested size.
            shape: "auto" to keep the deformation field if it pays at equal bytes, "on" to keep it
                always, "off" to code none.
            effort: "fast", "normal" or "best": time spent on a smaller error in the same bytes.
            progress: called with a sentence at each stage.

        Returns:
            bytes of the file, with its quality and sizes.

        Raises:
            InputError: the bundle has no network for the scan's axes.
            RateError: the size cannot be reached.
        """
        if shape not in ("auto", "on", "off"):
            raise InputError(f"shape must be auto, on or off, not {shape!r}")
        exact = constant.encode(volume, target)
        if exact is not None:
            return exact
        volume = io.with_own_header(volume)
        nbytes = target.bytes_for(volume.voxels.size, volume.nbytes)
        job = Encoding(self, volume, nbytes, effort_named(effort), progress)
        shape = "off" if self._shape_model is None else shape
        return job.finish(job.best(shape=shape))

    def decompress(self, data: bytes, *, name: str = "the file") -> Volume:
        """Restore the scan of a .dstd file in memory; ``name`` names the file in messages."""
        return self.decode(parse(data, name))

    def decode(self, container: Container) -> Volume:
        """Decode a parsed file.

        Raises:
            BundleMismatchError: the file was written with another bundle.
            DamagedError: the payload is malformed, or the decoded latents differ from the encoded
                latents.
        """
        if constant.is_without_texture(container):
            return constant.decode(container)
        head = container.head
        own = self.bundle.reference
        if head.bundle != own:
            raise mismatch(container)
        with named(container.name):
            volume, latents = self._decode(container, 0, container.wiener)
            if latents[:LATENTS_DIGEST_BYTES] != container.latents_digest:
                raise DamagedError(
                    f"{container.name}: the decoded symbols are not those that were encoded. The "
                    "file passed its checksums, so please report this with the output of "
                    "`deepstd doctor`."
                )
            return volume

    def preview(self, beginning: Beginning, level: int) -> Volume:
        """Decode a file without its finest wavelet levels, at half, a quarter … of the resolution.

        Axes with thick voxels are halved later, as the wavelet splits them later. The first voxel
        keeps its position. The hash of the file cannot be checked.

        Args:
            beginning: first part of a file, or the whole parsed file.
            level: 1 for half of the resolution, 2 for a quarter, and so on.

        Raises:
            InputError: the scan has fewer levels.
            BundleMismatchError: the file was written with another bundle.
            DamagedError: the payload is malformed.
        """
        if level < 1:
            raise InputError(f"a preview leaves out at least one level, not {level}")
        if constant.is_without_texture(beginning):
            return constant.decode(beginning, level)
        if beginning.head.bundle != self.bundle.reference:
            raise mismatch(beginning)
        with named(beginning.name):
            return self._decode(beginning, level)[0]

    def _decode(
        self, container: Beginning, level: int, wiener: bytes | None = None
    ) -> tuple[Volume, bytes]:
        """Decode a scan or a preview, and return it with the hash of the decoded symbols."""
        head = container.head
        source = container.source_header()
        try:
            affine = io.check_header(source, head.shape, head.dtype)
            placement = io.placement_of(source)
        except InputError as error:
            raise DamagedError(f"the header of the original scan is damaged: {error}") from error
        frame_shape = head.shape[:3]
        factors = self._check_frames(container, level)
        filtered = self._filter_of(wiener, frame_shape, container.name)
        kept = tuple(-(-n // f) for n, f in zip(frame_shape, factors, strict=True))
        voxels = np.empty((*kept, *head.shape[3:]), dtype=head.dtype)
        latents = hashlib.sha256()
        special: special_values.Specials | None = None
        for number, chunks in enumerate(container.frames):
            special = special_values.unpacked(chunks.specials, special, frame_shape, container.name)
            removed = None if special is None else special.subsampled(factors)
            part = self._shape_of_file(chunks, frame_shape, placement)
            texture = self._decode_texture(chunks, frame_shape, part, container.name, level)
            latents.update(texture.latents)
            steps = filtered(texture.steps).reshape(kept)
            scale = texture.step, texture.offset
            frame = stored(steps, *scale, head.dtype, removed, nonnegative=head.nonnegative)
            voxels[(..., number) if len(head.shape) == 4 else ...] = frame
        source_nbytes = head.source_nbytes
        if level:
            source = io.subsampled(source, voxels.shape, factors)
            affine = io.affine_of(source)
            source_nbytes = None
        volume = Volume(voxels, affine, source, container.notes, source_nbytes)
        return io.requantised(volume), latents.digest()

    def _check_frames(self, container: Beginning, level: int) -> tuple[int, ...]:
        """Check all textures before memory is taken, and return a preview's factor per axis."""
        shape = container.head.shape[:3]
        network, seen = self.network_for(shape)
        flat = flat_axis(shape) if len(seen) < len(shape) else None
        found = set()
        for chunks in container.frames:
            parts = self.networks_of_slices(shape), chunks.texture, chunks.tiles
            factors = [*transforms.check(network, *parts, seen, name=container.name, level=level)]
            if flat is not None:
                factors.insert(flat, 1)
            found.add(tuple(factors))
        if len(found) != 1:
            raise DamagedError("its frames have different voxel proportions")
        return found.pop()

    def _filter_of(
        self, wiener: bytes | None, shape: tuple[int, ...], name: str
    ) -> Callable[[np.ndarray], np.ndarray]:
        """Return the function that applies the Wiener filter of a file, or the identity."""
        if wiener is None:
            return lambda steps: steps
        network, seen = self.network_for(shape)
        found = WienerFilter.unpack(wiener, len(seen), network.tables, name)
        return lambda steps: found.apply(steps, self.workers)

    def network_for(self, shape: Sequence[int]) -> tuple[Network, tuple[int, ...]]:
        """Return the network for a frame, and the frame's shape without an axis of length one."""
        flat = flat_axis(shape)
        if flat is not None and 2 in self._networks and self._shape_model is None:
            return self._networks[2], tuple(n for a, n in enumerate(shape) if a != flat)
        if len(shape) in self._networks:
            return self._networks[len(shape)], tuple(shape)
        have = " and ".join(f"{n}-D" for n in (2, 3) if n in self._networks)
        raise InputError(
            f"the bundle {self.bundle.manifest.name} compresses {have} scans, not {len(shape)}-D "
            "ones. Use another bundle, for example -m generic."
        )

    def networks_of_slices(self, shape: Sequence[int]) -> SliceNetworks | None:
        """Return the networks for coding a frame slice by slice; None if that is impossible."""
        return self._networks_of_slices if len(shape) == 3 else None

    def shape_of_scan(
        self, values: np.ndarray, affine: np.ndarray | None, *, field: bool
    ) -> FrameShape:
        """Code a deformation field if ``field``; return the conditioning that a decoder gets."""
        model = self._shape_model
        if model is None:
            return FrameShape(None, None, None)
        payload, code, report = None, None, None
        if field:
            tables = self._networks[model.ndim].tables
            fitted, report = register(as_single(values), affine, model)
            payload = encode_field(fitted, model, tables)
            code = decode_field(payload, model, tables)
        conditioning = condition_on(model, code, values.shape, affine, self.workers)
        return FrameShape(conditioning, payload, report)

    def _shape_of_file(
        self, chunks: FrameChunks, shape: tuple[int, ...], affine: np.ndarray | None
    ) -> Conditioning | None:
        model = self._shape_model
        if model is None:
            if chunks.shape is not None:
                raise DamagedError("the file has a deformation field, its bundle no template")
            return None
        code = None
        if chunks.shape is not None:
            code = decode_field(chunks.shape, model, self._networks[model.ndim].tables)
        try:
            return condition_on(model, code, shape, affine, self.workers)
        except GeometryError as error:
            raise DamagedError(f"the scan's geometry is damaged: {error}") from error

    def _decode_texture(
        self,
        chunks: FrameChunks,
        shape: tuple[int, ...],
        conditioning: Conditioning | None,
        name: str,
        level: int,
    ) -> DecodedTexture:
        network, seen = self.network_for(shape)
        return transforms.decode(
            network,
            self.networks_of_slices(shape),
            chunks.texture,
            chunks.tiles,
            seen,
            None if conditioning is None else conditioning.template,
            None if conditioning is None else conditioning.places,
            name=name,
            workers=self.workers,
            level=level,
        )


def _networks_of_slices(
    networks: Mapping[Part, Network], shape_model: ShapeModel | None
) -> SliceNetworks | None:
    images, between = networks.get(2), networks.get(BETWEEN)
    if between is not None:
        fits = isinstance(between, TextureNetwork) and between.config.template
        if not fits or between.config.ndim != 2:
            raise BundleError("its network for slices between others is not one for such slices")
    if shape_model is not None or not isinstance(images, TextureNetwork):
        return None
    return SliceNetworks(images, between if isinstance(between, TextureNetwork) else None)


def shape_model_of(bundle: Bundle) -> ShapeModel | None:
    """Return template and shape model of a bundle; None for a bundle without."""
    if bundle.manifest.shape is None or bundle.shape is None:
        return None
    return ShapeModel.from_tensors(bundle.shape, bundle.manifest.shape)
