"""Protection: regions that the bundle explains badly get the fidelity of the rest.

    given mask, or found: parts that the template explains worst, largest errors ─▶ regions
    λ low in the regions, higher elsewhere, octave by octave ─ encode ─ error ratio ─▶ encoding

Sizes do not change: the rest pays. The format and the decoder know nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from deepstd.bundle.familiarity import ValidationStatistics
from deepstd.codec.file_builder import EncodedScan
from deepstd.codec.guard import LOCAL, Coded
from deepstd.errors import InputError, RateError
from deepstd.findings import Protected
from deepstd.texture.codec import Encoder, Priced

# Ratio of root mean square errors, worst region to the rest, that ends the search.
_ENOUGH = 1.0
# Octaves by which λ rises outside of the regions. The step gets finer by about half of that.
_OCTAVES = (0, 1, 2, 3)
# Voxels of a region whose error is judged alone, unless all are smaller.
_FEWEST = 27
# Rounds of refinement at each of these.
_ROUNDS = 3
# Octaves of λ in the regions: nearly every coefficient is rounded to the nearest.
_INSIDE = -5
# Voxels around a region whose coefficients reach into it.
_REACH = 2
# Share of the scan that is protected at most: the rest pays for it.
_MOST = 0.03
# Regions of each kind that are considered.
_MOST_REGIONS = 16
# Smoothing of squared errors in voxels, and their ratio to the mean from which a region begins.
_SMOOTHING, _LARGE = 1.5, 2.0


@dataclass(frozen=True)
class Protection:
    """A wish to protect regions.

    Attributes:
        mask: bool, of the scan's shape, regions to protect; None to find them.
    """

    mask: np.ndarray | None = None

    @staticmethod
    def of(protect: bool | np.ndarray, shape: tuple[int, ...]) -> Protection | None:
        """Return the wish for True, False or a mask; None for False.

        Args:
            protect: True to find regions, or their mask.
            shape: shape of the scan.

        Raises:
            InputError: the mask has another shape.
        """
        if isinstance(protect, bool):
            return Protection() if protect else None
        if protect.shape != shape:
            raise InputError(
                f"the mask of regions to protect has the shape {protect.shape}, the scan {shape}: "
                "give a mask on the scan's grid"
            )
        return Protection(protect.astype(bool))


NOT_PROTECTED = (
    "no region was protected: none differs from the rest, or the file cannot be that small with one"
)
"""Note on a scan coded as without protection."""


@dataclass(frozen=True)
class Encodings:
    """Ways to encode a scan again.

    Attributes:
        near: encodes near the size.
        exact: searches the size.
    """

    near: Callable[[], EncodedScan]
    exact: Callable[[], EncodedScan]


def protected(
    known: ValidationStatistics | None,
    coded: Coded,
    result: EncodedScan,
    wish: Protection,
    encode: Encodings,
) -> tuple[EncodedScan, Protected | None]:
    """Encode again so that regions get the fidelity of the rest.

    Args:
        known: statistics of the bundle's validation scans; None for a bundle without.
        coded: the encoding as the guard sees it; its encoders can be priced.
        result: the same encoding.
        wish: the regions.
        encode: encodes with the encoders of ``result``.

    Returns:
        The encoding, and the protected regions; ``result`` and None where there is no region, or
        where the file cannot be that small with protected regions.
    """
    encoders = [encoder.priced for encoder in coded.encoders]
    priced = [encoder for encoder in encoders if encoder is not None]
    masks = _given(wish.mask, priced) if wish.mask is not None else _found(known, coded, result)
    if not any(mask.any() for mask in masks):
        return result, None
    share = float(np.mean([mask.mean() for mask in masks]))
    before = _ratio(priced, result, masks)
    try:
        _approach(priced, masks, encode)
        found = encode.exact()
    except RateError:  # the rest cannot pay that much
        for encoder in priced:
            encoder.set_prices(np.ones(encoder.shape, np.float32))
        return result, None
    return found, Protected(share, before, _ratio(priced, found, masks))


def _approach(encoders: Sequence[Priced], masks: Sequence[np.ndarray], encode: Encodings) -> None:
    """Set prices, octave by octave, until the worst region has the fidelity of the rest."""
    for octaves in _OCTAVES:
        _price(encoders, masks, octaves)
        found = encode.near()
        if _ratio(encoders, found, masks) <= _ENOUGH:
            return
        # The filter, which has never seen such a region, errs there as well.
        for encoder in encoders:
            encoder.refine(found.point.step_code, found.point.rate_weight, _ROUNDS)
        if _ratio(encoders, encode.near(), masks) <= _ENOUGH:
            return


def _price(encoders: Sequence[Priced], masks: Sequence[np.ndarray], octaves: int) -> None:
    from scipy import ndimage  # the import takes longer than most commands

    for encoder, mask in zip(encoders, masks, strict=True):
        near = ndimage.binary_dilation(mask, iterations=_REACH) if mask.any() else mask
        encoder.set_prices(np.where(near, 2.0**_INSIDE, 2.0**octaves).astype(np.float32))


def _ratio(encoders: Sequence[Priced], encoded: EncodedScan, masks: Sequence[np.ndarray]) -> float:
    """Return the ratio of the root mean square error of the worst region to that of the rest."""
    from scipy import ndimage  # the import takes longer than most commands

    regions: list[tuple[int, float]] = []
    rest, count = 0.0, 0
    for error, mask in zip(_errors(encoders, encoded), masks, strict=True):
        labels = np.asarray(ndimage.label(mask)[0])  # pyright: ignore
        sizes = np.bincount(labels.reshape(-1))
        sums = np.bincount(labels.reshape(-1), error.reshape(-1))
        rest, count = rest + float(sums[0]), count + int(sizes[0])
        regions += zip(sizes[1:].tolist(), (sums[1:] / sizes[1:]).tolist(), strict=True)
    large = [mean for size, mean in regions if size >= _FEWEST] or [mean for _, mean in regions]
    return float(np.sqrt(max(large) / (rest / count))) if rest > 0 else 0.0


def _errors(encoders: Sequence[Encoder], found: EncodedScan) -> Iterator[np.ndarray]:
    """Yield the squared error of every voxel of each frame in squared steps, float32."""
    code = found.point.step_code
    for encoder, encoded in zip(encoders, found.texture, strict=True):
        truth = (encoder.values - encoder.scaling.offset) / encoder.scaling.step(code)
        yield np.square(encoder.restored(encoded, code) - truth.astype(np.float32))


def _given(mask: np.ndarray, encoders: Sequence[Encoder]) -> list[np.ndarray]:
    """Return the part of a mask in each frame, of the shape that its encoder sees."""
    frames = [mask] if len(encoders) == 1 else [mask[..., t] for t in range(len(encoders))]
    return [np.asarray(m, bool).reshape(e.shape) for m, e in zip(frames, encoders, strict=True)]


def _found(
    known: ValidationStatistics | None, coded: Coded, result: EncodedScan
) -> list[np.ndarray]:
    """Return the regions found in each frame, at most `_MOST` of it.

    Spots and parts that the template explains worse than usual come first, then large errors.
    """
    from scipy import ndimage  # the import takes longer than most commands

    errors = _errors(coded.encoders, result)
    masks = []
    for number, error in enumerate(errors):
        smooth = ndimage.gaussian_filter(error, _SMOOTHING)
        ranked: list[tuple[float, np.ndarray]] = []
        for local in reversed(LOCAL) if known is not None and coded.fitted else ():
            shape, encoder = coded.fitted[number], coded.encoders[number]
            usual = None if known is None else local.usual_of(known)
            if usual is None or shape.conditioning is None:
                continue
            excess = local.excess_of(shape, encoder, usual)
            least = local.measure.value(usual.largest.mean)
            ranked += _ranked(excess, least, local.parts_of(shape, encoder, len(excess)))
        ranked += _ranked(smooth, _LARGE * float(error.mean()), None)
        mask = np.zeros(error.shape, bool)
        for _, region in ranked:
            if (mask | region).mean() <= _MOST:
                mask |= region
        masks.append(mask)
    return masks


def _ranked(
    values: np.ndarray, least: float, part: np.ndarray | None
) -> list[tuple[float, np.ndarray]]:
    """Return the connected regions of values from ``least`` on, the largest value first.

    Args:
        values: a map of the scan, or of parts of the template.
        least: smallest value of a region.
        part: part of the template of each voxel, where ``values`` are of parts; else None.
    """
    from scipy import ndimage  # the import takes longer than most commands

    labels = np.asarray(ndimage.label(values >= least)[0])  # pyright: ignore
    count = int(labels.max())
    peaks = np.atleast_1d(ndimage.maximum(values, labels, range(1, count + 1)))
    order = np.argsort(-peaks)[:_MOST_REGIONS]
    seen = labels if part is None else labels.reshape(-1)[part]
    return [(float(peaks[n]), seen == n + 1) for n in order]
