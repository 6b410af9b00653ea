"""Model: the networks and the template of a bundle, on the devices that share the work.

Bundle ─┬ texture networks ─▶ texture codecs, by number of axes ┬▶ Model
        └ template, shape model ────────────────────────────────┘
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import Any

from deepstd.bundle import Bundle
from deepstd.bundle.manifest import on_one_line
from deepstd.codec.frames import flat_axis
from deepstd.devices import Workers
from deepstd.errors import BundleError, DeepSTDError, InputError, named
from deepstd.shape.model import ShapeModel
from deepstd.texture.codec import TextureCodec
from deepstd.texture.description import part_named
from deepstd.texture.filters.postfilter import NoFilter
from deepstd.texture.kinds import BETWEEN, Part
from deepstd.texture.models import Network, codec_of, network_of
from deepstd.texture.slices.decoder import SliceNetworks
from deepstd.texture.wavelet.network import WaveletNetwork


class Model:
    """Networks and template of a bundle.

    Args:
        bundle: the bundle.
        device: "auto", "cpu", "cuda" or "cuda:N"; several with commas share the work.

    Attributes:
        bundle: the bundle.
        workers: devices that share the work.
        networks: texture networks by number of axes, and the network for non-reference slices.
        shape_model: template and shape model; None for a bundle without.

    Raises:
        BundleError: a description or an array of the bundle is invalid.
        DeviceError: the device is not available.
    """

    def __init__(self, bundle: Bundle, device: str) -> None:
        self.bundle = bundle
        self.workers = Workers.named(device)
        networks: dict[str, dict[str, Any]] = {**bundle.manifest.networks}
        try:
            with named(f"bundle {bundle.manifest.name}"):
                self.shape_model = shape_model_of(bundle)
                self._use(
                    {
                        part_named(part): network_of(networks[part], arrays, self.workers)
                        for part, arrays in bundle.textures.items()
                    }
                )
        except (TypeError, ArithmeticError, LookupError, RuntimeError, ValueError) as error:
            if isinstance(error, DeepSTDError):
                raise
            raise BundleError(
                f"bundle {bundle.manifest.name}: a description or an array is not such as this "
                f"release expects ({type(error).__name__}: {on_one_line(error)})"
            ) from error

    def _use(self, networks: Mapping[Part, Network]) -> None:
        """Take over networks and make their codecs."""
        self.networks = networks
        slices = _networks_of_slices(networks, self.shape_model)
        whole = {part: network for part, network in networks.items() if part != BETWEEN}
        if self.shape_model is None and any(n.config.template for n in whole.values()):
            name = self.bundle.manifest.name
            raise BundleError(f"bundle {name}: its networks expect a template")
        self._codecs = {
            part: codec_of(network, slices if part == 3 else None, self.workers)
            for part, network in whole.items()
        }

    @property
    def name(self) -> str:
        """Name and version of the bundle."""
        return f"{self.bundle.manifest.name} {self.bundle.manifest.version}"

    def unfiltered(self) -> Model:
        """Return the model without filters, whose results are the same on every machine.

        Raises:
            InputError: a network ends with floating-point arithmetic that is no filter.
        """
        networks: dict[Part, Network] = {}
        for part, network in self.networks.items():
            if not isinstance(network, WaveletNetwork):
                raise InputError(
                    f"the bundle {self.bundle.manifest.name} has an autoencoder, whose floats "
                    "differ from machine to machine: an exact part needs another bundle"
                )
            placed = dict.fromkeys(network.placed, NoFilter())
            networks[part] = replace(network, postfilter=NoFilter(), placed=placed)
        found = copy(self)
        found._use(networks)
        return found

    def codec_for(self, shape: Sequence[int]) -> tuple[TextureCodec, tuple[int, ...]]:
        """Return the codec for a frame, and the frame's shape without an axis of length one."""
        flat = flat_axis(shape)
        if flat is not None and 2 in self._codecs and self.shape_model is None:
            return self._codecs[2], tuple(n for a, n in enumerate(shape) if a != flat)
        if len(shape) in self._codecs:
            return self._codecs[len(shape)], tuple(shape)
        have = " and ".join(f"{n}-D" for n in (2, 3) if n in self.networks)
        raise InputError(
            f"the bundle {self.bundle.manifest.name} compresses {have} scans, not {len(shape)}-D "
            "ones. Use another bundle, for example -m generic."
        )


def _networks_of_slices(
    networks: Mapping[Part, Network], shape_model: ShapeModel | None
) -> SliceNetworks | None:
    images, between = networks.get(2), networks.get(BETWEEN)
    if between is not None:
        fits = isinstance(between, WaveletNetwork) and between.config.template
        if not fits or between.config.ndim != 2:
            raise BundleError("its network for slices between others is not one for such slices")
    if shape_model is not None or not isinstance(images, WaveletNetwork):
        return None
    return SliceNetworks(images, between if isinstance(between, WaveletNetwork) else None)


def shape_model_of(bundle: Bundle) -> ShapeModel | None:
    """Return template and shape model of a bundle; None for a bundle without."""
    if bundle.manifest.shape is None or bundle.shape is None:
        return None
    return ShapeModel.from_tensors(bundle.shape, bundle.manifest.shape)
