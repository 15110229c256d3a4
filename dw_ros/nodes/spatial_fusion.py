"""spatial_fusion: heatmaps of all views in, one dense set per tick out, epipolar fusion applied.

Collects <view>/heatmaps as they come (the views never agree on a time; nothing is waited for),
fills the views that did not fire, fuses along epipolar lines and publishes dense/spatial.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import replace
from typing import Any

from dw_core.fusion.spatial import SpatialFusion
from dw_core.interleave.timing import MIN_FRAMES, camera_timing
from dw_core.interleave.window import Window, WindowSettings
from dw_core.skeleton import joint_set
from dw_core.types import Heatmaps
from dw_ros import conversions, qos
from dw_ros.managed import AUTOSTART, ManagedNode
from dw_ros.node import Health, main_of
from dw_ros.parameters import RIG_TEXT, Parameter
from dw_ros.ports import Bus

# Of every view, for its measured rate: four seconds at 15 Hz.
STAMPS_KEPT = 60


class SpatialFusionNode(ManagedNode):
    _window: Window  # while it is configured
    _fusion: SpatialFusion

    PARAMETERS = (
        AUTOSTART,
        Parameter("rig", "", RIG_TEXT),
        Parameter("joint_set", "coco17", "Joints of the heatmaps, by name."),
        Parameter(
            "form", "sampled_view", "Which views lend evidence.", choices=("sampled_view", "all_views")
        ),
        Parameter("own_weight", 0.5, "Weight (lambda) of a view's own map against the others.", 0.0, 1.0),
        Parameter("max_age_ms", 500, "A view's map older than this is left out.", 1, 60_000),
        Parameter(
            "lateness_ms", 100, "An observation later than this behind the newest is dropped.", 0, 60_000
        ),
        Parameter(
            "lookahead_ms",
            0,
            "0: every set at once, filled with what was seen before. More: each waits for lookahead_ms and "
            "lateness_ms, filled with the maps nearest in time, before or after.",
            0,
            1000,
        ),
    )

    def __init__(self, name: str = "spatial_fusion", bus: Bus | None = None, **options: Any) -> None:
        super().__init__(name, bus, **options)
        self._rig = rig = self.rig()
        joints = joint_set(self.value("joint_set"))
        self._out = self.outlet("dense/spatial", conversions.dense_codec(joints), qos.LARGE)
        codec = conversions.heatmaps_codec(joints)
        self._stamps: dict[str, deque[int]] = {view: deque(maxlen=STAMPS_KEPT) for view in rig.names}
        for view in rig.names:
            # One worker for all views: it alone touches window and fusion.
            self.inlet(f"{view}/heatmaps", codec, qos.SENSOR, self._fuse, worker="fusion", queue=2)

    def configure(self) -> None:
        self._rig = self.rig_again(self._rig)
        names = ("max_age_ms", "lateness_ms", "lookahead_ms")
        settings = WindowSettings(*(self.value(name) * 1_000_000 for name in names))
        self._window = Window(self._rig.names, settings)
        self._fusion = SpatialFusion(self._rig, self.value("form"), self.value("own_weight"))

    def cleanup(self) -> None:
        del self._window, self._fusion

    def _fuse(self, heatmaps: Heatmaps) -> None:
        if heatmaps.view in self._stamps:
            self._stamps[heatmaps.view].append(heatmaps.stamp_ns)
        for dense in self._window.push(heatmaps):
            began = time.perf_counter_ns()
            fused = self._fusion.apply(dense)
            busy = fused.stamps.busy + time.perf_counter_ns() - began
            self._out.send(replace(fused, stamps=replace(fused.stamps, busy=busy)))

    def health(self) -> Health:
        health = Health(values=dict(self._window.counters))
        for view, seen in self._stamps.items():
            stamps = list(seen)
            if len(set(stamps)) >= MIN_FRAMES:
                timing = camera_timing(view, stamps)
                health.values |= {
                    f"{view} rate_hz": f"{timing.rate_hz:.3f}",
                    f"{view} jitter_ms": f"{timing.jitter_ns / 1e6:.3f}",
                    f"{view} frames_missing": timing.dropped,
                }
        return health


main = main_of(SpatialFusionNode, "spatial_fusion")

if __name__ == "__main__":
    main()
