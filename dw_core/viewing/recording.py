"""A run as a rerun recording: cameras, images, heatmaps, joints, skeletons, latency, all at their exposures.

Needs rerun (requirements/view.txt). Entities: `world/<camera>` (pinhole, image, heatmaps, joints, skeleton),
`world/person_<id>` (joints, bones, covariance, velocity), `world/truth_<id>`, `latency/<stage>`,
`age/<camera>`.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
import rerun as rr

from dw_core.data.footage import decode_jpeg
from dw_core.geometry.camera import Camera, Rig, project
from dw_core.skeleton import JointSet
from dw_core.types import FloatArray, Heatmaps, JpegFrame, Skeleton2D, Skeleton3D
from dw_core.viewing.draw import COLOURS, binning, heatmap_layer
from dw_core.viewing.shapes import ellipsoids, quaternions

TIMELINE = "exposure"
STAGES = ("received", "inferred", "fused", "published")
# Pictures are stored smaller, but with at least this many pixels one way.
PICTURE_PX = 480
JPEG_QUALITY = 80
PYRAMID_M = 0.5
JOINT_M, BONE_M = 0.03, 0.012
DEVIATIONS = 2.0
# Velocities are drawn as the way of this time.
VELOCITY_S = 0.1
TRUTH_COLOUR = (150, 150, 150)
# Of lines in the plots, in turn; R, G, B.
LINE_COLOURS = (
    (86, 180, 233), (230, 159, 0), (0, 158, 115), (213, 94, 0), (204, 121, 167), (240, 228, 66),
    (0, 114, 178), (150, 150, 150),
)  # fmt: skip


class Recording:
    """Writes values of a run into a rerun recording. Values of views that the rig does not have are left
    out, and of each view's images and heatmaps all but the first in every `picture_period_ns` (0: none)."""

    def __init__(
        self, stream: rr.RecordingStream, rig: Rig, joints: JointSet, picture_period_ns: int = 0
    ) -> None:
        self._stream, self._joints, self._picture_period_ns = stream, joints, picture_period_ns
        self._periods: dict[str, int] = {}
        self._cameras = {camera.name: camera for camera in rig}
        self._binnings = {camera.name: binning(camera, PICTURE_PX) for camera in rig}
        self._shown: set[str] = set()
        colours = [COLOURS[joints.side(joint)][::-1] for joint in joints.joints]
        self._joint_colours = np.array(colours, dtype=np.uint8)
        self._bone_colours = self._joint_colours[[b for _, b in joints.edges]]
        stream.log("world", rr.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)
        for camera in rig:
            self._camera(camera)
        lines = [f"latency/{stage}" for stage in STAGES], [f"age/{name}" for name in rig.names]
        for paths in lines:
            for path, colour in zip(paths, itertools.cycle(LINE_COLOURS)):
                stream.log(path, rr.SeriesLines(colors=colour, widths=1.5), static=True)

    def image(self, frame: JpegFrame) -> None:
        """One image of one view."""
        path = f"world/{frame.view}/image"
        if frame.view in self._cameras and self._is_due(path, frame.stamp_ns):
            data = _smaller(frame.data, self._binnings[frame.view])
            self._at(frame.stamp_ns)
            picture = rr.EncodedImage(contents=data, media_type="image/jpeg", draw_order=-10.0)
            self._stream.log(path, picture)

    def heatmaps(self, heatmaps: Heatmaps) -> None:
        """What the 2D network saw in one image, in the colours of the body's sides."""
        camera, path = self._cameras.get(heatmaps.view), f"world/{heatmaps.view}/heatmaps"
        if camera is None or not self._is_due(path, heatmaps.stamp_ns):
            return
        scale = self._binnings[camera.name]
        layer = heatmap_layer(heatmaps, self._joints, _picture_shape(camera, scale), 1 / scale)
        _, data = cv2.imencode(".png", layer, [cv2.IMWRITE_PNG_COMPRESSION, 1])
        self._at(heatmaps.stamp_ns)
        picture = rr.EncodedImage(contents=data.tobytes(), media_type="image/png", draw_order=-5.0)
        self._stream.log(path, picture)

    def joints(self, seen: Skeleton2D) -> None:
        """One view's 2D joints, smaller the less likely they are."""
        if seen.view not in self._cameras:
            return
        known = np.isfinite(seen.pixels).all(-1)
        places = self._place(seen.view, seen.pixels[known])
        radii = 1 + 2.5 * seen.confidence[known]
        self._at(seen.stamp_ns)
        colours = self._joint_colours[known]
        self._stream.log(f"world/{seen.view}/joints", rr.Points2D(places, radii=radii, colors=colours))

    def people(self, stamp_ns: int, skeletons: Sequence[Skeleton3D]) -> None:
        """Everybody at one time (none: nobody is tracked)."""
        self._at(stamp_ns)
        names = {f"world/person_{one.identity}" for one in skeletons}
        for gone in self._shown - names:
            self._stream.log(gone, rr.Clear(recursive=True))
        self._shown = names
        for one in skeletons:
            self._person(f"world/person_{one.identity}", one)
        for camera in self._cameras.values():
            self._reprojected(camera, skeletons)
        for one in skeletons[:1]:
            self._times(one)

    def truth(self, stamp_ns: int, skeletons: Sequence[Skeleton3D]) -> None:
        """Where everybody truly was, on rendered footage."""
        self._at(stamp_ns)
        for one in skeletons:
            strips, _ = self._bones(one.positions)
            bones = rr.LineStrips3D(strips, radii=BONE_M / 2, colors=TRUTH_COLOUR)
            self._stream.log(f"world/truth_{one.identity}/bones", bones)

    def _is_due(self, path: str, stamp_ns: int) -> bool:
        """Whether a picture is the first of its period; an image and its heatmaps are so together."""
        if not self._picture_period_ns:
            return True
        period = stamp_ns // self._picture_period_ns
        due = self._periods.get(path) != period
        self._periods[path] = period
        return due

    def _at(self, stamp_ns: int) -> None:
        self._stream.set_time(TIMELINE, timestamp=np.datetime64(stamp_ns, "ns"))

    def _camera(self, camera: Camera) -> None:
        path, scale = f"world/{camera.name}", self._binnings[camera.name]
        rows, columns = _picture_shape(camera, scale)
        K = camera.K.copy()
        K[:2, 2] += 0.5  # in rerun the first pixel's corner is the origin
        K[:2] /= scale
        pose = rr.Transform3D(translation=camera.centre, mat3x3=camera.R.T)
        pinhole = rr.Pinhole(
            image_from_camera=K,
            resolution=(columns, rows),
            camera_xyz=rr.ViewCoordinates.RDF,
            image_plane_distance=PYRAMID_M,
        )
        self._stream.log(path, pose, pinhole, static=True)

    def _place(self, view: str, pixels: FloatArray) -> FloatArray:
        """Pixels (..., 2) of the full image, in the stored picture."""
        place: FloatArray = (pixels + 0.5) / self._binnings[view]
        return place

    def _bones(self, points: FloatArray) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
        """Bones (E, 2, 2 or 3) of joints (J, 2 or 3) whose ends are known, and their colours (E, 3)."""
        strips = points[np.array(self._joints.edges)].astype(np.float32)
        known = np.isfinite(strips).all((1, 2))
        return strips[known], self._bone_colours[known]

    def _person(self, path: str, one: Skeleton3D) -> None:
        known = np.isfinite(one.positions).all(-1)
        positions, colours = one.positions[known], self._joint_colours[known]
        self._stream.log(f"{path}/joints", rr.Points3D(positions, radii=JOINT_M, colors=colours))
        strips, bone_colours = self._bones(one.positions)
        self._stream.log(f"{path}/bones", rr.LineStrips3D(strips, radii=BONE_M, colors=bone_colours))
        half, axes = ellipsoids(one.covariance[known], DEVIATIONS)
        sure = np.isfinite(half).all(-1)
        shape = rr.Ellipsoids3D(
            half_sizes=half[sure],
            centers=positions[sure],
            quaternions=quaternions(axes[sure]),
            colors=colours[sure],
            line_radii=0.001,
        )
        self._stream.log(f"{path}/covariance", shape)
        velocities = one.velocities[known]
        moving = np.isfinite(velocities).all(-1)
        arrows = rr.Arrows3D(
            vectors=VELOCITY_S * velocities[moving],
            origins=positions[moving],
            radii=0.004,
            colors=colours[moving],
        )
        self._stream.log(f"{path}/velocity", arrows)

    def _reprojected(self, camera: Camera, skeletons: Sequence[Skeleton3D]) -> None:
        """The skeletons in one image, through its lens."""
        parts = [self._bones(self._place(camera.name, project(camera, one.positions))) for one in skeletons]
        strips = np.concatenate([strip for strip, _ in parts] or [np.zeros((0, 2, 2), dtype=np.float32)])
        colours = np.concatenate([colour for _, colour in parts] or [np.zeros((0, 3), dtype=np.uint8)])
        lines = rr.LineStrips2D(strips, colors=colours, radii=0.8)
        self._stream.log(f"world/{camera.name}/skeleton", lines)

    def _times(self, one: Skeleton3D) -> None:
        """Latency of every stage after the exposure, and age of every view, ms."""
        for stage in STAGES:
            stamp = getattr(one.stamps, stage)
            if stamp:
                self._stream.log(f"latency/{stage}", rr.Scalars((stamp - one.stamp_ns) / 1e6))
        for view, age in zip(one.views, one.view_ages_ns, strict=True):
            self._stream.log(f"age/{view}", rr.Scalars(age / 1e6))


def _picture_shape(camera: Camera, scale: int) -> tuple[int, int]:
    """Rows and columns, as the JPEG decoder rounds them."""
    return -(-camera.height // scale), -(-camera.width // scale)


def _smaller(jpeg: bytes, scale: int) -> bytes:
    if scale == 1:
        return jpeg
    _, data = cv2.imencode(".jpg", decode_jpeg(jpeg, scale), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return data.tobytes()
