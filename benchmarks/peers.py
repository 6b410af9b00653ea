"""A peer on one scan at one size.

scan, Target ─ bytes allowed ─ fit_to_bytes ─▶ Row
"""

from __future__ import annotations

from results import Row, figures
from studies import Study, Target

from deepstd.baselines import Baseline, fit_to_bytes
from deepstd.errors import RateError
from deepstd.volume import Volume


def peer_row(study: Study, scan: str, volume: Volume, peer: Baseline, target: Target) -> Row:
    """A peer at the bytes that DeepSTD may use; without figures where it needs more."""
    allowed = target.max_bytes(volume)
    try:
        result = fit_to_bytes(peer, volume.voxels, allowed)
    except RateError as error:
        return Row(scan, peer.name, str(target), allowed, note=str(error))
    return Row(
        scan,
        peer.name,
        str(target),
        allowed,
        nbytes=result.nbytes,
        **figures(study, volume.voxels, result.restored),
        encode_s=round(result.encode_s, 4),
        decode_s=round(result.decode_s, 4),
    )
