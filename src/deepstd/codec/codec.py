"""Codec: a volume and a model bundle to a .dstd file, and back.

Volume ─ frames ─ special values out ─▶ values
  values ─ SHAPE: register ─ quantise ─ encode, DECODE AGAIN ─▶ warped template, coordinates
  values, warped template ─ TEXTURE: level loop ─▶ payloads   ◀── rate search on the file size
  payloads ─ decode again, measure ─▶ container

container ─ shape, texture (levels wanted) ─▶ values ─ special values in ─▶ Volume, or a preview
"""

from __future__ import annotations

from deepstd import bundle as bundles
from deepstd.bundle import Bundle
from deepstd.codec import decoder, layered, without_bundle
from deepstd.codec.compressed import Compressed
from deepstd.codec.encoder import Encoding
from deepstd.codec.model import Model
from deepstd.codec.protection import Protection
from deepstd.codec.to_quality import begun
from deepstd.container import Beginning, Container, parse
from deepstd.errors import RateError
from deepstd.progress import Progress, Show
from deepstd.rate.effort import NORMAL
from deepstd.rate.target import Target
from deepstd.volume import Volume


class Codec:
    """Encoder and decoder of one model bundle, loaded once for many scans.

    Attributes:
        model: networks and template of the bundle.
    """

    def __init__(self, bundle: Bundle, device: str = "cpu") -> None:
        self.model = Model(bundle, device)

    @property
    def bundle(self) -> Bundle:
        """The bundle."""
        return self.model.bundle

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
        protect: Protection | None = None,
        progress: Show | None = None,
    ) -> Compressed:
        """Compress a scan to a file that fills 0.997 to 1.000 of the requested size.

        With a quality the file is the smallest found that keeps it. A lossless file needs no
        bundle and has the size that it needs.

        Args:
            volume: scan of 2 to 4 axes.
            target: requested size or quality, or a lossless file.
            shape: "auto" to keep the deformation field if it pays at equal bytes, "on" to keep it
                always, "off" to code none.
            effort: "fast", "normal" or "best": time spent on a smaller error in the same bytes.
            protect: regions that shall get the fidelity of the rest; None for none.
            progress: called with a sentence at each stage; None to show nothing.

        Returns:
            bytes of the file, with its quality and sizes.

        Raises:
            InputError: the bundle has no network for the scan's axes.
            RateError: the size or the quality cannot be reached, or both are given.
        """
        told = Progress(progress)
        found = without_bundle.encode(volume, target, told)
        if found is not None:
            return found
        if target.conditional:
            raise RateError("give a size or a quality; `deepstd.compress` takes both")
        if target.goal is not None:
            (job,) = begun([self.model], volume, target.goal, effort, told, shape=shape)
        else:
            job = Encoding.of(self.model, volume, target, shape=shape, effort=effort, progress=told)
        return job.finish(job.best(), protect)

    def decompress(self, data: bytes, *, name: str = "the file") -> Volume:
        """Restore the scan of a .dstd file in memory; ``name`` names the file in messages."""
        return self.decode(parse(data, name))

    def decode(self, container: Container, *, lossy: bool = False) -> Volume:
        """Decode a parsed file, exactly where it has an exact part.

        Args:
            container: the parsed file.
            lossy: True to leave out the exact part.
        """
        if container.exact_part is None or lossy:
            return decoder.decode(self.model, container)
        return layered.decode(container, lambda: self.predict(container))

    def predict(self, container: Container) -> Volume:
        """Decode the lossy part of a file without filters, the same on every machine."""
        return decoder.unfiltered(self.model, container)

    def preview(self, beginning: Beginning, level: int) -> Volume:
        """Decode a file at a lower resolution; forwards to `deepstd.codec.decoder.preview`."""
        return decoder.preview(self.model, beginning, level)
