"""`dw bench gpu`: from a new frame to a pose on a GPU."""

from __future__ import annotations

import argparse
import importlib.util

from dw_core.cli.bench_output import add_json, refuse_early, write_json
from dw_core.errors import ConfigError
from dw_core.evaluation.results import rounded

SUMMARY = "time from a new frame to a pose on a GPU, with each Warper and with cameras in step"
DEFAULT_TICKS = 240
DEFAULT_WARPERS = "fast,paper,none"


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of `dw bench gpu`."""
    add_json(parser)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="default %(default)s")
    parser.add_argument(
        "--size", type=int, default=384, help="side of the network's images, px (%(default)s)"
    )
    parser.add_argument("--ticks", type=int, default=DEFAULT_TICKS, help="poses of each kind (%(default)s)")
    parser.add_argument("--warper", default=DEFAULT_WARPERS, help="which of %(default)s, with commas (all)")


def run(args: argparse.Namespace) -> int:
    """Measure, print the table, write the JSON. Raises ConfigError."""
    from dw_core.evaluation import gpu_report

    refuse_early(args)
    if importlib.util.find_spec("torch") is None:
        raise ConfigError("dw bench gpu needs torch: run `.venv/bin/pip install -r requirements/train.txt`")
    from dw_core.benchmarks import gpu

    command = f"dw bench gpu --device {args.device} --size {args.size} --ticks {args.ticks}"
    command += f" --warper {args.warper}"
    warpers = args.warper.split(",")
    result = rounded(
        gpu.measure(args.device, args.size, args.ticks, warpers, command, progress=not args.quiet)
    )
    print(gpu_report.text(result))
    write_json(args, result)
    return 0
