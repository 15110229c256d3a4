"""`dw bench speed`: what every stage costs on this machine."""

from __future__ import annotations

import argparse
from typing import Any

from dw_core.cli.bench_output import add_json, refuse_early, write_json
from dw_core.errors import ConfigError
from dw_core.evaluation.results import rounded

SUMMARY = "time of every stage, beside one pass of the 2D network"
DEFAULT_VIEWS, DEFAULT_TICKS = "2,4,8,16", 240


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of `dw bench speed`."""
    add_json(parser)
    parser.add_argument("--views", default=DEFAULT_VIEWS, help="numbers of cameras (default %(default)s)")
    parser.add_argument(
        "--ticks",
        type=int,
        default=DEFAULT_TICKS,
        help="exposures per number of cameras (default %(default)s)",
    )
    parser.add_argument(
        "--threads", type=int, default=1, help="of the network; nodes use 1 unless told (default %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Measure, print the table, write the JSON. Raises ConfigError, AssetError."""
    from dw_core.benchmarks import speed

    try:
        views = [int(count) for count in args.views.split(",")]
    except ValueError:
        raise ConfigError(
            f"--views is '{args.views}', expected numbers with commas, as {DEFAULT_VIEWS}"
        ) from None
    refuse_early(args)
    command = f"dw bench speed --views {args.views} --ticks {args.ticks} --threads {args.threads}"
    result = rounded(speed.measure(views, args.ticks, args.threads, command, progress=not args.quiet))
    print(table(result))
    write_json(args, result)
    return 0


def table(result: dict[str, Any]) -> str:
    """The figures of `speed.measure` for a terminal."""
    header = f"{'median':>14} {'95 %':>12} {'per second':>12} {'of a pass':>10}"
    lines = [f"network pass: {result['network']}", f"temporal stage: {result['temporal']}"]
    for views, entry in result["views"].items():
        new = f"{views} views, new crops in {100 * entry['new_crops_fraction']:.0f} % of ticks"
        lines += ["", f"{new:40}{header}", *(_line(*stage) for stage in entry["stages"].items())]
    pencil, batch = result["pencil"], result["batch_triangulation"]
    size = f"{pencil['cells']}x{pencil['cells']}"
    rows = result["other_networks"] | {
        f"fusion at {size}, {name}": pencil[name] for name in ("plain", "pencil")
    }
    lines += ["", "beside them, in the same run", *(_line(*row) for row in rows.items()), ""]
    count = f"{batch['frames']} x {batch['joints']} x {batch['views']}"
    lines += [f"robust triangulation of {count}: {batch['median_s']:.2f} s"]
    lines += [f"peak memory: {result['peak_memory_mb']:.0f} MB, all networks and rings in one process", ""]
    for name, ratio in result["ratios"].items():
        lines.append(f"  {name:57} {'not run' if ratio is None else f'{ratio:.3f}'}")
    return "\n".join(lines)


def _line(name: str, times: dict[str, float]) -> str:
    text = f"  {name:38}{times['median_ms']:11.3f} ms {times['p95_ms']:9.2f} ms {times['per_second']:12.0f}"
    return text + (f" {times['over_network_pass']:10.3f}" if "over_network_pass" in times else "")
