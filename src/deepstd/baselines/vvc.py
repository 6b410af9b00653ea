"""VVC by Fraunhofer's programs VVenC and VVdeC, where they are installed.

    voxels ─ levels ─▶ frames.yuv ─ vvencFFapp ─▶ codestream ─ vvdecapp ─▶ frames.yuv ─▶ voxels

10 bits in 4:0:0, preset medium, two threads, no perceptual adaptation, one intra frame. The knob is
63 − QP. Between two integer QPs, the range of the levels is reduced instead of coarsening the
quantiser.

The programs are found in PATH, or by the variables DEEPSTD_VVENC and DEEPSTD_VVDEC.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from deepstd.baselines.base import Encoded
from deepstd.baselines.grey import Grey, slices_of, stretched_levels
from deepstd.baselines.video import padded, whole_qp
from deepstd.errors import InputError, MissingExtraError

_ENCODER = ("vvencFFapp", "DEEPSTD_VVENC")
_DECODER = ("vvdecapp", "DEEPSTD_VVDEC")
_BITS = 10
_GROUP = 32  # frames; the intra period must be a multiple of it
_SHORTEST_SIDE = 32  # pixels
_HIGHEST_QP = 63
_THREADS = 2


class Vvc:
    """VVenC and VVdeC; the knob is 63 − QP."""

    name = "VVC medium"
    knobs = (0.0, 63.0)
    step = 0.02
    near = 0.99

    def check(self) -> None:
        """Raise a MissingExtraError where the programs are not found."""
        _program(*_ENCODER)
        _program(*_DECODER)

    def encode(self, voxels: np.ndarray, knob: float) -> Encoded:
        """Encode a scan to the bitstream of vvencFFapp."""
        qp, share = whole_qp(_HIGHEST_QP - knob)
        levels, grey = stretched_levels(voxels, _BITS, share)
        with tempfile.TemporaryDirectory(prefix="deepstd-vvc-") as folder:
            source, stream = Path(folder) / "frames.yuv", Path(folder) / "stream.266"
            frames, size = 0, (0, 0)
            with open(source, "wb") as file:
                for part in slices_of(levels):
                    image = padded(part, _SHORTEST_SIDE)
                    file.write(image.astype("<u2").tobytes())
                    frames, size = frames + 1, image.shape
            _run(
                [
                    _program(*_ENCODER),
                    *("-i", str(source), "-b", str(stream)),
                    *("-s", f"{size[1]}x{size[0]}", "-fr", "25", "-f", str(frames)),
                    *("--InputBitDepth", str(_BITS), "--InternalBitDepth", str(_BITS)),
                    *("--InputChromaFormat", "400", "--preset", "medium", "-t", str(_THREADS)),
                    *("--IntraPeriod", str(-(-frames // _GROUP) * _GROUP), "--PerceptQPA", "0"),
                    *("--SEIDecodedPictureHash", "0", "--Verbosity", "1"),
                    *("-q", str(qp)),
                ]
            )
            return Encoded((stream.read_bytes(),), grey)

    def decode(self, encoded: Encoded) -> np.ndarray:
        """Decode a scan to the shape and type of the original."""
        grey: Grey = encoded.side
        with tempfile.TemporaryDirectory(prefix="deepstd-vvc-") as folder:
            stream, output = Path(folder) / "stream.266", Path(folder) / "frames.yuv"
            stream.write_bytes(encoded.streams[0])
            _run([_program(*_DECODER), "-b", str(stream), "-o", str(output), "-v", "0"])
            return grey.restore(_frames(output, grey.shape))


def _frames(path: Path, shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    width, height = shape[:2]
    whole = padded(np.zeros((height, width), np.uint8), _SHORTEST_SIDE).shape
    frames = np.fromfile(path, "<u2").reshape(-1, *whole)
    return (frame[:height, :width] for frame in frames)


def _program(name: str, variable: str) -> str:
    found = shutil.which(os.environ.get(variable) or name)
    if found is None:
        raise MissingExtraError(
            f"comparing with VVC needs the program {name}, which is not in PATH; "
            f"{variable} may say where it is"
        )
    return found


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        reason = said[-1] if said else "no message"
        raise InputError(f"{Path(command[0]).name} failed ({done.returncode}): {reason}")
