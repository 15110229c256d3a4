"""`dw bench render`: what an image of a rendered scene costs."""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import time
from pathlib import Path
from typing import Any

from dw_core.cli.bench_output import add_json, refuse_early, write_json
from dw_core.errors import ConfigError
from dw_core.evaluation.results import rounded

SUMMARY = "processor time of an image of rendered scenes, with and without anti-aliasing"


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of `dw bench render`."""
    add_json(parser)
    parser.add_argument("scene", type=Path, nargs="+", help="scene files (YAML)")
    parser.add_argument("--frames", type=int, default=8, help="images of each view (default %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Measure, print the table, write the JSON. Raises DwError for bad input."""
    from dw_core.progress import bar
    from dw_core.synthetic.record import frame_of
    from dw_core.synthetic.scene import load_scene
    from dw_core.synthetic.stage import set_up
    from dw_core.synthetic.view import RoomView

    if args.frames < 1:
        raise ConfigError(f"--frames is {args.frames}, expected 1 or more")
    refuse_early(args)
    scenes = {}
    with bar("scenes", len(args.scene), not args.quiet) as advance:
        for path in args.scene:
            scene = load_scene(path)
            stage = set_up(scene)
            entry: dict[str, float] = {"room": scene.room, "lamps": len(stage.room.lights)}
            for samples in (1, 2):
                optics = dataclasses.replace(scene.optics, samples=samples)
                rooms, images = [], []
                for number, camera in enumerate(stage.rig):
                    start = time.process_time()
                    view = RoomView(stage.room, camera, optics, number, scene.seed)
                    rooms.append(time.process_time() - start)
                    for k in range(args.frames):
                        start = time.process_time()
                        frame_of(stage, view, k * scene.frames // args.frames)
                        images.append(1000 * (time.process_time() - start))
                entry |= {f"room_s_{samples}": statistics.median(rooms)}
                entry |= {f"image_ms_{samples}": statistics.median(images)}
            scenes[path.stem] = entry
            advance(1)
    names = " ".join(str(path) for path in args.scene)
    command = f"dw bench render {names} --frames {args.frames}"
    result = rounded({"schema_version": 1, "command": command, "scenes": scenes})
    print(table(result))
    write_json(args, result)
    return 0


def table(result: dict[str, Any]) -> str:
    """Processor time of an image and, once per view, of its empty room, scene by scene."""
    lines = [f"{'':14}{'room':>8}{'lamps':>8}{'image':>12}{'not anti-aliased':>18}{'once per view':>15}"]
    lines += [
        f"{name:14}{entry['room']:8.0f}{entry['lamps']:8.0f}{entry['image_ms_2']:9.1f} ms"
        f"{entry['image_ms_1']:15.1f} ms{entry['room_s_2']:13.2f} s"
        for name, entry in result["scenes"].items()
    ]
    return "\n".join(lines)
