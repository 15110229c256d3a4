"""`dw bench models`: which model of motion is worth its cost."""

from __future__ import annotations

import argparse
from pathlib import Path

from dw_core.cli.bench_motion import add_input, command, rig, settings
from dw_core.cli.bench_output import refuse_early, write_json

SUMMARY = "motion models of the tracker against simpler ones, on motion capture"


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of `dw bench models`."""
    add_input(parser)
    parser.add_argument(
        "--tune-on", type=Path, nargs="+", required=True, metavar="PATH",
        help="other clips, on which the models' parameters are chosen",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Measure, print the tables, write the JSON. Raises DwError for bad input."""
    from dw_core.benchmarks.models import measure
    from dw_core.evaluation.motion_report import models_table

    refuse_early(args)
    result = measure(
        args.motion, args.tune_on, rig(args), settings(args), command(args), progress=not args.quiet
    )
    print(models_table(result))
    write_json(args, result)
    return 0
