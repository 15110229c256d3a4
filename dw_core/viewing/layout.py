"""What `dw view` shows where: the world in the middle, the cameras beside it, the times below."""

from __future__ import annotations

import numpy as np
import rerun as rr
import rerun.blueprint as rrb

from dw_core.geometry.camera import Rig
from dw_core.types import FloatArray
from dw_core.viewing.recording import TIMELINE

DARK = (22, 24, 28)
# Seconds of the plots of a live run.
PLOTTED_S = 10.0
# The eye stands this far from the middle, times the cameras' distance.
EYE_DISTANCE = 0.9
EYE_HEIGHT_M = 0.9


def layout(rig: Rig, live: bool) -> rrb.Blueprint:
    """The windows for a rig; a live run is followed, a bag played in a loop."""
    views = [rrb.Spatial2DView(origin=f"world/{name}", name=name, background=DARK) for name in rig.names]
    half = (len(views) + 1) // 2
    eye, middle = viewpoint(rig)
    world = rrb.Spatial3DView(
        origin="world",
        name="world",
        background=DARK,
        eye_controls=rrb.EyeControls3D(position=eye, look_target=middle, eye_up=(0, 0, 1)),
    )
    pictures = rrb.Horizontal(
        rrb.Vertical(*views[:half]), world, rrb.Vertical(*views[half:]), column_shares=[1, 3, 1]
    )
    plots = rrb.Horizontal(
        _plot("latency", "latency after the exposure, ms", live), _plot("age", "age of the views, ms", live)
    )
    return rrb.Blueprint(
        rrb.Vertical(pictures, plots, row_shares=[3, 1]),
        rrb.TimePanel(
            state="collapsed",
            timeline=TIMELINE,
            play_state="following" if live else "playing",
            loop_mode=None if live else "all",
        ),
        rrb.BlueprintPanel(state="collapsed"),
        rrb.SelectionPanel(state="collapsed"),
    )


def viewpoint(rig: Rig) -> tuple[FloatArray, FloatArray]:
    """Where to look from (3,) and at (3,), metres: at the point nearest to all optical axes, from between two
    cameras, a little nearer and higher."""
    centres = np.stack([camera.centre for camera in rig])
    axes = np.stack([camera.R[2] for camera in rig])
    across = np.eye(3) - axes[:, :, None] * axes[:, None, :]
    middle = np.linalg.lstsq(across.sum(0), (across @ centres[:, :, None]).sum(0)[:, 0], rcond=None)[0]
    between = (centres[0] + centres[1]) / 2 - middle
    away = between if np.linalg.norm(between[:2]) > 0.5 else centres[0] - middle
    distance = EYE_DISTANCE * float(np.linalg.norm(centres - middle, axis=1).mean())
    eye = middle + distance * away / np.linalg.norm(away)
    eye[2] = middle[2] + EYE_HEIGHT_M
    return eye, middle


def _plot(origin: str, name: str, live: bool) -> rrb.TimeSeriesView:
    window = rr.VisibleTimeRange(
        TIMELINE,
        start=rr.TimeRangeBoundary.cursor_relative(seconds=-PLOTTED_S),
        end=rr.TimeRangeBoundary.cursor_relative(),
    )
    legend = rrb.PlotLegend(corner=rrb.Corner2D.RightTop)
    ranges = [window] if live else None
    return rrb.TimeSeriesView(origin=origin, name=name, plot_legend=legend, time_ranges=ranges)
