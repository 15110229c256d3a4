"""temporal_fusion: the Warper. Moves every stale view's map to the target time.

Reads dense/spatial_and_raw, publishes dense/temporal, while somebody listens: of another process nothing
is asked for before. Without trained weights it reads dense/spatial, the maps pass through as they are, and
/diagnostics says so.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from dw_core.errors import ConfigError
from dw_core.fusion.warper import TemporalFusion
from dw_core.fusion.weights import packaged_weights
from dw_core.skeleton import JointSet, joint_set
from dw_core.types import DenseSet
from dw_ros import conversions, qos
from dw_ros.managed import ManagedNode
from dw_ros.node import Health, main_of
from dw_ros.parameters import Parameter
from dw_ros.ports import Bus, follow_demand

PACKAGED = "packaged"


class TemporalFusionNode(ManagedNode):
    _fusion: TemporalFusion  # while it is configured

    PARAMETERS = (
        Parameter("joint_set", "coco17", "Joints of the heatmaps, by name."),
        Parameter(
            "weights",
            "",
            "Trained weights of the Warper: a file, or packaged for those that come with the package. Empty: "
            "maps pass through.",
        ),
    )

    def __init__(self, name: str = "temporal_fusion", bus: Bus | None = None, **options: Any) -> None:
        super().__init__(name, bus, **options)
        joints, warps = joint_set(self.value("joint_set")), bool(self.value("weights"))
        self._out = self.outlet("dense/temporal", conversions.dense_codec(joints), qos.LARGE)
        topic = "dense/spatial_and_raw" if warps else "dense/spatial"
        codec = conversions.dense_codec(joints, raw=warps)
        self._in = self.inlet(topic, codec, qos.LARGE, self._warp, on_demand=True)

    def start(self) -> None:
        follow_demand(self, [self._in], lambda: self._in.listen(self._out.heard))
        super().start()

    def configure(self) -> None:
        joints = joint_set(self.value("joint_set"))
        self._fusion = TemporalFusion(_weights(self.value("weights"), joints), joints)

    def cleanup(self) -> None:
        del self._fusion

    def _warp(self, dense: DenseSet) -> None:
        began = self.now_ns()
        warped = self._fusion.apply(dense)
        busy = warped.stamps.busy + self.now_ns() - began
        self._out.send(replace(warped, stamps=replace(warped.stamps, fused=self.now_ns(), busy=busy)))

    def health(self) -> Health:
        through = str(self._fusion.passes_through).lower()
        values = {"model": self._fusion.description, "passes_through": through}
        return Health(message=self._fusion.description, values=values)


def _weights(name: str, joints: JointSet) -> Path | None:
    if name != PACKAGED:
        return Path(name) if name else None
    packaged = packaged_weights(joints.name)
    if packaged is None:
        raise ConfigError(f"no weights of the Warper for joint set {joints.name} come with the package")
    return packaged


main = main_of(TemporalFusionNode, "temporal_fusion")

if __name__ == "__main__":
    main()
