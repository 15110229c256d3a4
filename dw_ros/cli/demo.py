"""`dw demo`: the interleaved graph on real four-camera footage at real-time rate, and what it was worth."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

from dw_core.cli.doctor import distribution
from dw_core.data.bags import Run, read_run
from dw_core.data.footage import Footage
from dw_core.errors import ConfigError
from dw_core.evaluation.demo_report import report
from dw_core.evaluation.results import finite
from dw_core.evaluation.run import summarise
from dw_ros import graph
from dw_ros.nodes import recorder
from dw_ros.processes import Processes

POLL_S = 0.2
BAR = "{l_bar}{bar}| {elapsed}<{remaining}"


def configure(parser: argparse.ArgumentParser) -> None:
    graph.add_arguments(parser)
    parser.add_argument(
        "--composition", choices=graph.COMPOSITIONS, default="composed", help="see `dw up --help`"
    )
    parser.add_argument("--out", type=Path, default=Path("out/demo"), help="folder to write (%(default)s)")
    parser.add_argument("--duration-s", type=float, default=20.0, help="how long to run (%(default)s s)")


def run(args: argparse.Namespace) -> int:
    options = graph.from_arguments(args, args.composition)
    if not args.duration_s >= 3:
        raise ConfigError(
            f"--duration-s is {args.duration_s:g}, expected at least 3 (the graph starts up within it)"
        )
    if options.source == "external":
        raise ConfigError("--source external has no footage to draw on, expected 'footage' or a folder")
    # What the demo publishes is for this machine; a user who wants more says so.
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    specs = graph.processes(options)
    bag = _fresh_folder(args.out) / "bag"
    code = _play(specs, options, bag, args.duration_s)
    if code:
        return code
    print("reading the bag back")
    recorded = read_run(bag)
    summary = summarise(recorded) | _circumstances(options, args.duration_s)
    text = json.dumps(finite(summary), indent=2, allow_nan=False)
    (args.out / "summary.json").write_text(f"{text}\n")
    _draw(recorded, Footage.open(graph.source_folder(options.source), recorded.rig.names), args.out)
    print(report(summary))
    print(f"written   {args.out}/summary.json  overlay.jpg  skeletons_3d.png  bag/")
    return 0


def _fresh_folder(out: Path) -> Path:
    """The output folder, without what an earlier demo wrote into it (nothing else is touched)."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"--out {out} cannot be made ({error.strerror}), expected a folder to write"
        ) from None
    shutil.rmtree(out / "bag", ignore_errors=True)
    for name in ("summary.json", "overlay.jpg", "skeletons_3d.png"):
        (out / name).unlink(missing_ok=True)
    return out


def _play(
    specs: tuple[graph.NodeSpec, ...], options: graph.GraphOptions, bag: Path, duration_s: float
) -> int:
    """Run the graph and the recorder for a while; the exit code."""
    with Processes() as processes:
        processes.start("recorder", recorder.command(bag, options.namespace))
        for spec in specs:
            processes.start(spec.full_name, graph.command(spec, options))
        steps = tqdm(range(round(duration_s / POLL_S)), desc="interleaved graph", bar_format=BAR)
        if any(processes.wait(POLL_S) for _ in steps):
            steps.close()
        return processes.stop()


def _circumstances(options: graph.GraphOptions, duration_s: float) -> dict[str, Any]:
    return {
        "duration_s": duration_s,
        "rig": graph.rig_of(options).stem,
        "source": options.source,
        "composition": options.composition,
        "distro": distribution(),
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "command": "dw " + " ".join(sys.argv[1:]),
    }


def _draw(recorded: Run, footage: Footage, out: Path) -> None:
    from dw_core.evaluation.figures import contact_sheet, plot_3d

    contact_sheet(recorded, footage, out / "overlay.jpg")
    plot_3d(recorded, out / "skeletons_3d.png")
