#!/bin/sh
# PyAV 18.1.0 (SVT-AV1): one encoding as root leaves the calling thread at real-time priority.
#
# Expected: an encoder may choose the scheduling of its own threads. The thread that calls it keeps its own,
#   as sched(7) leaves it to each thread. PyAV's documentation speaks of no change.
# Seen: as root on Linux the calling thread goes from SCHED_OTHER to SCHED_FIFO, priority 99, and stays so
#   after the encoder is gone. Threads that it starts later inherit this. Where such threads wait by
#   spinning, as OpenMP's do, they starve the thread they wait for, and the rest of the machine.
# A way round: keep os.sched_getscheduler(0) and os.sched_getparam(0) before, and set them again.
# Needs root, as in most containers; without it nothing changes, and the script says so.
set -eu
[ "$(id -u)" = 0 ] || { echo "needs root"; exit 2; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check av==18.1.0
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import os
import sys
from fractions import Fraction

import av

NAMES = {os.SCHED_OTHER: "SCHED_OTHER", os.SCHED_FIFO: "SCHED_FIFO"}


def told():
    policy = os.sched_getscheduler(0)
    return NAMES.get(policy, str(policy)), os.sched_getparam(0).sched_priority


before = told()
context = av.CodecContext.create("libsvtav1", "w")
context.width = context.height = 64
context.pix_fmt = "yuv420p"
context.framerate, context.time_base = 25, Fraction(1, 25)
context.options = {"preset": "8"}
frame = av.VideoFrame(64, 64, "yuv420p")
frame.pts = 0
packets = [*context.encode(frame), *context.encode(None)]
del context
after = told()
print(f"PyAV {av.__version__}: {before} before, {after} after {len(packets)} packet")
sys.exit(0 if before[0] == "SCHED_OTHER" and after == ("SCHED_FIFO", 99) else "this has changed")
PYTHON
