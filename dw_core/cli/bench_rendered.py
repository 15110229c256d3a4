"""`dw bench rendered`: from images to errors of skeletons, on rendered footage with exact truth."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from dw_core.cli.bench_output import add_json, refuse_early, write_json
from dw_core.evaluation.results import rounded

SUMMARY = "errors of skeletons and of the 2D network, on images that `dw render` made"


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of `dw bench rendered`."""
    parser.add_argument(
        "--footage", type=Path, nargs="+", required=True, metavar="DIR", help="folders that `dw render` wrote"
    )
    parser.add_argument(
        "--network",
        choices=("float32", "int8"),
        default="float32",
        help="which file of MoveNet (default %(default)s)",
    )
    parser.add_argument(
        "--lag-ms", type=float, default=200.0, help="of the window methods (default %(default)s)"
    )
    parser.add_argument("--plot", type=Path, metavar="FILE", help="picture of the error of every method")
    parser.add_argument(
        "--detector-plot", type=Path, metavar="FILE", help="picture of the network's errors and claims"
    )
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Look at every image once, measure, print the tables, write JSON and pictures. Raises DwError."""
    from dw_core.benchmarks.rendered import measure
    from dw_core.evaluation.rendered_report import detector_table, plot, plot_detector, rendered_table

    refuse_early(args)
    result = rounded(measure(args.footage, args.network, args.lag_ms, command(args), progress=not args.quiet))
    print(f"{rendered_table(result)}\n\n{detector_table(result)}")
    write_json(args, result)
    if args.plot is not None:
        plot(result, args.plot)
    if args.detector_plot is not None:
        plot_detector(result, args.detector_plot)
    return 0


def command(args: argparse.Namespace) -> str:
    """The command line again, with every option that the figures depend on."""
    words = ["dw", "bench", "rendered", "--footage", *(str(folder) for folder in args.footage)]
    return shlex.join([*words, "--network", args.network, "--lag-ms", str(args.lag_ms)])
