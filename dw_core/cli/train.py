"""`dw train`: networks trained on motion capture, without images."""

from __future__ import annotations

import argparse
import importlib.util
import os
from pathlib import Path

from dw_core.errors import ConfigError

TASKS = {
    "warper": "the Warper of the temporal stage",
    "losses": "the Warper with each loss, with and without the one in space, and compare them",
    "joint_refiner": "the joint refiner, which says where one image's joints are and how sure that is",
    "mcc": "MCC, a peer that puts poses between key frames, for `dw bench motion --mcc`",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of `dw train`."""
    tasks = parser.add_subparsers(title="networks", dest="network", metavar="NETWORK", required=True)
    for name, summary in TASKS.items():
        one = tasks.add_parser(name, help=summary, description=f"Train {summary}.")
        like = f"as config/train/{'warper' if name == 'losses' else name}.yaml"
        one.add_argument("--config", type=Path, required=True, metavar="FILE", help=like)
        one.add_argument("--out", type=Path, required=True, metavar="DIR", help="checkpoint, weights, log")
        one.add_argument("--joint-set", help="instead of the configuration's, as h36m17")
        one.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
        one.add_argument(
            "--data", type=Path, metavar="DIR", help="folder of the motion capture (default: $DW_DATA)"
        )
        one.add_argument("--quiet", action="store_true", help="show no progress")


def run(args: argparse.Namespace) -> int:
    """Train, print the result, write it to result.json in --out. Raises DwError for bad input."""
    if importlib.util.find_spec("torch") is None:
        raise ConfigError("dw train needs torch: run `.venv/bin/pip install -r requirements/train.txt`")
    data = args.data or os.environ.get("DW_DATA")
    if not data:
        raise ConfigError("dw train does not know where the motion capture is: say --data, or set DW_DATA")
    # worker processes and torch share the cores; read when numpy is first imported
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    from dw_core.training.run import train_network

    train_network(
        args.network, args.config, args.joint_set, Path(data), args.out, args.resume, not args.quiet
    )
    return 0
