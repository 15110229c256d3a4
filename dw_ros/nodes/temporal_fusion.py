"""temporal_fusion: the Warper. Moves every stale view's map to the target time.

Reads dense/spatial, publishes dense/temporal. Without trained weights the maps pass through as
they are, and /diagnostics says so.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from dw_core.fusion.warper import TemporalFusion
from dw_core.skeleton import joint_set
from dw_core.types import DenseSet
from dw_ros import conversions, qos
from dw_ros.node import DwNode, Health, main_of
from dw_ros.parameters import Parameter
from dw_ros.ports import Bus


class TemporalFusionNode(DwNode):
    PARAMETERS = (
        Parameter("joint_set", "coco17", "Joints of the heatmaps, by name."),
        Parameter("weights", "", "Trained weights of the Warper. Empty: maps pass through."),
    )

    def __init__(self, name: str = "temporal_fusion", bus: Bus | None = None, **options: Any) -> None:
        super().__init__(name, bus, **options)
        joints = joint_set(self.value("joint_set"))
        codec = conversions.dense_codec(joints)
        weights = self.value("weights")
        self._fusion = TemporalFusion(Path(weights) if weights else None, joints)
        self._out = self.outlet("dense/temporal", codec, qos.LARGE)
        self.inlet("dense/spatial", codec, qos.LARGE, self._warp)

    def _warp(self, dense: DenseSet) -> None:
        warped = self._fusion.apply(dense)
        self._out.send(replace(warped, stamps=replace(warped.stamps, fused=self.now_ns())))

    def health(self) -> Health:
        return Health(message=self._fusion.description)


main = main_of(TemporalFusionNode, "temporal_fusion")

if __name__ == "__main__":
    main()
