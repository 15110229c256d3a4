"""`dw bench footage`: the system on real video, against all that the cameras saw."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from dw_core.cli.bench_output import add_json, refuse_early, write_json
from dw_core.evaluation.results import rounded

SUMMARY = "the system on the demo's video, against all views at every frame"


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of `dw bench footage`."""
    parser.add_argument(
        "--source", type=Path, help="folder of synchronous video or images (default: what `dw fetch` brings)"
    )
    parser.add_argument(
        "--rig", type=Path, required=True, help="its rig file, as config/rigs/balance_beam.yaml"
    )
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Measure, print the table, write JSON. Raises DwError for bad input."""
    from dw_core.benchmarks.footage import measure, watched
    from dw_core.data import assets
    from dw_core.data.balance_beam import look
    from dw_core.data.footage import Footage
    from dw_core.data.rigs import load_rig
    from dw_core.evaluation.footage_report import footage_table
    from dw_core.joint_refiner import PACKAGED, load_refiner
    from dw_core.progress import bar
    from dw_core.skeleton import COCO17

    refuse_early(args)
    rig = load_rig(args.rig)
    footage = Footage.open(args.source or assets.footage(), rig.names)
    maps = look(rig, footage, not args.quiet)
    seen = watched(rig, maps, footage.rate_hz)
    refined = watched(rig, maps, footage.rate_hz, load_refiner(PACKAGED, COCO17))
    source = () if args.source is None else ("--source", str(args.source))
    command = shlex.join(("dw", "bench", "footage", *source, "--rig", str(args.rig)))
    with bar("ticks", 2 * len(seen.scene) * (len(rig) + 1), not args.quiet) as advance:
        result = rounded(measure(seen, refined, command, advance))
    print(footage_table(result))
    write_json(args, result)
    return 0
