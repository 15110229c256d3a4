"""spatial_fusion: heatmaps of all views in, one dense set per tick out, epipolar fusion applied.

Collects <view>/heatmaps as they come (the views never agree on a time; nothing is waited for),
fills the views that did not fire, fuses along epipolar lines and publishes, each for those who ask for it:
dense/fresh, of the view that fired, which is all that the tracker takes; dense/spatial, of all views; and
dense/spatial_and_raw, which has the maps as seen too, for a Warper.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dw_core.data import messages
from dw_core.diagnostics.levels import Level
from dw_core.diagnostics.views import ViewLimits, ViewWatch
from dw_core.fusion.spatial import SpatialFusion
from dw_core.interleave.schedule import Schedule
from dw_core.interleave.window import Window, WindowSettings
from dw_core.skeleton import joint_set
from dw_core.types import DenseSet, Heatmaps
from dw_ros import conversions, qos
from dw_ros.managed import ManagedNode
from dw_ros.msg import TriggerSchedule
from dw_ros.node import Health, main_of
from dw_ros.parameters import RIG_TEXT, Parameter
from dw_ros.ports import Bus

COUNTED = (
    "used", "out_of_order", "late", "early", "duplicate", "reset", "unknown_view", "missing", "overflow"
)  # fmt: skip
# Parameters that are fields of ViewLimits.
LIMITS = ("min_rate", "max_phase_error_ms", "max_jitter_ms", "max_drops", "silent_ms")


class SpatialFusionNode(ManagedNode):
    _window: Window  # while it is configured
    _fusion: SpatialFusion

    PARAMETERS = (
        Parameter("rig", "", RIG_TEXT),
        Parameter("joint_set", "coco17", "Joints of the heatmaps, by name."),
        Parameter(
            "form",
            "sampled_view",
            "Which views lend evidence.",
            choices=("sampled_view", "all_views"),
            live=True,
        ),
        Parameter(
            "own_weight", 0.5, "Weight (lambda) of a view's own map against the others.", 0.0, 1.0, live=True
        ),
        Parameter("max_age_ms", 500, "A view's map older than this is left out.", 1, 60_000, live=True),
        Parameter(
            "lateness_ms",
            100,
            "An observation later than this behind the newest is dropped.",
            0,
            60_000,
            live=True,
        ),
        Parameter(
            "lookahead_ms",
            0,
            "0: every set at once, filled with what was seen before. More: each waits for lookahead_ms and "
            "lateness_ms, filled with the maps nearest in time, before or after.",
            0,
            1000,
            live=True,
        ),
        Parameter("min_rate", 0.9, "WARN when a view has less of its rate.", 0.0, 1.0, live=True),
        Parameter("max_phase_error_ms", 2.0, "WARN when a view is more off schedule.", 0.0, 1e3, live=True),
        Parameter("max_jitter_ms", 2.0, "WARN when a view's exposures jitter more.", 0.0, 1e3, live=True),
        Parameter("max_drops", 0.05, "WARN when more of a view's frames are dropped.", 0.0, 1.0, live=True),
        Parameter("silent_ms", 1000, "ERROR when a view is silent for longer.", 1, 600_000, live=True),
    )

    def __init__(self, name: str = "spatial_fusion", bus: Bus | None = None, **options: Any) -> None:
        super().__init__(name, bus, **options)
        self._rig = rig = self.rig()
        joints = joint_set(self.value("joint_set"))
        # First what the skeleton waits for.
        self._fresh = self.outlet("dense/fresh", conversions.fresh_codec(joints), qos.LARGE)
        self._fused = [
            self.outlet("dense/spatial", conversions.dense_codec(joints), qos.LARGE),
            self.outlet("dense/spatial_and_raw", conversions.dense_codec(joints, raw=True), qos.LARGE),
        ]
        codec = conversions.heatmaps_codec(joints)
        self._views = {view: ViewWatch(view) for view in rig.names}
        self._schedule: Schedule | None = None
        self._stopped = False  # the trigger says so
        schedule = conversions.message_codec(TriggerSchedule)
        self.inlet("trigger/schedule", schedule, qos.LATCHED, self._on_schedule, gated=False)
        for view in rig.names:
            # One worker for all views: it alone touches window and fusion.
            self.inlet(f"{view}/heatmaps", codec, qos.SENSOR, self._fuse, worker="fusion", queue=2)

    def configure(self) -> None:
        self._rig = self.rig_again(self._rig)
        self._window = Window(self._rig.names, self._settings())
        self._fusion = SpatialFusion(self._rig, self.value("form"), self.value("own_weight"))

    def _settings(self) -> WindowSettings:
        names = ("max_age_ms", "lateness_ms", "lookahead_ms")
        return WindowSettings(*(self.value(name) * 1_000_000 for name in names))

    def changed(self, names: set[str]) -> None:
        self._window.settings = self._settings()
        self._fusion.form, self._fusion.own_weight = self.value("form"), self.value("own_weight")

    def cleanup(self) -> None:
        del self._window, self._fusion

    def _fuse(self, heatmaps: Heatmaps) -> None:
        due = self._window.push(heatmaps)
        if heatmaps.view in self._views:
            self._views[heatmaps.view].seen(heatmaps.stamp_ns, self._window.refusal)
        for dense in due:
            began = self.now_ns()
            fused = self._stamped(self._fusion.apply(dense), began)
            self._fresh.send(fused)
            if any(outlet.heard for outlet in self._fused):
                began = self.now_ns()
                fused = self._stamped(fused.computed(), began)
            for outlet in self._fused:
                outlet.send(fused)

    def _stamped(self, dense: DenseSet, began_ns: int) -> DenseSet:
        now_ns, before = self.now_ns(), dense.stamps
        return replace(dense, stamps=replace(before, fused=now_ns, busy=before.busy + now_ns - began_ns))

    def _on_schedule(self, message: TriggerSchedule) -> None:
        self._stopped = not message.running
        self._schedule = messages.schedule(message) if message.running else None
        for watch in self._views.values():
            watch.begin(messages.time_ns(message.header.stamp))

    def health(self) -> Health:
        counters = self._window.counters
        return Health(values={name: counters[name] for name in COUNTED})

    def parts(self) -> dict[str, Health]:
        limits = ViewLimits(**{name: self.value(name) for name in LIMITS})
        now_ns, schedule = self.now_ns(), self._schedule
        parts = {view: Health(*watch.report(now_ns, schedule, limits)) for view, watch in self._views.items()}
        for health in parts.values():
            if self._stopped and health.level == Level.ERROR:  # nobody fires, so nobody is to be seen
                health.level, health.message = Level.OK, "the trigger is stopped"
        return parts


main = main_of(SpatialFusionNode, "spatial_fusion")

if __name__ == "__main__":
    main()
