"""`dw bench render`: what an image of a rendered scene costs."""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import time
from pathlib import Path

from dw_core.cli.bench_output import add_json, refuse_early, write_json
from dw_core.errors import ConfigError

SUMMARY = "processor time of an image of rendered scenes, with and without anti-aliasing"


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of `dw bench render`."""
    add_json(parser)
    parser.add_argument("scene", type=Path, nargs="+", help="scene files (YAML)")
    parser.add_argument("--frames", type=int, default=8, help="images of each view (default %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Measure, print the table, write the JSON. Raises DwError for bad input."""
    from dw_core.synthetic.record import frame_of
    from dw_core.synthetic.scene import load_scene
    from dw_core.synthetic.stage import set_up
    from dw_core.synthetic.view import RoomView

    if args.frames < 1:
        raise ConfigError(f"--frames is {args.frames}, expected 1 or more")
    refuse_early(args)
    result = {}
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
        result[path.stem] = entry
        print(
            f"{path.stem:14} room {scene.room:<6} {entry['lamps']:.0f} lamps: an image "
            f"{entry['image_ms_2']:6.1f} ms, {entry['image_ms_1']:6.1f} ms without anti-aliasing; "
            f"once per view {entry['room_s_2']:.2f} s, {entry['room_s_1']:.2f} s"
        )
    names = " ".join(str(path) for path in args.scene)
    command = f"dw bench render {names} --frames {args.frames}"
    write_json(args, {"schema_version": 1, "command": command, "scenes": result})
    return 0
