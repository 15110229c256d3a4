"""triangulation: dense sets in, skeletons out.

Reads dense/fresh, or with method dlt dense/temporal; decodes the maps to image points with covariances,
refines these, gives each point to the tracker as a ray with its own time, and publishes `skeletons`, one
array per exposure, empty while nobody is tracked: in mode causal the newest exposure's at once, in mode
window each one's after a lag, improved by what was seen since. Latched beside it: rig_calibration and
skeleton_definition. Where tf2 exists, /tf_static has the cameras and /tf has person_<id>: between the
hips, x ahead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

from dw_core.diagnostics.recent import Recent
from dw_core.joint_refiner import load_refiner
from dw_core.pipeline import Triangulation, require_possible
from dw_core.skeleton import joint_set
from dw_core.tracking.tracker import TrackerSettings
from dw_core.types import DenseSet, StageStamps, TrackingState
from dw_ros import conversions, distro, qos
from dw_ros.conversions import People
from dw_ros.managed import ManagedNode
from dw_ros.msg import RigCalibration, SkeletonDefinition
from dw_ros.node import Health, main_of
from dw_ros.parameters import RIG_TEXT, Parameter
from dw_ros.ports import Bus, Outlet

# From exposure to image at the heatmap node, to heatmaps, to the fused set, to the skeleton.
STAGES = ("image", "inference", "fusion", "tracking")
TRACKING, THRESHOLDS = TrackerSettings(), ("min_joints", "unknown_std_m", "confirm_s")
COUNTED = ("tracked", "initialising", "lost", "late")


class TriangulationNode(ManagedNode):
    _triangulation: Triangulation  # while it is configured

    PARAMETERS = (
        Parameter("rig", "", RIG_TEXT),
        Parameter("joint_set", "coco17", "Joints of the heatmaps, by name."),
        Parameter("world_frame", "world", "Frame of the skeletons."),
        Parameter("method", "tracker", "How joints become 3D.", choices=("tracker", "dlt"), live=True),
        Parameter(
            "mode",
            "causal",
            "causal: the newest exposure's skeleton at once; window: each exposure's after lag_ms, better.",
            choices=("causal", "window"),
            live=True,
        ),
        Parameter(
            "lag_ms",
            200,
            "Mode window: how far skeletons stay behind the newest observation.",
            0,
            200,
            live=True,
        ),
        Parameter(
            "joint_refiner",
            "packaged",
            "Network that says where a view's joints are, and how surely: packaged, none, or a file "
            "(.safetensors).",
            live=True,
        ),
        Parameter(
            "min_joints",
            TRACKING.min_joints,
            "Fewer known joints than this are no skeleton.",
            1,
            133,
            live=True,
        ),
        Parameter(
            "unknown_std_m",
            TRACKING.unknown_std_m,
            "A joint whose standard deviation is more than this, after the newest observation, is unknown.",
            0.01,
            1.0,
            live=True,
        ),
        Parameter(
            "confirm_s",
            TRACKING.confirm_s,
            "Without a view that confirms it for so long a track is lost.",
            0.05,
            5.0,
            live=True,
        ),
        Parameter(
            "max_latency_ms",
            150.0,
            "Diagnostics: WARN when 5 % of the skeletons come later than this after the newest exposure.",
            1.0,
            60_000.0,
            live=True,
        ),
    )

    def __init__(self, name: str = "triangulation", bus: Bus | None = None, **options: Any) -> None:
        super().__init__(name, bus, **options)
        self._rig = self.rig()
        self._joints = joint_set(self.value("joint_set"))
        self._frame = self.value("world_frame")
        self._state = TrackingState.LOST
        self._latencies = {stage: Recent() for stage in (*STAGES, "total", "waiting")}
        self._out = self.outlet("skeletons", conversions.people_codec(self._frame), qos.RELIABLE)
        self._frames = distro.MovingFrames(self)
        self._rig_out, self._joints_out = (
            self.outlet(topic, conversions.message_codec(kind), qos.LATCHED, latched=True)
            for topic, kind in (
                ("rig_calibration", RigCalibration),
                ("skeleton_definition", SkeletonDefinition),
            )
        )
        fresh, dense = conversions.fresh_codec(self._joints), conversions.dense_codec(self._joints)
        self.inlet("dense/fresh", fresh, qos.LARGE, partial(self._take, "tracker"))
        self._dense = self.inlet(
            "dense/temporal", dense, qos.LARGE, partial(self._take, "dlt"), on_demand=True
        )

    def configure(self) -> None:
        self._rig = self.rig_again(self._rig)
        self._triangulation = Triangulation(self._rig, self._joints, **self._settings({}))
        self._listen()

    def check(self, changes: Mapping[str, Any]) -> None:
        settings = self._settings(changes)
        require_possible(settings["method"], settings["mode"], settings["lag_s"])

    def changed(self, names: set[str]) -> None:
        self._triangulation.change(**self._settings({}))
        self._listen()

    def _listen(self) -> None:
        self._dense.listen(self.value("method") == "dlt")

    def _settings(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments of Triangulation from the parameters, with changes. Raises DwError for a joint refiner
        that cannot be read."""
        values = {one.name: self.value(one.name) for one in self.PARAMETERS} | dict(changes)
        return {
            "method": values["method"],
            "mode": values["mode"],
            "lag_s": values["lag_ms"] / 1000,
            "refiner": load_refiner(values["joint_refiner"], self._joints),
            "tracking": TrackerSettings(**{name: values[name] for name in THRESHOLDS}),
        }

    def activate(self) -> None:
        self._latch(self._rig_out, conversions.rig_to_message(self._rig, self._frame))
        self._latch(self._joints_out, conversions.joint_set_to_message(self._joints))
        distro.publish_static_frames(self, conversions.camera_frames(self._rig, self._frame))

    def cleanup(self) -> None:
        del self._triangulation

    def _latch(self, outlet: Outlet[Any], message: Any) -> None:
        message.header.stamp = self.get_clock().now().to_msg()
        outlet.send(message)

    def _take(self, method: str, dense: DenseSet) -> None:
        """Sets for one method: the tracker takes what was seen, and is first to get it."""
        if method == self._triangulation.method:
            self._triangulate(dense)

    def _triangulate(self, dense: DenseSet) -> None:
        began = self.now_ns()
        skeletons = self._triangulation.apply(dense)
        busy = dense.stamps.busy + self.now_ns() - began
        for skeleton in skeletons:
            stamped = replace(skeleton, stamps=replace(dense.stamps, published=self.now_ns(), busy=busy))
            self._note(dense, stamped.stamps)
            self._state = skeleton.state
            nobody = skeleton.state == TrackingState.LOST
            people = People(skeleton.stamp_ns, [] if nobody else [stamped])
            self._out.send(people)
            if self._frames.wanted:
                self._frames.send(conversions.person_frames(people, self._joints, self._frame))

    def _note(self, dense: DenseSet, stamps: StageStamps) -> None:
        """How long the newest observation took through each stage."""
        now_ns = stamps.published
        chain = (dense.target_ns, stamps.received, stamps.inferred, stamps.fused, now_ns)
        spans = [after_ns - before_ns for before_ns, after_ns in pairwise(chain)]
        total = sum(spans)
        for name, span_ns in zip(self._latencies, (*spans, total, total - stamps.busy), strict=True):
            self._latencies[name].add(now_ns, span_ns)

    def health(self) -> Health:
        now_ns = self.now_ns()
        state = self._state.name.lower()
        health = Health(message=state, values={"tracking_state": state})
        health.values["skeletons_per_s"] = len(self._latencies["total"].values(now_ns))
        for stage, recent in self._latencies.items():
            health.values |= recent.percentiles_ms(f"latency_{stage}", now_ns)
        counters = self._triangulation.counters
        health.values |= {f"skeletons_{name}": counters[name] for name in COUNTED}
        late_ms = float(health.values.get("latency_total_p95_ms", 0.0))
        if late_ms > self.value("max_latency_ms"):
            health.warn(f"skeletons come up to {late_ms:.0f} ms (p95) after the exposure")
        if self._state == TrackingState.LOST:
            health.warn("nobody is tracked")
        return health


main = main_of(TriangulationNode, "triangulation")

if __name__ == "__main__":
    main()
