"""`dw bench motion`: errors of skeletons against the truth of motion capture."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from dw_core.cli.bench_output import add_json, refuse_early, write_json
from dw_core.errors import ConfigError

if TYPE_CHECKING:
    from dw_core.benchmarks.motion import Settings
    from dw_core.geometry.camera import Rig

SUMMARY = "errors of skeletons from staggered views, on motion capture"


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of `dw bench motion`."""
    add_input(parser)
    parser.add_argument("--plot", type=Path, metavar="FILE", help="picture of the error against the tick")


def add_input(parser: argparse.ArgumentParser) -> None:
    """Options that every benchmark on motion capture has."""
    parser.add_argument(
        "--motion", type=Path, nargs="+", required=True, metavar="PATH", help="files (.amc, .npz) or folders"
    )
    parser.add_argument("--rig", type=Path, required=True, help="rig file, or the Human3.6M cameras (.json)")
    parser.add_argument(
        "--subject", default="S9", help="whose cameras, in a Human3.6M file (default %(default)s)"
    )
    parser.add_argument(
        "--tick-ms", default="20", metavar="MS[,MS...]", help="between exposures (default %(default)s)"
    )
    for name, kind, value, text in (
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
    """Measure, print the tables, write JSON and picture. Raises DwError for bad input."""
    from dw_core.benchmarks.motion import measure
    from dw_core.evaluation.motion_report import motion_table, plot

    refuse_early(args)
    result = measure(args.motion, rig(args), settings(args), command(args), progress=not args.quiet)
    print(motion_table(result))
    write_json(args, result)
    if args.plot is not None:
        plot(result, args.plot)
    return 0


def rig(args: argparse.Namespace) -> Rig:
    """The rig of --rig and --subject. Raises CalibrationError."""
    from dw_core.data.rigs import load_h36m, load_rig

    return load_h36m(args.rig, args.subject) if args.rig.suffix.lower() == ".json" else load_rig(args.rig)


def settings(args: argparse.Namespace) -> Settings:
    """The settings of the options. Raises ConfigError."""
    from dw_core.benchmarks.keypoints import Noise
    from dw_core.benchmarks.motion import Settings

    try:
        ticks = tuple(float(tick) for tick in args.tick_ms.split(","))
    except ValueError:
        raise ConfigError(
            f"--tick-ms is '{args.tick_ms}', expected numbers with commas, as 5,10,20"
        ) from None
    noise = Noise(px=args.noise_px, outliers=args.outliers, outlier_px=args.outlier_px, seed=args.seed)
    return Settings(tick_ms=ticks, seconds=args.seconds, lag_ms=args.lag_ms, noise=noise)


def command(args: argparse.Namespace) -> str:
    """The command line again, with every option that the figures depend on."""
    words = ["dw", "bench", args.benchmark]
    for name in (
        "motion", "tune_on", "rig", "subject", "tick_ms", "seconds", "lag_ms", "noise_px", "outliers",
        "outlier_px", "seed",
    ):  # fmt: skip
        value = getattr(args, name, None)
        if value is not None:
            values = value if isinstance(value, list) else [value]
            words += [f"--{name.replace('_', '-')}", *(str(v) for v in values)]
    return shlex.join(words)
