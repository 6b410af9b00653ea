"""Description of a training run, from a TOML file.

The standard library reads it, so a machine with only torch, numpy, scipy and safetensors can train.
"""

from __future__ import annotations

import tomllib
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepstd.errors import InputError
from deepstd.texture.kinds import AUTOENCODER, BETWEEN, LIFTING, TRANSFORMS, Part

if TYPE_CHECKING:
    from deepstd.texture.description import Config

MOST_DEFORMED = 0.2
"""Largest strength of random deformations."""
_HYPER_SHARE = 8  # channels of the entropy model for each hyper-latent channel


@dataclass(frozen=True)
class TrainConfig:
    """Settings of a training run.

    Attributes:
        name: name of the bundle: lower-case letters, digits and hyphens.
        version: version of the bundle; raise it with every retraining, bundles never change.
        modality, body_part, description, licence: text of the bundle's description and model card.
        ndims: numbers of axes of the networks to train: [2], [3] or [2, 3].
        template: build a template and condition on it.
        transform: "lifting" (wavelet, context model, post-filter) or "autoencoder" (the paper's).
        widths_2d, widths_3d: hidden channels of the context model of each level, finest first, or
            channels of each stage of the autoencoder.
        filter_2d, filter_3d: width and number of blocks of the post-filter.
        widths_between: hidden channels, finest first, of the network for bidirectional and
            forward-predicted slices; empty for none. It needs 3-D scans and no template. Its crops
            are always mirrored and shrunk at random.
        filter_between: width and number of blocks of that network's post-filter.
        kept: names of networks ("2", "3", "between") to copy unchanged from the bundle that the run
            begins with.
        context_width: hidden channels of the autoencoder's entropy model.
        window_2d, window_3d: edge of the windows of the autoencoder's attention.
        crop_2d, crop_3d: edge of a crop in voxels, on average.
        batch: crops in a training step.
        rates: range of log2(range / step) to train for.
        rate_weight: λ of the quantiser, squared steps a bit.
        learning_rate: learning rate at the start of the cosine schedule.
        shape_share: share of the time for template and shape model.
        varied: mirror, turn and shrink crops at random; with a template, magnify them instead,
            which is for images only.
        deformation: largest root mean square displacement of random deformations of training scans,
            relative to the scan's longest side; 0 for none. Slices between others are not deformed.
        teacher_weight: weight of the distance from a teacher's features.
        teacher_places: show a teacher the template coordinates, where it has learned from the same
            shapes; otherwise it gets random ones.
        seed: seed of all random numbers.
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
    deformation: float = 0.0
    teacher_weight: float = 0.5
    teacher_places: bool = False
    seed: int = 0

    @staticmethod
    def read(path: Path) -> TrainConfig:
        """Read a TOML file.

        Raises:
            InputError: the file cannot be read, or has an unknown or unfit entry.
        """
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: the run's description cannot be read: {error}") from error
        return TrainConfig.from_dict(values, str(path))

    @staticmethod
    def from_dict(values: dict[str, Any], source: str) -> TrainConfig:
        """Check and convert plain values.

        Args:
            values: settings by name.
            source: name of their file, for messages.

        Raises:
            InputError: an entry is unknown or unfit.
        """
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
        if not 0 <= config.deformation <= MOST_DEFORMED or not config.teacher_weight >= 0:
            raise InputError(
                f"{source}: deformation must be 0 to {MOST_DEFORMED}, teacher_weight at least 0"
            )
        left_over = set(config.kept) - set(map(str, config.parts))
        if left_over:
            raise InputError(f"{source}: kept = {config.kept!r} names no network of the run")
        return config

    @property
    def learns_slices(self) -> bool:
        """True where the 2-D network learns from slices of volumes, too, as it codes them."""
        return {2, 3} <= set(self.ndims) and not self.template

    @property
    def parts(self) -> tuple[Part, ...]:
        """Keys of the networks to train, in order."""
        return (*self.ndims, BETWEEN) if self.widths_between else self.ndims

    def network(self, part: Part) -> Config:
        """Return the sizes of a network.

        Args:
            part: 2 or 3 for images and volumes, "between" for predicted slices.

        Raises:
            BundleError: the sizes are not possible.
        """
        from deepstd.texture.autoencoder.transform import AutoencoderConfig
        from deepstd.texture.networks.network import TextureConfig

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
        """Return plain values, for checkpoints and model cards."""
        return asdict(self)
