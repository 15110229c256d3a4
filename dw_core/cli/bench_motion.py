"""`dw bench motion`: errors of skeletons against the truth of motion capture."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from dw_core.cli.bench_output import add_json, refuse_early, write_json
from dw_core.errors import ConfigError
from dw_core.evaluation.results import rounded

if TYPE_CHECKING:
    from dw_core.benchmarks.motion import Settings
    from dw_core.geometry.camera import Rig

SUMMARY = "errors of skeletons from staggered views, on motion capture"
ALL = "all"
# Name, placeholder, default, meaning: lists of which every combination is run.
LISTS = (
    ("tick-ms", "MS", "20", "between exposures"),
    ("noise", "NOISE", "detector", "none, gaussian:PX or detector, the simulated 2D network"),
    ("jitter", "FRACTION", "0", "standard deviation of the ticks' times, as a part of a tick"),
    ("drops", "FRACTION", "0", "part of the exposures that is lost"),
    ("views", "N", "0", "the first N cameras of the rig, 0 for all"),
    ("methods", "METHOD", ALL, "which methods, or all"),
    ("mode", "MODE", "causal,window", "causal: at once; window: later, better"),
)
PEERS = ("warper-no-dt", "paper-warper", "mcc")
T = TypeVar("T")


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of `dw bench motion`."""
    add_input(parser)
    for name, placeholder, default, text in LISTS:
        parser.add_argument(
            f"--{name}",
            default=default,
            metavar=f"{placeholder}[,{placeholder}...]",
            help=f"{text} (default {default})",
        )
    for name, kind, value, text in (
        ("limit-s", float, 60.0, "seconds of each clip at most, from its middle"),
        ("lag-ms", float, 200.0, "of the tracker's window mode, 200 at most"),
        ("seed", int, 0, "of all that is random"),
    ):
        parser.add_argument(f"--{name}", type=kind, default=value, help=f"{text} (default {value})")
    for name, text in (
        ("warper", "the Warper's"),
        *((name, f"the network's of method {name.replace('-', '_')}") for name in PEERS),
    ):
        parser.add_argument(f"--{name}", type=Path, metavar="FILE", help=f"weights: {text}")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="pictures of the errors")
    add_json(parser)


def add_input(parser: argparse.ArgumentParser) -> None:
    """Options that every benchmark on motion capture has."""
    parser.add_argument(
        "--motion", type=Path, nargs="+", required=True, metavar="PATH",
        help="files (.amc, .bvh, .npz) or folders",
    )  # fmt: skip
    parser.add_argument("--rig", type=Path, required=True, help="rig file, or the Human3.6M cameras (.json)")
    parser.add_argument(
        "--subject", default="S9", help="whose cameras, in a Human3.6M file (default %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Measure, print the tables, write JSON and pictures. Raises DwError for bad input."""
    from dw_core.benchmarks.motion import measure
    from dw_core.evaluation.motion_plots import plot_all
    from dw_core.evaluation.motion_report import motion_table

    refuse_early(args)
    result = rounded(measure(args.motion, rig(args), settings(args), command(args), progress=not args.quiet))
    print(motion_table(result))
    write_json(args, result)
    if args.plots is not None:
        plot_all(result, args.plots)
    return 0


def rig(args: argparse.Namespace) -> Rig:
    """The rig of --rig and --subject. Raises CalibrationError."""
    from dw_core.data.rigs import load_h36m, load_rig

    return load_h36m(args.rig, args.subject) if args.rig.suffix.lower() == ".json" else load_rig(args.rig)


def settings(args: argparse.Namespace) -> Settings:
    """The settings of the options. Raises ConfigError."""
    from dw_core.benchmarks.catalogue import METHODS
    from dw_core.benchmarks.motion import Settings

    return Settings(
        tick_ms=numbers("tick-ms", args.tick_ms, float),
        noise=tuple(args.noise.split(",")),
        jitter=numbers("jitter", args.jitter, float),
        drops=numbers("drops", args.drops, float),
        views=numbers("views", args.views, int),
        methods=tuple(METHODS) if args.methods == ALL else tuple(args.methods.split(",")),
        modes=tuple(args.mode.split(",")),
        limit_s=args.limit_s,
        lag_ms=args.lag_ms,
        seed=args.seed,
        warper=args.warper,
        warper_no_dt=args.warper_no_dt,
        paper_warper=args.paper_warper,
        mcc=args.mcc,
    )


def numbers(option: str, text: str, kind: Callable[[str], T]) -> tuple[T, ...]:
    """Numbers with commas between them. Raises ConfigError."""
    try:
        return tuple(kind(word) for word in text.split(","))
    except ValueError:
        raise ConfigError(f"--{option} is '{text}', expected numbers with commas, as 5,10,20") from None


def command(args: argparse.Namespace) -> str:
    """The command line again, with every option that the figures depend on."""
    words = ["dw", "bench", args.benchmark]
    for name, value in vars(args).items():
        if name in ("command", "benchmark", "json", "quiet", "plots") or value is None or callable(value):
            continue
        values = value if isinstance(value, list) else [value]
        words += [f"--{name.replace('_', '-')}", *(str(v) for v in values)]
    return shlex.join(words)
