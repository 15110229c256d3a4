"""truth: what the skeletons of a rendered rig are worth, while they come.

Beside cameras that play rendered footage (`dw render`): publishes `truth/skeletons`, where everybody truly
was at each exposure, with its stamp, and compares every skeleton that comes with it. /diagnostics tells the
mean error of the last second, absolute, in millimetres.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

import numpy as np

from dw_core.data import messages
from dw_core.evaluation.metrics import joint_errors, nearest_person
from dw_core.interleave.schedule import Shot
from dw_core.skeleton import joint_set
from dw_core.synthetic.truth import load_truth
from dw_core.types import NS, Skeleton3D, TrackingState
from dw_ros import conversions, qos
from dw_ros.conversions import People
from dw_ros.msg import TriggerSchedule
from dw_ros.node import DwNode, Health, main_of
from dw_ros.parameters import Parameter
from dw_ros.ports import Bus

WINDOW_NS = NS


class TruthNode(DwNode):
    PARAMETERS = (
        Parameter("source", "", "Rendered footage: a folder that `dw render` wrote."),
        Parameter("joint_set", "coco17", "Joints of the skeletons, by name."),
        Parameter("world_frame", "world", "Frame of the skeletons."),
    )

    def __init__(self, name: str = "truth", bus: Bus | None = None, **options: Any) -> None:
        super().__init__(name, bus, **options)
        self._truth = load_truth(Path(self.value("source")))
        self._joints = joint_set(self.value("joint_set"))
        self._truth.require(self._joints)
        self._start_ns: int | None = None
        self._errors: deque[tuple[int, float]] = deque()
        self._compared = 0
        people = conversions.people_codec(self.value("world_frame"))
        self._out = self.outlet("truth/skeletons", people, qos.RELIABLE)
        schedule = conversions.message_codec(TriggerSchedule)
        self.inlet("trigger/schedule", schedule, qos.LATCHED, self._on_schedule)
        self.inlet("trigger/event", conversions.SHOT, qos.RELIABLE, self._on_shot)
        self.inlet("skeletons", people, qos.RELIABLE, self._compare)

    def _on_schedule(self, message: TriggerSchedule) -> None:
        self._start_ns = messages.schedule(message).shot(0).stamp_ns

    def _on_shot(self, shot: Shot) -> None:
        if self._start_ns is None:
            return
        everybody = self._truth.joints_at(shot.stamp_ns - self._start_ns)
        skeletons = [self._skeleton(shot.stamp_ns, k, joints) for k, joints in enumerate(everybody)]
        self._out.send(People(shot.stamp_ns, skeletons))

    def _skeleton(self, stamp_ns: int, number: int, joints: Any) -> Skeleton3D:
        J = len(self._joints)
        return Skeleton3D(
            stamp_ns=stamp_ns, identity=number, state=TrackingState.TRACKED, joint_set=self._joints.name,
            positions=joints, velocities=np.full((J, 3), np.nan), covariance=np.zeros((J, 3, 3)),
            confidence=np.ones(J), views=(), view_ages_ns=(),
        )  # fmt: skip

    def _compare(self, people: People) -> None:
        if self._start_ns is None:
            return
        everybody = self._truth.joints_at(people.stamp_ns - self._start_ns)
        for skeleton in people.skeletons:
            errors = joint_errors(skeleton.positions, nearest_person(skeleton.positions, everybody))
            self._errors.append((people.stamp_ns, float(np.nanmean(errors))))
            self._compared += 1
        while self._errors and people.stamp_ns - self._errors[0][0] > WINDOW_NS:
            self._errors.popleft()

    def health(self) -> Health:
        values: dict[str, Any] = {"skeletons compared": self._compared}
        if self._errors:
            values["MPJPE of the last second, mm"] = f"{1e3 * np.mean([e for _, e in self._errors]):.1f}"
        return Health(message="rendered footage: errors are true ones", values=values)


main = main_of(TruthNode, "truth")

if __name__ == "__main__":
    main()
