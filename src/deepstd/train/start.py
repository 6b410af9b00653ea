"""Start of a run from the networks of a finished bundle.

bundle ┬ ShapeModel ────────────────────────────────────▶ unchanged
       └ TextureNetwork ─ grow to the sizes of the run ─▶ network with unchanged output

Growth does not change the output at first: the weights that read new channels are 0, and new
residual blocks add nothing (after Chen et al. 2016, Net2Net).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from deepstd.errors import InputError, named
from deepstd.shape.model import ShapeModel
from deepstd.texture.description import Config, description_of, part_named
from deepstd.texture.kinds import AUTOENCODER, BETWEEN, Part
from deepstd.texture.networks.integer import thawed
from deepstd.texture.networks.network import TextureNetwork
from deepstd.texture.networks.postfilter import PostFilter
from deepstd.texture.trainable import Trainable, trainable_of, untrained
from deepstd.texture.wavelet.network import TextureConfig

if TYPE_CHECKING:
    from deepstd.bundle import Bundle

# Bias of a head of `context.LevelContext` that closes its gate.
_CLOSED_GATE = -0.5


@dataclass(frozen=True)
class Start:
    """Bundle that a run begins with.

    Attributes:
        name: name and version of the bundle, for the model card.
        shape: template and shape model of the bundle, or None.
        networks: texture networks of the bundle.
    """

    name: str
    shape: ShapeModel | None
    networks: Mapping[Part, Trainable]

    @staticmethod
    def of(bundle: Bundle) -> Start:
        """Return the start from a bundle.

        Raises:
            BundleError: a description or an array of the bundle is invalid.
        """
        manifest = bundle.manifest
        shape = None
        if bundle.shape is not None and manifest.shape is not None:
            shape = ShapeModel.from_tensors(bundle.shape, manifest.shape)
        descriptions: dict[str, Any] = {**manifest.networks}
        with named(f"bundle {manifest.name}"):
            networks = {
                part_named(part): trainable_of(descriptions[part], arrays)
                for part, arrays in bundle.textures.items()
            }
        return Start(f"{manifest.name} {manifest.version}", shape, networks)

    def gives(self, part: Part, config: Config) -> bool:
        """Return whether a network of given sizes begins with the bundle's: of one transform."""
        own = self.networks.get(part)
        return own is None or isinstance(own, TextureNetwork) == isinstance(config, TextureConfig)

    def network(self, part: Part, config: Config) -> Trainable:
        """Return a network of given sizes, grown from the bundle's network.

        Autoencoders must have the bundle's sizes. A network of another transform begins at random:
        then the bundle gives its template and shape model alone. A bundle without a network for
        predicted slices starts it from the network for images.

        Args:
            part: key of the network.
            config: sizes of the new network.

        Raises:
            InputError: the bundle lacks the network, or has a larger one.
        """
        if part == BETWEEN and part not in self.networks:
            images = self._of(2)
            if not isinstance(images, TextureNetwork) or not isinstance(config, TextureConfig):
                raise InputError(f"{self.name} has no wavelet network for images to start from")
            return thinned(images, config)
        own = self._of(part)
        if isinstance(own, TextureNetwork) and isinstance(config, TextureConfig):
            return grow(own, config)
        if not self.gives(part, config):
            return untrained(config)
        if own.config != config:
            raise InputError(
                f"{self.name} cannot be the start: its network is {description_of(own.config)}, "
                f"the run's {description_of(config)}"
            )
        return thawed(deepcopy(own))

    def taken_over(self, part: Part, config: Config) -> Trainable:
        """Return a network to keep as it is: the bundle's own, or grown if the sizes differ."""
        own = self._of(part)
        return own if own.config == config else self.network(part, config)

    def sizes(self, ndims: Sequence[int]) -> dict[str, Any]:
        """Return the entries of a run's description with the bundle's sizes.

        Args:
            ndims: numbers of axes of the networks, 2 and 3.

        Raises:
            InputError: the bundle has no network for a number of axes.
        """
        entries: dict[str, Any] = {"template": self.shape is not None}
        for ndim in ndims:
            config = self._of(ndim).config
            entries[f"widths_{ndim}d"] = config.widths
            if isinstance(config, TextureConfig):
                entries[f"filter_{ndim}d"] = (config.filter_width, config.filter_blocks)
            else:
                entries["transform"] = AUTOENCODER
                entries["context_width"] = config.context_width
                entries[f"window_{ndim}d"] = config.window
        between = self.networks.get(BETWEEN)
        if between is not None and 3 in ndims and isinstance(between.config, TextureConfig):
            entries["widths_between"] = between.config.widths
            entries["filter_between"] = (between.config.filter_width, between.config.filter_blocks)
        return entries

    def _of(self, part: Part) -> Trainable:
        if part not in self.networks:
            name = part if part == BETWEEN else f"{part}-D"
            raise InputError(f"{self.name} has no {name} network to start from")
        return self.networks[part]


def grow(small: TextureNetwork, config: TextureConfig) -> TextureNetwork:
    """Return a larger network with the output of a smaller one.

    A network without a template may grow into one with a template, which it ignores at first.
    Levels without weights in the smaller network begin as copies of its coarsest level, and are no
    longer conditioned on their depth. A filter width of 0 drops the post-filter.

    Args:
        small: network to grow.
        config: sizes of the larger network.

    Raises:
        InputError: a size of the smaller network exceeds the size in ``config``.
    """
    before = small.config
    fits = (
        before.template <= config.template
        and (before.filter_width <= config.filter_width or config.filter_width == 0)
        and (before.filter_blocks <= config.filter_blocks or config.filter_width == 0)
        and len(before.widths) <= len(config.widths)
        and all(a <= b for a, b in zip(_padded(before.widths, config), config.widths, strict=True))
    )
    if not fits:
        raise InputError(
            f"a network of sizes {before.to_dict()} cannot grow to {config.to_dict()}: every size "
            "must be at least that of the bundle to start from, and a template cannot be given up"
        )
    large = TextureNetwork(config)
    last = len(before.widths) - 1
    with torch.no_grad():
        for index, level in enumerate(large.context.levels):
            _take_over(small.context.levels[min(index, last)], level)
            if config.template and not before.template:
                _close_gates(level)
        blocks = []
        if isinstance(small.postfilter, PostFilter) and isinstance(large.postfilter, PostFilter):
            _take_over(small.postfilter, large.postfilter)
            blocks = list(large.postfilter.blocks)[before.filter_blocks :]
        for block in blocks:
            nn.init.zeros_(block.get_parameter("second.weight"))
            nn.init.zeros_(block.get_parameter("second.bias"))
    large.tables = small.tables
    return large


def thinned(images: TextureNetwork, config: TextureConfig) -> TextureNetwork:
    """Return a network for predicted slices from the most important channels of one for images.

    Importance is the sum of absolute weights that read a channel (Li et al. 2017). The weights that
    read the prediction begin at 0. The post-filter is new.

    Args:
        images: network for images.
        config: sizes of the new network.

    Raises:
        InputError: a level in ``config`` is wider, or there are more levels.
    """
    before = images.config.widths
    narrower = all(a >= b for a, b in zip(before, config.widths, strict=False))
    if len(before) < len(config.widths) or not narrower or images.config.ndim != config.ndim:
        raise InputError(
            f"a network of widths {config.widths} cannot begin with one of {before}: no level may "
            "be wider"
        )
    thin = TextureNetwork(config)
    with torch.no_grad():
        for wide, level in zip(images.context.levels, thin.context.levels, strict=False):
            _thin_out(wide, level)
    thin.tables = images.tables
    return thin


def _thin_out(wide: nn.Module, level: nn.Module) -> None:
    theirs = dict(wide.named_parameters())
    width = level.get_parameter("second.weight").shape[0]

    def important(layers: tuple[str, ...]) -> torch.Tensor:
        """Return the channels with the largest weights in the layers, in ascending order."""
        weights = [w for name, w in theirs.items() if name.startswith(layers) and w.ndim > 1]
        total = torch.stack([w.abs().sum(dim=(0, *range(2, w.ndim))) for w in weights]).sum(0)
        return total.topk(width).indices.sort().values

    stream = important(("second.weight", "third.weight", "mix", "head"))
    inner = important(("fourth.weight",))
    for name, parameter in level.named_parameters():
        layer = name.partition(".")[0]
        old = theirs[name]
        if layer != "head":
            old = old[inner if layer == "third" else stream]
        if old.ndim > 1 and layer in ("second", "third", "fourth", "mix", "head"):
            old = old[:, inner if layer == "fourth" else stream]
        parameter.zero_()
        if layer == "head" and parameter.ndim == 1:
            parameter[old.shape[0] :] = _CLOSED_GATE
        parameter[tuple(slice(0, n) for n in old.shape)] = old


def _close_gates(level: nn.Module) -> None:
    """Start the shares of the template's subbands, the last third of a head's outputs, at none."""
    for name, parameter in level.named_parameters():
        if name.startswith("head."):
            gates = parameter[parameter.shape[0] * 2 // 3 :]
            gates.fill_(_CLOSED_GATE) if parameter.ndim == 1 else gates.zero_()


def _padded(widths: tuple[int, ...], config: TextureConfig) -> list[int]:
    return [*widths, *[widths[-1]] * (len(config.widths) - len(widths))]


def _take_over(small: nn.Module, large: nn.Module) -> None:
    """Copy the shared parameters; weights that read new channels become 0."""
    theirs = dict(small.named_parameters())
    for name, parameter in large.named_parameters():
        if name not in theirs:
            continue
        old = theirs[name]
        outputs = old.shape[0]
        if parameter.ndim > 1:
            parameter[:outputs, old.shape[1] :] = 0
            parameter[:outputs, : old.shape[1]] = old
        else:
            parameter[:outputs] = old
