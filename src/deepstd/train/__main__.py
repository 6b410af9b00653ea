"""``python -m deepstd.train``: the training loop on a machine with little installed.

CACHE, run.toml ─ train ─▶ CHECKPOINT, brought back and finished with ``deepstd train --resume``
torchrun --nproc-per-node N -m deepstd.train … ─▶ the same by N processes; see `distributed`

Needs torch, numpy, scipy and safetensors, nothing else. Writes no bundle.
"""

from __future__ import annotations

import argparse
import logging
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from deepstd.errors import DeepSTDError
from deepstd.interrupts import INTERRUPTED, end_on_signals
from deepstd.threads import wait_passively
from deepstd.train.session import keep_checkpoint, seconds_of

_LOG = logging.getLogger("deepstd.train")


def main(arguments: Sequence[str] | None = None) -> int:
    """Train until the session's time is over; return the exit code."""
    wait_passively()
    end_on_signals()
    parser = argparse.ArgumentParser(prog="python -m deepstd.train", description=__doc__)
    parser.add_argument("cache", type=Path, metavar="CACHE", help="of `deepstd prepare`")
    parser.add_argument("--config", type=Path, required=True, metavar="RUN.toml")
    parser.add_argument("--checkpoint", type=Path, required=True, metavar="DIR")
    parser.add_argument("--max-time", default="20m", metavar="TIME", help="of the whole run")
    parser.add_argument("--session-time", metavar="TIME", help="of this session")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint")
    parser.add_argument(
        "--teacher",
        type=Path,
        metavar="BUNDLE_DIR",
        help="folder of a bundle whose features supervise the networks",
    )
    parser.add_argument(
        "--device", default="auto", help="auto, cpu, cuda or cuda:N; under torchrun one each"
    )
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    try:
        _train(given)
    except DeepSTDError as error:
        _LOG.error("error: %s", error)
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def _train(given: argparse.Namespace) -> None:
    from deepstd.train.cache import read_cache
    from deepstd.train.config import TrainConfig
    from deepstd.train.distributed import joined
    from deepstd.train.run import train
    from deepstd.train.teacher import Teacher

    began = time.monotonic()
    total = seconds_of(given.max_time)
    keep_checkpoint(given.checkpoint, resume=given.resume)
    teacher = None if given.teacher is None else Teacher.read(given.teacher)
    with joined(given.device) as group:
        if not group.leads:
            _LOG.setLevel(logging.WARNING)
        trained = train(
            read_cache(given.cache),
            TrainConfig.read(given.config),
            given.checkpoint,
            total_seconds=total,
            session_seconds=seconds_of(given.session_time) if given.session_time else math.inf,
            spent=time.monotonic() - began,
            resume=given.resume,
            teacher=teacher,
            device=group.device,
            group=group,
        )
    spent = sum(trained.seconds.values())
    _LOG.info("%s: %.0f of %.0f s trained", given.checkpoint, spent, total)
    if trained.finished:
        _LOG.info("`deepstd train` with the same settings and --resume writes the bundle")
    else:
        _LOG.info("go on with --resume")


if __name__ == "__main__":
    sys.exit(main())
