"""Teachers: their features supervise, in both transforms, and misfits are told."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from deepstd.errors import BundleError, InputError
from deepstd.texture.autoencoder.config import AutoencoderConfig
from deepstd.texture.description import Config
from deepstd.texture.networks.conditioning import TensorConditioning
from deepstd.texture.scaling import Scaling
from deepstd.texture.trainable import Trainable, untrained
from deepstd.texture.wavelet.network import TextureConfig
from deepstd.train.cache import CachedScan
from deepstd.train.coding import Batch, batch_of
from deepstd.train.config import TrainConfig
from deepstd.train.data import Example
from deepstd.train.distillation import Distillation, compared, distance
from deepstd.train.finish import write_bundle
from deepstd.train.run import train
from deepstd.train.teacher import Teacher

LIFTING = TextureConfig(3, (8, 8), True, 8, 1)
AUTOENCODER = AutoencoderConfig(3, (16, 16), 16, 8, 4, True)
MakeBundle = Callable[[Path, str], Path]


def _batch(seed: int = 0) -> Batch:
    random = np.random.default_rng(seed)
    values = torch.from_numpy(random.normal(0, 80, (1, 1, 16, 16, 16)).astype(np.float32))
    template = torch.from_numpy(random.integers(0, 1024, values.shape).astype(np.int32))
    places = torch.from_numpy(random.integers(-64, 65, (1, 3, 16, 16, 16)).astype(np.int16))
    example = Example(values, (0, 0, 0), Scaling(0, 0), TensorConditioning(template, places))
    return batch_of([example], [1500])


def _stirred(config: Config, seed: int) -> Trainable:
    """An untrained network all of whose blocks do something."""
    torch.manual_seed(seed)
    network = untrained(config)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return network


def _distance(student: Trainable, distillation: Distillation, level: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return distillation.code(student, _batch(), (0, 0, 0), 0.08, generator, level)[1]


@pytest.mark.parametrize("config", [LIFTING, AUTOENCODER], ids=["lifting", "autoencoder"])
def test_a_student_is_drawn_to_its_teacher(config: Config) -> None:
    teacher, student = _stirred(config, 0), _stirred(config, 1)
    distillation = Distillation(teacher.eval(), 0.5, sees_places=True)
    assert float(_distance(teacher, distillation).detach()) == pytest.approx(0, abs=1e-9)
    before = _distance(student, distillation)
    assert float(before.detach()) > 0.01
    optimiser = torch.optim.Adam(student.parameters(), 2e-3)
    for _ in range(12):
        optimiser.zero_grad()
        _distance(student, distillation).backward()
        optimiser.step()
    assert float(_distance(student, distillation).detach()) < 0.8 * float(before.detach())
    assert all(parameter.grad is None for parameter in teacher.parameters())
    doubled = replace(distillation, weight=1.0)
    assert float(_distance(student, doubled).detach()) == pytest.approx(
        2 * float(_distance(student, distillation).detach())
    )


def test_the_blocks_are_those_of_the_paper_and_their_like() -> None:
    names = set(compared(untrained(AUTOENCODER)))
    assert len(names) == 8  # two TCM blocks in each of two stages, both ways
    assert all(".blocks." in name for name in names)
    names = set(compared(untrained(LIFTING)))
    assert {"context.levels.0.second", "context.levels.1.fourth", "postfilter.blocks.0"} <= names
    assert not any("head" in name or "condition" in name for name in names)


@pytest.mark.parametrize("config", [LIFTING, AUTOENCODER], ids=["lifting", "autoencoder"])
def test_a_teacher_of_other_shapes_gets_random_coordinates(config: Config) -> None:
    network = _stirred(config, 0)
    if isinstance(config, AutoencoderConfig):
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                if "place" in name:
                    parameter.normal_()
    stranger = Distillation(network.eval(), 0.5, sees_places=False)
    assert float(_distance(network, stranger).detach()) > 1e-4


def test_a_teacher_without_a_template_teaches_one_with() -> None:
    teacher = _stirred(replace(LIFTING, template=False), 0)
    apart = _distance(_stirred(LIFTING, 1), Distillation(teacher.eval(), 0.5, sees_places=False))
    assert float(apart.detach()) > 0.01


def test_features_are_compared_relative_to_the_teachers_variance() -> None:
    taught = {"a": [torch.randn(1, 4, 8, 8)], "b": [100 * torch.randn(1, 4, 8, 8)]}
    own = {name: [f + 0.1 * f.std() for f in features] for name, features in taught.items()}
    assert float(distance(own, taught)) == pytest.approx(0.01, rel=1e-3)
    assert float(distance({}, {})) == 0


@pytest.fixture
def scans(phantom: Callable[..., np.ndarray]) -> list[CachedScan]:
    return [
        CachedScan(f"p{n}", f"p{n}", "train", phantom((16, 14, 12), seed=n), None) for n in range(3)
    ]


RUN = TrainConfig("few", widths_3d=(4, 4), filter_3d=(4, 1), crop_3d=12, deformation=0.03)


def test_a_run_with_a_teacher_resumes_with_it_alone(
    scans: list[CachedScan], tmp_path: Path, make_bundle: MakeBundle
) -> None:
    teacher = Teacher.read(make_bundle(tmp_path, "quick"))
    half = train(
        scans, RUN, tmp_path / "run", total_seconds=4.0, session_seconds=1.0, teacher=teacher
    )
    assert not half.finished
    for other in (None, replace(teacher, name="other 1")):
        with pytest.raises(InputError, match=r"began with the teacher quick 1.*--teacher"):
            train(scans, RUN, tmp_path / "run", total_seconds=4.0, resume=True, teacher=other)
    done = train(scans, RUN, tmp_path / "run", total_seconds=4.0, resume=True, teacher=teacher)
    assert done.teacher == "quick 1"
    written = write_bundle(done, RUN, scans, tmp_path / "few")
    assert "Supervised by the features of quick 1 (weight 0.5)" in written.card
    assert "deformed at random, with strength 0.03" in written.card


def test_a_run_without_a_teacher_takes_none_up(
    scans: list[CachedScan], tmp_path: Path, make_bundle: MakeBundle
) -> None:
    train(scans, RUN, tmp_path / "run", total_seconds=4.0, session_seconds=1.0)
    teacher = Teacher.read(make_bundle(tmp_path, "quick"))
    with pytest.raises(InputError, match="began without a teacher"):
        train(scans, RUN, tmp_path / "run", total_seconds=4.0, resume=True, teacher=teacher)


def test_a_checkpoint_of_an_older_release_is_taken_up(
    scans: list[CachedScan], tmp_path: Path
) -> None:
    from safetensors import safe_open
    from safetensors.numpy import load_file, save_file

    plain = replace(RUN, deformation=0.0)
    train(scans, plain, tmp_path, total_seconds=4.0, session_seconds=1.0)
    path = tmp_path / "checkpoint.safetensors"
    with safe_open(path, framework="numpy") as opened:
        values = json.loads(opened.metadata()["values"])
    for key in ("deformation", "teacher_weight", "teacher_places"):
        del values["config"][key]
    del values["teacher"]
    save_file(load_file(path), path, metadata={"values": json.dumps(values)})
    assert train(scans, plain, tmp_path, total_seconds=2.0, resume=True).finished
    with pytest.raises(InputError, match="another description"):
        train(scans, RUN, tmp_path, total_seconds=2.0, resume=True)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"widths_3d": (8, 4)}, r"'widths': \(4, 4\).*equal sizes"),
        ({"transform": "autoencoder", "widths_3d": (16,)}, "equal sizes"),
        ({"ndims": (3, 2), "widths_2d": (4, 4), "filter_2d": (8, 1)}, "2-D network of the teacher"),
        ({"widths_between": (4, 4), "filter_between": (4, 1)}, "no between network"),
    ],
)
def test_a_teacher_of_other_sizes_is_refused(
    tmp_path: Path, make_bundle: MakeBundle, settings: dict[str, object], told: str
) -> None:
    teacher = Teacher.read(make_bundle(tmp_path, "quick"))
    config = TrainConfig.from_dict(
        {"name": "x", "widths_3d": (4, 4), "filter_3d": (4, 1), **settings}, "r.toml"
    )
    with pytest.raises(InputError, match=told):
        teacher.check(config)


def test_a_teacher_with_a_template_teaches_none_without() -> None:
    teacher = Teacher("atlas 1", {3: untrained(LIFTING)})
    with pytest.raises(InputError, match="template = true"):
        teacher.check(TrainConfig("x", widths_3d=(8, 8), filter_3d=(8, 1)))


def test_damaged_teachers_are_refused(tmp_path: Path, make_bundle: MakeBundle) -> None:
    good = make_bundle(tmp_path, "quick")
    assert Teacher.read(good).name == "quick 1"
    for file, damage in (
        ("texture-3d.safetensors", lambda data: data[:-1] + bytes([data[-1] ^ 1])),
        ("bundle.json", lambda data: data[: len(data) // 2]),
        ("bundle.json", lambda data: b"[]"),
        ("texture-2d.safetensors", None),
    ):
        bad = tmp_path / "bad"
        shutil.copytree(good, bad)
        if damage is None:
            (bad / file).unlink()
        else:
            (bad / file).write_bytes(damage((bad / file).read_bytes()))
        with pytest.raises(BundleError, match=file):
            Teacher.read(bad)
        shutil.rmtree(bad)
