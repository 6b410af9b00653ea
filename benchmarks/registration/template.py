"""DeepSTD's shape stage as compression uses it: the template of a bundle laid on a scan.

    validation scans ─ fields ─ labels carried to the template, vote ─▶ the template as a Scan
    template, test scan ─ field ─ encode, decode ─▶ Warp, bytes of the file's shape section
                            ├─ before it is rounded ─▶ Warp, for what rounding costs
                            └─ fitted by registration.pair instead ─▶ Warp, for what the bundle's
                                                                       hidden layers are worth

A bundle has no labels; scans that no table sees give them to its template.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from benchmarks.registration.pairs import Scan
from benchmarks.registration.warp import Warp, grid, transformed
from deepstd import bundle
from deepstd.coding.tables import ScaleTables
from deepstd.geometry import COORDINATE_BITS, base_map
from deepstd.registration.cycle import CycleSettings
from deepstd.registration.pair import PairSettings, register_pair
from deepstd.shape.alignment import canvas_frame, canvas_of, normalised
from deepstd.shape.codec import decode_field, encode_field
from deepstd.shape.field import template_coordinates
from deepstd.shape.fit import STEPS, HeadFit, evaluated
from deepstd.shape.model import TEMPLATE_MAX, FieldCode, ShapeModel
from deepstd.shape.register import register
from deepstd.shape.siren import BACKWARD, displacements


@dataclass(frozen=True, eq=False)
class Shape:
    """A bundle's shape model with the tables that its symbols are coded with."""

    name: str
    model: ShapeModel
    tables: ScaleTables


def load(name: str) -> Shape:
    """The shape model of a bundle for three axes, by the bundle's name or folder."""
    loaded = bundle.load(bundle.find(name))
    if loaded.shape is None or loaded.manifest.shape is None:
        raise SystemExit(f"bundle {name} has no template: name one that has")
    model = ShapeModel.from_tensors(loaded.shape, loaded.manifest.shape)
    tables = ScaleTables.from_array(loaded.textures["3"]["tables"])
    return Shape(f"{loaded.manifest.name} {loaded.manifest.version}", model, tables)


def template_of(shape: Shape, scans: Iterable[Scan]) -> Scan:
    """The template with the label that most voxels of labelled scans have where they land in it."""
    model = shape.model
    votes = np.zeros((256, *model.template.shape), dtype=np.int32)
    for scan in scans:
        warp = BundleField(shape).register_scan(scan)
        at = np.rint(warp.coordinates).astype(int).reshape(-1, 3)
        inside = ((at >= 0) & (at < model.template.shape)).all(-1)
        np.add.at(votes, (scan.labels.ravel()[inside], *at[inside].T), 1)
    labels = votes.argmax(0).astype(np.uint8)
    affine = np.eye(4) if model.affine is None else model.affine
    voxels = model.template.astype(np.float32) / TEMPLATE_MAX
    return Scan(f"template of {shape.name}", voxels, labels, affine)


@dataclass(frozen=True, eq=False)
class BundleField:
    """The field that a file stores.

    Attributes:
        shape: of the bundle.
        rounded: as it is decoded from the file; else as it was fitted.
    """

    shape: Shape
    rounded: bool = True

    @property
    def name(self) -> str:
        """In tables."""
        return "DeepSTD, bundle's field" + ("" if self.rounded else ", not rounded")

    def register(self, moving: Scan, fixed: Scan) -> Warp:
        """Where voxels of a scan lie in the template, which is the moving scan here."""
        return self.register_scan(fixed)

    def register_scan(self, scan: Scan) -> Warp:
        """The same without the template as an argument."""
        model, tables = self.shape.model, self.shape.tables
        fitted, _ = register(scan.voxels, scan.affine, model)
        payload = encode_field(fitted, model, tables)
        if not self.rounded:
            return Warp(_as_fitted(model, scan, fitted))
        placement = base_map(scan.shape, scan.affine, model.template.shape, model.affine)
        places = template_coordinates(model, placement, decode_field(payload, model, tables))
        coordinates = np.moveaxis(places, 0, -1) / np.float32(1 << COORDINATE_BITS)
        return Warp(coordinates.astype(np.float32), len(payload))


@dataclass(frozen=True, eq=False)
class PairField:
    """`register_pair` of scan and template.

    Attributes:
        steps: of its fit.
        start: a bundle whose hidden layers the fit starts from; None for random ones.
    """

    steps: int
    start: Shape | None

    @property
    def name(self) -> str:
        """In tables."""
        origin = "random layers" if self.start is None else "the bundle's layers"
        return f"DeepSTD, pair from {origin}, {self.steps} steps"

    def register(self, moving: Scan, fixed: Scan) -> Warp:
        """The template, ``moving``, is what `register_pair` calls fixed: the bundle knows it."""
        settings = PairSettings(cycle=CycleSettings(steps=self.steps))
        start = None if self.start is None else self.start.model.trunk()
        transform, report = register_pair(
            fixed.voxels, fixed.affine, moving.voxels, moving.affine, settings, start
        )
        world = transformed(fixed.affine, grid(fixed.shape))
        places = world + np.moveaxis(transform.inverse_displacement(), 0, -1)
        coordinates = transformed(np.linalg.inv(moving.affine), places)
        return Warp(coordinates.astype(np.float32), 2 * report.parameters)


def _as_fitted(model: ShapeModel, scan: Scan, code: FieldCode) -> np.ndarray:
    """(I, J, K, 3) template voxels by the field that a code was rounded from."""
    frame = canvas_frame(model.template.shape, model.reach)
    canvas = normalised(canvas_of(scan.voxels, scan.affine, model, frame)[None])
    fit = HeadFit(model, frame, canvas, code.omega_index)
    fit.run(STEPS)
    if not np.array_equal(fit.symbols()[0], code.symbols):
        raise RuntimeError("the fit that was repeated is not the fit that was coded")
    placement = base_map(scan.shape, scan.affine, model.template.shape, model.affine)
    start = np.moveaxis(template_coordinates(model, placement, None), 0, -1).reshape(-1, 3)
    t = start / np.float32(1 << COORDINATE_BITS)
    q = ((t - frame.centre) / frame.reach).astype(np.float32)
    heads = fit.heads(fit.moves * fit.usual)
    u = displacements(evaluated(fit.layers, q)[0], heads)[BACKWARD, 0].T
    return (t + frame.reach * u).reshape(*scan.shape, 3).astype(np.float32)
