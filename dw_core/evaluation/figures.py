"""Pictures of a run: the skeletons drawn over the footage, and in space."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import matplotlib
import numpy as np
import numpy.typing as npt

from dw_core.data.bags import Run
from dw_core.data.footage import Footage, decode_jpeg
from dw_core.errors import MediaError
from dw_core.geometry.camera import Camera, Rig, project
from dw_core.interleave.schedule import Shot
from dw_core.skeleton import JointSet, joint_set
from dw_core.types import FloatArray
from dw_core.viewing.draw import COLOURS, draw_skeleton

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402 (the backend must be chosen first)

Picture = npt.NDArray[np.uint8]
SHEET_ROWS = 3
TILE_HEIGHT = 480
TRAILS = ("left_wrist", "right_wrist", "left_ankle", "right_ankle")


def overlay(run: Run, footage: Footage, shot: Shot, camera: Camera) -> Picture:
    """The image that `camera` took at a shot of its own, with the skeleton of that tick drawn over it."""
    index = footage.index_at(camera.name, shot.stamp_ns - run.schedule.shot(0).stamp_ns)
    picture = decode_jpeg(footage.jpeg(camera.name, index), binning=2)
    (at,) = np.flatnonzero(run.stamps_ns == shot.stamp_ns)[:1]
    draw_skeleton(picture, project(camera, run.positions[at]), joint_set(run.joint_set), 0.5)
    scale = TILE_HEIGHT / picture.shape[0]
    tile = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    seconds = (shot.stamp_ns - run.schedule.shot(0).stamp_ns) / 1e9
    cv2.putText(
        tile,
        f"{camera.name}  {seconds:.3f} s",
        (8, 22),
        cv2.FONT_HERSHEY_SIMPLEX,
        0.6,
        (255, 255, 255),
        2,
        cv2.LINE_AA,
    )
    return np.asarray(tile, dtype=np.uint8)


def contact_sheet(
    run: Run, footage: Footage, path: Path, first_row_s: float = 0.5, step_s: float = 0.4
) -> None:
    """One row per time, one column per view; within a row the views are one tick apart, as they fired."""
    tracked = set(run.stamps_ns[run.tracked].tolist())
    first_ns = min(tracked)
    rows = []
    for row in range(SHEET_ROWS):
        start_ns = first_ns + round((first_row_s + row * step_s) * 1e9)
        tiles = [
            overlay(run, footage, _shot_of(run, camera, start_ns, tracked), camera) for camera in run.rig
        ]
        rows.append(np.hstack(_same_width(tiles)))
    width = min(row.shape[1] for row in rows)
    cv2.imwrite(str(path), np.vstack([row[:, :width] for row in rows]))


def _shot_of(run: Run, camera: Camera, start_ns: int, tracked: set[int]) -> Shot:
    """The first shot of a camera at or after a time that gave a skeleton."""
    number = run.schedule.first_from(start_ns)
    while True:
        shot = run.schedule.shot(number)
        if shot.stamp_ns > max(tracked):
            raise MediaError(f"the run is over before {camera.name} is shown, expected one of a few seconds")
        if shot.camera == camera.name and shot.stamp_ns in tracked:
            return shot
        number += 1


def _same_width(tiles: list[Picture]) -> list[Picture]:
    width = min(tile.shape[1] for tile in tiles)
    return [tile[:, :width] for tile in tiles]


def plot_3d(run: Run, path: Path) -> None:
    """Skeletons in space with the paths of wrists and ankles, the rig from above, and heights over time."""
    joints = joint_set(run.joint_set)
    positions, stamps = run.positions[run.tracked], run.stamps_ns[run.tracked]
    figure = plt.figure(figsize=(15, 5.2))
    grid = figure.add_gridspec(1, 3, width_ratios=(1.1, 0.8, 1.3))
    _plot_space(figure.add_subplot(grid[0], projection="3d"), positions, joints)
    _plot_plan(figure.add_subplot(grid[1]), positions, run.rig)
    _plot_heights(figure.add_subplot(grid[2]), positions, (stamps - stamps[0]) / 1e9, joints)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _plot_space(axes: Any, positions: FloatArray, joints: JointSet) -> None:
    """Three skeletons (T, J, 3) a second apart, and paths."""
    for at, opacity in zip(
        np.linspace(0, min(len(positions) - 1, 60), 3).astype(int), (0.35, 0.6, 1), strict=True
    ):
        for a, b in joints.edges:
            bone = positions[at, [a, b]]
            axes.plot(*bone.T, color=_rgb(joints.side(joints.joints[b])), lw=2.5, alpha=opacity)
    for name in _trails(joints):
        axes.plot(*positions[:, joints.index(name)].T, color=_rgb(joints.side(name)), lw=0.6)
    axes.set(xlabel="x, m", ylabel="y, m", zlabel="z, m", title="skeletons half a second apart, paths")
    axes.set_aspect("equal")
    axes.view_init(elev=12, azim=-60)


def _plot_plan(axes: Any, positions: FloatArray, rig: Rig) -> None:
    """The rig and the person's path from above."""
    centre = np.nanmedian(positions, axis=1)
    axes.plot(centre[:, 0], centre[:, 1], color="tab:green", lw=2)
    for camera in rig:
        x, y = camera.centre[:2]
        axes.plot(x, y, "ks", ms=6)
        axes.annotate(camera.name, (x, y), xytext=(5, 5), textcoords="offset points", fontsize=8)
        axes.arrow(x, y, *(0.8 * camera.R[2, :2]), width=0.02, color="black")
    axes.set(xlabel="x, m", ylabel="y, m", title="cameras and the person from above")
    axes.set_aspect("equal")
    axes.margins(0.15)
    axes.grid(alpha=0.3)


def _plot_heights(axes: Any, positions: FloatArray, seconds: FloatArray, joints: JointSet) -> None:
    for name in _trails(joints):
        axes.plot(seconds, positions[:, joints.index(name), 2], lw=0.9, label=name.replace("_", " "))
    axes.set(xlabel="time, s", ylabel="height, m", title=f"{len(positions)} skeletons, one per exposure")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=4, frameon=False, fontsize=8)
    axes.grid(alpha=0.3)


def _trails(joints: JointSet) -> list[str]:
    return [name for name in TRAILS if name in joints.joints]


def _rgb(side: str) -> tuple[float, float, float]:
    b, g, r = (0.6 * channel / 255 if side == "centre" else channel / 255 for channel in COLOURS[side])
    return r, g, b
