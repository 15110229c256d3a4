"""`dw eval`: what a recorded run was worth."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from dw_core.cli.bench_output import add_json, refuse_early, write_json


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of `dw eval`."""
    kinds = parser.add_subparsers(title="what", dest="what", metavar="WHAT", required=True)
    bag = kinds.add_parser("bag", help="a bag of the whole graph", description="Figures of a recorded run.")
    bag.add_argument("bag", type=Path, metavar="BAG", help="folder of the bag, or one file of it")
    against = bag.add_mutually_exclusive_group()
    against.add_argument(
        "--truth",
        metavar="TOPIC",
        help="compare with the people on this topic of the bag (truth/skeletons, if it is there)",
    )
    against.add_argument(
        "--reference",
        type=Path,
        metavar="BAG",
        help="compare with another run of the same exposures, by stamp",
    )
    bag.add_argument("--plots", type=Path, metavar="DIR", help="draw skeletons, latency and errors into DIR")
    add_json(bag)


def run(args: argparse.Namespace) -> int:
    """Print what a run was worth, write JSON and pictures. Raises DwError for bad input."""
    # As in the nodes (see dw_ros/__init__.py): it is read when numpy is first imported.
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    from dw_core.data.bags import TRUTH_TOPIC, read_run
    from dw_core.errors import MediaError
    from dw_core.evaluation.bag import evaluate, of_run
    from dw_core.evaluation.bag_report import report

    refuse_early(args)
    recorded = read_run(args.bag, args.truth or TRUTH_TOPIC)
    if args.truth and not recorded.truth:
        raise MediaError(f"{args.bag} holds nobody on {args.truth}, expected a topic of Skeleton3DArray")
    reference = read_run(args.reference) if args.reference else None
    for one in (recorded, reference):
        if one is not None and one.warning:
            print(f"dw: warning: {one.warning}", file=sys.stderr)
    figures = evaluate(recorded, reference, not args.quiet)
    print(report(figures))
    write_json(args, figures)
    if args.plots:
        from dw_core.evaluation.bag_plots import plot

        poses = of_run(reference)[0] if reference else dict(recorded.truth)
        print("written   " + "  ".join(str(path) for path in plot(recorded, poses, args.plots)))
    return 0
