"""`dw render`: a scene file to images of every camera, with the truth beside them."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from dw_core.errors import ConfigError

EPILOG = """A scene says who moves how, in which room, before which cameras; config/scenes holds some.
The folder that comes out is footage: `dw up --source DIR` plays it with its own rig, and with the truth
in it `dw demo` and /diagnostics tell true errors.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of `dw render`."""
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("scene", type=Path, help="scene file (YAML)")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder to write, or to go on with"
    )
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count(), help="how many work at it (default: every core)"
    )
    parser.add_argument(
        "--sheet",
        type=Path,
        metavar="FILE",
        help="also a picture: all views at one moment, true joints drawn in",
    )
    parser.add_argument("--quiet", action="store_true", help="show no progress")


def run(args: argparse.Namespace) -> int:
    """Render, or go on with what was begun. Raises DwError for bad input."""
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(variable, "1")  # one process, one core: read when numpy is first imported
    from dw_core.synthetic.record import is_complete, record
    from dw_core.synthetic.scene import load_scene
    from dw_core.synthetic.sheet import contact_sheet

    if args.processes < 1:
        raise ConfigError(f"--processes is {args.processes}, expected 1 or more")
    scene = load_scene(args.scene)
    if is_complete(scene, args.out):
        print(f"{args.out} holds this scene already")
    record(scene, args.out, args.processes, progress=not args.quiet)
    print(f"{scene.frames} frames per camera, the rig and the truth are in {args.out}")
    if args.sheet is not None:
        contact_sheet(args.out, args.sheet)
        print(f"picture   {args.sheet}")
    return 0
