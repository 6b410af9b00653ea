"""Learned parts of the wavelet codec for one number of axes, as a coder uses them.

arrays of a bundle ─▶ WaveletNetwork: context model (integers), post-filter, frequency tables
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from deepstd.coding.tables import ScaleTables
from deepstd.devices import Device
from deepstd.errors import BundleError
from deepstd.texture.entropy.context import ContextConfig, ContextModel, condition_vector
from deepstd.texture.entropy.quantizer import symbol_savings
from deepstd.texture.filters.postfilter import Filter, NoFilter, PostFilter
from deepstd.texture.scaling import log_rate
from deepstd.texture.wavelet.lifting import Plan

_MOST_LEVELS = 12
_MOST_BLOCKS = 16
# Prefix of the post-filter's arrays in a bundle.
_FILTER = "postfilter."


@dataclass(frozen=True)
class TextureConfig:
    """Sizes of the networks.

    Attributes:
        ndim: 2 or 3 spatial axes.
        widths: hidden channels of the context model at each level, finest first.
        template: whether the networks are conditioned on a warped template.
        filter_width: channels of the post-filter; 0 for none.
        filter_blocks: residual blocks of the post-filter.
    """

    ndim: int
    widths: tuple[int, ...]
    template: bool
    filter_width: int
    filter_blocks: int

    def __post_init__(self) -> None:
        filter_sizes = [self.filter_width, self.filter_blocks]
        whole = all(type(size) is int for size in [self.ndim, *self.widths, *filter_sizes])
        few = 1 <= len(self.widths) <= _MOST_LEVELS and self.filter_blocks <= _MOST_BLOCKS
        sizes = [*self.widths, *(filter_sizes if any(filter_sizes) else ())]
        if not whole or not few or self.ndim not in (2, 3) or not all(1 <= s <= 512 for s in sizes):
            raise BundleError(f"a texture network of sizes {asdict(self)} is not possible")

    def to_dict(self) -> dict[str, Any]:
        """Return the sizes as plain values for JSON."""
        return asdict(self)

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> TextureConfig:
        """Make sizes from the values of `to_dict`.

        Raises:
            BundleError: the values make no sense.
        """
        try:
            return TextureConfig(**{**values, "widths": tuple(values["widths"])})
        except (TypeError, KeyError) as error:
            raise BundleError(
                f"a texture network's description is not understood: {error}"
            ) from error

    @property
    def context(self) -> ContextConfig:
        """Sizes of the context model."""
        return ContextConfig(self.ndim, self.widths, self.template)


@dataclass(frozen=True, eq=False)
class WaveletNetwork:
    """Context model, post-filter and frequency tables.

    Attributes:
        config: sizes of the networks.
        context: context models of all levels.
        postfilter: post-filter on the CPU.
        tables: frequencies of the symbols.
        placed: post-filters on GPUs, by device.
    """

    config: TextureConfig
    context: ContextModel
    postfilter: PostFilter | NoFilter
    tables: ScaleTables
    placed: Mapping[Device, Filter]

    @staticmethod
    def from_tensors(config: TextureConfig, stored: Mapping[str, np.ndarray]) -> WaveletNetwork:
        """Take the networks from the arrays of a bundle.

        Raises:
            BundleError: an array is missing, left over or does not fit.
        """
        if "tables" not in stored:
            raise BundleError("the texture network is incomplete: its tables are missing")
        context = ContextModel.from_arrays(config.context, stored)
        postfilter: PostFilter | NoFilter = NoFilter()
        names = {"tables", *context.names}
        if config.filter_width:
            own = {n.removeprefix(_FILTER): a for n, a in stored.items() if n.startswith(_FILTER)}
            postfilter = PostFilter.from_arrays(own, config.ndim, config.template)
            if postfilter.sizes != (config.filter_width, config.filter_blocks):
                raise BundleError(f"the post-filter has sizes {postfilter.sizes}, not as described")
            names |= {f"{_FILTER}{name}" for name in own}
        if left_over := sorted(stored.keys() - names):
            raise BundleError(f"the texture network has no place for {left_over[0]}")
        tables = ScaleTables.from_array(stored["tables"])
        return WaveletNetwork(config, context, postfilter, tables, {})

    def on(self, context: ContextModel, placed: Mapping[Device, Filter]) -> WaveletNetwork:
        """Return the networks with their copies on GPUs."""
        return replace(self, context=context, placed=placed)

    @cached_property
    def savings(self) -> np.ndarray:
        """Bits that the next smaller magnitude of each symbol saves (`symbol_savings`)."""
        return symbol_savings(self.tables)

    def filter_on(self, device: Device) -> Filter:
        """Return the post-filter on a device."""
        return self.postfilter if device.is_cpu else self.placed[device]


def condition_of(network: WaveletNetwork, step_code: int, plan: Plan) -> np.ndarray:
    """Return the condition vector of the post-filter, (1, conditions, 1 …).

    Args:
        network: network of the texture.
        step_code: code of the quantisation step.
        plan: axes split at each level, finest first.
    """
    axes = plan[0] if plan else ()
    return condition_vector(network.config.context, log_rate(step_code), axes, 0)
