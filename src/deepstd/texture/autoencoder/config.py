"""Sizes of the autoencoder's networks, without torch.

description of a bundle ─▶ AutoencoderConfig ─▶ channels, slices and passes of the latents
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from deepstd.errors import BundleError
from deepstd.texture.entropy.context import RATE_BINS

# Ends of the channel slices, with channels in the order of their frequency.
_SLICE_ENDS = (1, 4, 10, 20, 36)
# Most stages by number of axes: a latent spans at most 8 pixels or 4 voxels.
_MOST_STAGES = {2: 3, 3: 2}


@dataclass(frozen=True)
class AutoencoderConfig:
    """Sizes of the networks.

    Attributes:
        ndim: 2 or 3 spatial axes.
        widths: channels of each stage, finest (half resolution) first, multiples of 16.
        context_width: hidden channels of the entropy model.
        hyper_width: channels of the hyper-latents.
        window: edge of the attention's windows.
        template: whether the networks are conditioned on a warped template.
    """

    ndim: int
    widths: tuple[int, ...]
    context_width: int
    hyper_width: int
    window: int
    template: bool

    def __post_init__(self) -> None:
        sizes = [self.ndim, self.context_width, self.hyper_width, self.window, *self.widths]
        fit = (
            all(type(size) is int and 1 <= size <= 512 for size in sizes)
            and self.ndim in (2, 3)
            and 1 <= len(self.widths) <= _MOST_STAGES[self.ndim]
            and all(width % 16 == 0 for width in self.widths)
            and self.window % 2 == 0
            and self.window**self.ndim <= 512
        )
        if not fit:
            raise BundleError(f"an autoencoder of sizes {self} is not possible")

    def to_dict(self) -> dict[str, Any]:
        """Return the sizes as plain values for JSON."""
        return asdict(self)

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> AutoencoderConfig:
        """Make sizes from the values of `to_dict`.

        Raises:
            BundleError: the values make no sense.
        """
        try:
            return AutoencoderConfig(**{**values, "widths": tuple(values["widths"])})
        except (TypeError, KeyError) as error:
            raise BundleError(f"an autoencoder's description is not understood: {error}") from error

    @property
    def stride(self) -> int:
        """Voxels that a latent spans along each axis."""
        return 2 ** len(self.widths)

    @property
    def bands(self) -> int:
        """Channels of the latents."""
        return self.stride**self.ndim

    @property
    def slices(self) -> tuple[int, ...]:
        """Slice of each channel of the latents; channels are in the order of their frequency."""
        ends = [end for end in _SLICE_ENDS if end < self.bands]
        return tuple(sum(channel >= end for end in ends) for channel in range(self.bands))

    @property
    def passes(self) -> int:
        """Number of passes of the entropy model: two for slice 0, one for each later slice."""
        return max(self.slices) + 2

    @property
    def features(self) -> int:
        """Input channels of the entropy model: hyper-latents, template and its coordinates."""
        return 2 * self.hyper_width + (self.bands + self.ndim if self.template else 0)

    @property
    def conditions(self) -> int:
        """Length of the condition vector: rate, split axes, depth."""
        return RATE_BINS + self.ndim + 1
