"""`dw bench models`: which model of motion is worth its cost."""

from __future__ import annotations

import argparse
from pathlib import Path

from dw_core.cli.bench_motion import add_input, command, rig
from dw_core.cli.bench_output import add_json, refuse_early, write_json
from dw_core.evaluation.results import rounded

SUMMARY = "motion models of the tracker against simpler ones, on motion capture"


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of `dw bench models`."""
    add_input(parser)
    parser.add_argument(
        "--tune-on", type=Path, nargs="+", required=True, metavar="PATH",
        help="other clips, on which the models' parameters are chosen",
    )  # fmt: skip
    for name, kind, value, text in (
        ("tick-ms", float, 20.0, "between exposures"),
        ("seconds", float, 8.0, "of each clip, from its middle"),
        ("lag-ms", float, 200.0, "of the window methods"),
        ("noise-px", float, 5.0, "standard deviation of each coordinate of a joint"),
        ("outliers", float, 0.03, "fraction of joint observations"),
        ("outlier-px", float, 40.0, "standard deviation of outliers"),
        ("seed", int, 0, "of the noise"),
    ):
        parser.add_argument(f"--{name}", type=kind, default=value, help=f"{text} (default %(default)s)")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Measure, print the tables, write the JSON. Raises DwError for bad input."""
    from dw_core.benchmarks.keypoints import Noise
    from dw_core.benchmarks.models import Settings, measure
    from dw_core.evaluation.motion_report import models_table

    refuse_early(args)
    noise = Noise(px=args.noise_px, outliers=args.outliers, outlier_px=args.outlier_px, seed=args.seed)
    settings = Settings(tick_ms=args.tick_ms, seconds=args.seconds, lag_ms=args.lag_ms, noise=noise)
    result = rounded(
        measure(args.motion, args.tune_on, rig(args), settings, command(args), progress=not args.quiet)
    )
    print(models_table(result))
    write_json(args, result)
    return 0
