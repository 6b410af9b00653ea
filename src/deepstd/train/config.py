"""What a training run is told, from a TOML file.

Read with the standard library, so that a machine with nothing but torch, numpy, scipy and
safetensors can train.
"""

from __future__ import annotations

import tomllib
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepstd.errors import InputError
from deepstd.texture.kinds import AUTOENCODER, BETWEEN, LIFTING, TRANSFORMS, Part

if TYPE_CHECKING:
    from deepstd.texture.models import Config

_HYPER_SHARE = 8


@dataclass(frozen=True)
class TrainConfig:
    """One training run.

    Attributes:
        name: of the bundle: lower-case letters, digits and hyphens.
        version: of the bundle; raise it with every retraining, bundles never change.
        modality, body_part, description, licence: for the bundle's description and model card.
        ndims: which networks to train: [2], [3] or [2, 3]; see `learns_slices`.
        template: whether to build a template and condition on it.
        transform: "lifting" (wavelet, context model, post-filter) or "autoencoder" (the paper's).
        widths_2d, widths_3d: finest first, hidden channels of the context model of each level, or
            channels of each stage of the autoencoder.
        filter_2d, filter_3d: width and number of blocks of the post-filter.
        widths_between, filter_between: the same of the network for slices between decoded ones;
            no widths for none. It needs 3-D scans and goes with networks without a template; its
            crops are always mirrored and shrunk at random.
        kept: names of networks ("2", "3", "between") that are taken over as they are from the
            bundle that the run begins with.
        context_width: hidden channels of the autoencoder's entropy model.
        window_2d, window_3d: edge of the windows of the autoencoder's attention.
        crop_2d, crop_3d: largest crop along an axis, in voxels.
        batch: crops a training step sees.
        rates: range of log2(range / step) to train for.
        rate_weight: squared steps that a bit is worth in the quantiser.
        learning_rate: at the start of the cosine schedule.
        shape_share: part of the time given to template and shape.
        varied: whether to mirror, turn and shrink crops at random; with a template, which is for
            images only, whether to magnify them (see `variation`).
        seed: of all random numbers.
    """

    name: str
    version: str = "1"
    modality: str = ""
    body_part: str = ""
    description: str = ""
    licence: str = ""
    ndims: tuple[int, ...] = (3,)
    template: bool = False
    transform: str = LIFTING
    widths_2d: tuple[int, ...] = (32, 40, 48, 48)
    widths_3d: tuple[int, ...] = (32, 32, 32)
    filter_2d: tuple[int, int] = (24, 2)
    filter_3d: tuple[int, int] = (12, 1)
    widths_between: tuple[int, ...] = ()
    filter_between: tuple[int, int] = (24, 2)
    kept: tuple[str, ...] = ()
    context_width: int = 96
    window_2d: int = 8
    window_3d: int = 4
    crop_2d: int = 160
    crop_3d: int = 40
    batch: int = 4
    rates: tuple[float, float] = (0.5, 7.0)
    rate_weight: float = 0.08
    learning_rate: float = 4e-3
    shape_share: float = 0.1
    varied: bool = False
    seed: int = 0

    @staticmethod
    def read(path: Path) -> TrainConfig:
        """Read a TOML file; InputError names an unknown or unfit entry."""
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: the run's description cannot be read: {error}") from error
        return TrainConfig.from_dict(values, str(path))

    @staticmethod
    def from_dict(values: dict[str, Any], source: str) -> TrainConfig:
        """Check and convert plain values."""
        known = {f.name: f for f in fields(TrainConfig)}
        unknown = sorted(set(values) - set(known))
        if unknown or "name" not in values:
            problem = f"unknown entries {unknown}" if unknown else "no entry 'name'"
            raise InputError(f"{source}: {problem}; known are {sorted(known)}")
        converted: dict[str, Any] = {}
        for key, value in values.items():
            default = known[key].default
            value = tuple(value) if isinstance(value, list) else value
            wanted = str if key == "name" else type(default)
            value = float(value) if wanted is float and type(value) is int else value
            if type(value) is not wanted:
                raise InputError(f"{source}: {key} = {value!r} is not a {wanted.__name__}")
            converted[key] = value
        if converted.get("transform", LIFTING) not in TRANSFORMS:
            raise InputError(
                f"{source}: transform = {converted['transform']!r} is not one of {TRANSFORMS}"
            )
        if converted.get("widths_between") and (
            converted.get("template") or 3 not in converted.get("ndims", TrainConfig.ndims)
        ):
            raise InputError(
                f"{source}: widths_between goes with 3 among ndims and without a template"
            )
        config = TrainConfig(**converted)
        if config.varied and config.template and 3 in config.ndims:
            raise InputError(f"{source}: varied with a template is for images, not for volumes")
        left_over = set(config.kept) - set(map(str, config.parts))
        if left_over:
            raise InputError(f"{source}: kept = {config.kept!r} names no network of the run")
        return config

    @property
    def learns_slices(self) -> bool:
        """Whether the 2-D network learns from slices of volumes, too, as it will code those."""
        return {2, 3} <= set(self.ndims) and not self.template

    @property
    def parts(self) -> tuple[Part, ...]:
        """The networks to train, in this order."""
        return (*self.ndims, BETWEEN) if self.widths_between else self.ndims

    def network(self, part: Part) -> Config:
        """Sizes of the network of a part; BundleError where they are not possible."""
        from deepstd.texture.autoencoder.transform import AutoencoderConfig
        from deepstd.texture.wavelet.network import TextureConfig

        if isinstance(part, str):
            return TextureConfig(2, self.widths_between, True, *self.filter_between)
        widths = self.widths_2d if part == 2 else self.widths_3d
        if self.transform == AUTOENCODER:
            window = self.window_2d if part == 2 else self.window_3d
            hyper = self.context_width // _HYPER_SHARE
            return AutoencoderConfig(part, widths, self.context_width, hyper, window, self.template)
        width, blocks = self.filter_2d if part == 2 else self.filter_3d
        return TextureConfig(part, widths, self.template, width, blocks)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for checkpoints and model cards."""
        return asdict(self)
