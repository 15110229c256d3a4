"""Reading a recorded run back from a bag (MCAP or sqlite3), without ROS.

The bag carries its own message definitions, so nothing of ROS has to be installed. Bags that were split or
cut off read too (bag_reader.py).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dw_core.data import messages
from dw_core.data.bag_reader import Bag
from dw_core.data.bag_topics import Topic
from dw_core.errors import MediaError
from dw_core.geometry.camera import Rig
from dw_core.interleave.schedule import Schedule
from dw_core.types import FloatArray, Skeleton2D

IntArray = npt.NDArray[np.int64]
TRUTH_TOPIC = "truth/skeletons"
_TRUTH = "truth"


@dataclass(frozen=True, eq=False)
class Run:
    """What a bag says of one run of the graph, in order of arrival.

    `schedule`: who was to fire when. `observations`: the 2D joints of all views, in order of their stamps.
    T skeletons of the first person: `stamps_ns` (T,) exposure, `received_ns`, `published_ns` and
    `bag_ns` (T,) (image at the heatmap node, skeleton published, skeleton at the recorder), `busy_ns` (T,)
    what the stages spent computing, `positions` (T, J, 3) m, NaN where nobody is tracked. `truth`: of
    rendered footage, everybody's joints (P, J, 3) by the stamps of the exposures; empty for real footage.
    `velocities` (T, J, 3) m/s; `inferred_ns` and `fused_ns` (T,): when the 2D network and the fusion were
    done. `warning`: why the bag ended early and what was read of it, empty for a whole one.
    """

    rig: Rig
    joint_set: str
    schedule: Schedule
    observations: tuple[Skeleton2D, ...]
    stamps_ns: IntArray
    received_ns: IntArray
    published_ns: IntArray
    bag_ns: IntArray
    busy_ns: IntArray
    positions: FloatArray
    truth: Mapping[int, FloatArray] = field(default_factory=dict)
    velocities: FloatArray = field(default_factory=lambda: np.zeros((0, 0, 3)))
    inferred_ns: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    fused_ns: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    warning: str = ""

    @property
    def tracked(self) -> npt.NDArray[np.bool_]:
        """Which of the T ticks have a skeleton (T,)."""
        return np.asarray(np.isfinite(self.positions).any(axis=(1, 2)))


def read_run(path: Path, truth_topic: str = TRUTH_TOPIC) -> Run:
    """Read a bag, up to where it was cut off. Raises MediaError naming what is missing in it."""
    by_kind: dict[str, list[tuple[int, Any]]] = defaultdict(list)
    wanted = {"RigCalibration", "SkeletonDefinition", "TriggerSchedule", "Skeleton2D", "Skeleton3DArray"}
    bag = Bag(path)

    def kind_of(topic: Topic) -> str:
        package, _, name = topic.type.split("/")
        if name == "Skeleton3DArray" and topic.name.endswith(truth_topic):
            return _TRUTH
        other_truth = topic.name.endswith(TRUTH_TOPIC)
        return name if package == "dw_ros" and name in wanted and not other_truth else ""

    for topic, stamp, data in bag.messages(lambda topic: kind_of(topic) != ""):
        by_kind[kind_of(topic)].append((stamp, bag.decode(topic, data)))
    for kind in sorted(wanted):
        if not by_kind[kind]:
            raise MediaError(f"{path} holds no {kind}, expected a recording of the whole graph")
    running = [message for _, message in by_kind["TriggerSchedule"] if message.running]
    if not running:
        raise MediaError(f"{path} was recorded while the trigger stood still, expected a run")
    observations = [messages.skeleton2d(message) for _, message in by_kind["Skeleton2D"]]
    definition = by_kind["SkeletonDefinition"][-1][1]
    return Run(
        rig=messages.rig(by_kind["RigCalibration"][-1][1]),
        joint_set=definition.name,
        schedule=messages.schedule(running[-1]),
        observations=tuple(sorted(observations, key=lambda one: one.stamp_ns)),
        truth=dict(_truth(message) for _, message in by_kind[_TRUTH]),
        warning=bag.warning,
        **_skeletons(by_kind["Skeleton3DArray"], len(definition.joint_names)),
    )


def _truth(message: Any) -> tuple[int, FloatArray]:
    people = [messages.skeleton3d(one).positions for one in message.skeletons]
    return messages.time_ns(message.header.stamp), np.stack(people)


def _skeletons(arrays: list[tuple[int, Any]], joints: int) -> dict[str, Any]:
    """Stamps (T,), positions and velocities (T, J, 3) of the first person of each array."""
    unknown = np.full((joints, 3), np.nan)
    people = [messages.skeleton3d(array.skeletons[0]) if array.skeletons else None for _, array in arrays]
    stages = ("received", "inferred", "fused", "published")
    passed = {
        f"{stage}_ns": np.array([getattr(one.stamps, stage) if one else 0 for one in people], dtype=np.int64)
        for stage in stages
    }
    return passed | {
        "stamps_ns": np.array([messages.time_ns(array.header.stamp) for _, array in arrays], dtype=np.int64),
        "busy_ns": np.array([one.stamps.busy if one else 0 for one in people], dtype=np.int64),
        "bag_ns": np.array([stamp for stamp, _ in arrays], dtype=np.int64),
        "positions": np.stack([one.positions if one else unknown for one in people]),
        "velocities": np.stack([one.velocities if one else unknown for one in people]),
    }
