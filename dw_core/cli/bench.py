"""`dw bench`: what the system costs on this machine."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
from pathlib import Path
from typing import Any

from dw_core.errors import ConfigError

DEFAULT_VIEWS, DEFAULT_TICKS = "2,4,8,16", 240
DEFAULT_WARPERS = "fast,paper,none"


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of `dw bench`."""
    benchmarks = parser.add_subparsers(
        title="benchmarks", dest="benchmark", metavar="BENCHMARK", required=True
    )
    summary = "time of every stage, beside one pass of the 2D network"
    speed = benchmarks.add_parser("speed", help=summary, description=f"{summary.capitalize()}.")
    speed.add_argument("--json", type=Path, metavar="FILE", help="write all figures to FILE")
    speed.add_argument("--views", default=DEFAULT_VIEWS, help="numbers of cameras (default %(default)s)")
    speed.add_argument(
        "--ticks",
        type=int,
        default=DEFAULT_TICKS,
        help="exposures per number of cameras (default %(default)s)",
    )
    speed.add_argument(
        "--threads", type=int, default=1, help="of the network; nodes use 1 unless told (default %(default)s)"
    )
    speed.add_argument("--quiet", action="store_true", help="show no progress")
    summary = "time from a new frame to a pose on a GPU, with each Warper and with cameras in step"
    gpu = benchmarks.add_parser("gpu", help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
    gpu.add_argument("--json", type=Path, metavar="FILE", help="write all figures to FILE")
    gpu.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="default %(default)s")
    gpu.add_argument("--size", type=int, default=384, help="side of the network's images, px (%(default)s)")
    gpu.add_argument("--ticks", type=int, default=DEFAULT_TICKS, help="poses of each kind (%(default)s)")
    gpu.add_argument("--warper", default=DEFAULT_WARPERS, help="which of %(default)s, with commas (all)")
    gpu.add_argument("--quiet", action="store_true", help="show no progress")
    summary = "memory, CPU and start-up of every node as a process of its own (needs ROS)"
    nodes = benchmarks.add_parser("nodes", help=summary, description=f"{summary.capitalize()}.")
    nodes.add_argument("--json", type=Path, metavar="FILE", help="write all figures to FILE")
    nodes.add_argument(
        "--duration-s", type=float, default=20.0, help="how long the graph runs (default %(default)s)"
    )
    nodes.add_argument("--rate-hz", type=float, help="frames per second of each camera (parameter file: 15)")
    nodes.add_argument(
        "--repeats", type=int, default=3, help="starts of each node alone, median (default %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Measure, print the table, write the JSON. Raises ConfigError, AssetError."""
    # As in the nodes (see dw_ros/__init__.py): it is read when numpy is first imported.
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    if args.json is not None:
        _write(args.json, "", "a")  # refused now rather than after minutes of work
    result, text = {"speed": _speed, "gpu": _gpu, "nodes": _nodes}[args.benchmark](args)
    print(text)
    if args.json is not None:
        _write(args.json, json.dumps(result, indent=2) + "\n")
    return 0


def _nodes(args: argparse.Namespace) -> tuple[dict[str, Any], str]:
    # named, not imported: dw_core must not depend on dw_ros
    nodes = importlib.import_module("dw_ros.cli.bench_nodes")
    result = nodes.run(args)
    return result, nodes.table(result)


def _speed(args: argparse.Namespace) -> tuple[dict[str, Any], str]:
    from dw_core.benchmarks import speed

    try:
        views = [int(count) for count in args.views.split(",")]
    except ValueError:
        raise ConfigError(
            f"--views is '{args.views}', expected numbers with commas, as {DEFAULT_VIEWS}"
        ) from None
    command = f"dw bench speed --views {args.views} --ticks {args.ticks} --threads {args.threads}"
    result = speed.measure(views, args.ticks, args.threads, command, progress=not args.quiet)
    return result, table(result)


def _gpu(args: argparse.Namespace) -> tuple[dict[str, Any], str]:
    from dw_core.evaluation import gpu_report

    if importlib.util.find_spec("torch") is None:
        raise ConfigError("dw bench gpu needs torch: run `.venv/bin/pip install -r requirements/train.txt`")
    from dw_core.benchmarks import gpu

    command = f"dw bench gpu --device {args.device} --size {args.size} --ticks {args.ticks}"
    command += f" --warper {args.warper}"
    warpers = args.warper.split(",")
    result = gpu.measure(args.device, args.size, args.ticks, warpers, command, progress=not args.quiet)
    return result, gpu_report.text(result)


def _write(path: Path, text: str, mode: str = "w") -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open(mode) as file:
            file.write(text)
    except OSError as error:
        raise ConfigError(f"--json: {path} cannot be written ({error.strerror})") from error


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
