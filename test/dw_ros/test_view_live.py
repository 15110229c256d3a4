"""`dw view --live`: what a running graph publishes arrives in a rerun file, at its exposures."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rclpy.node import Node

from dw_core.geometry.camera import Rig
from dw_core.skeleton import COCO17
from dw_core.types import Skeleton2D, Skeleton3D, StageStamps, TrackingState
from dw_ros import conversions, msg, qos
from dw_ros.conversions import People

if sys.version_info < (3, 11):
    pytest.skip("rerun's wheels need Python 3.11", allow_module_level=True)

from rerun.chunk import RrdReader

J = len(COCO17)
START_NS = 1_700_000_000_000_000_000
EXPOSURES = 20


def exposures(file: Path, entity: str) -> list[int]:
    """The stamps of an entity in a rerun file, in order."""
    found: list[int] = []
    for chunk in RrdReader(str(file)).stream():
        batch = chunk.to_record_batch()
        if chunk.entity_path == entity and "exposure" in batch.schema.names:
            found += batch.column("exposure").cast("int64").to_pylist()
    return sorted(found)


def test_a_running_graph_arrives_with_its_exposures(
    start: Callable[..., Any], node: Node, rig: Rig, spin_until: Callable[..., None], tmp_path: Path
) -> None:
    """The view comes first and waits; the graph's latched topics begin it."""
    file = tmp_path / "run.rrd"
    command = start("view", "--live", "--namespace", "lab", "--save", str(file))
    spin_until(lambda: "waiting for the graph in /lab" in command.output(), node, limit_s=60)
    for topic, kind, message in (
        ("rig_calibration", msg.RigCalibration, conversions.rig_to_message(rig, "world")),
        ("skeleton_definition", msg.SkeletonDefinition, conversions.joint_set_to_message(COCO17)),
    ):
        node.create_publisher(kind, f"/lab/{topic}", qos.LATCHED).publish(message)
    people = node.create_publisher(msg.Skeleton3DArray, "/lab/skeletons", qos.RELIABLE)
    seen = node.create_publisher(msg.Skeleton2D, "/lab/c1/skeleton2d", qos.RELIABLE)
    publishers = people, seen
    spin_until(lambda: all(one.get_subscription_count() for one in publishers), node)

    positions = np.random.default_rng(0).uniform(-0.5, 0.5, (J, 3))
    stamps = [START_NS + k * 16_666_667 for k in range(EXPOSURES)]
    for stamp in stamps:
        pixels = np.full((J, 2), 100.0)
        joints = Skeleton2D("c1", stamp, pixels, np.zeros((J, 2, 2)), np.ones(J))
        seen.publish(conversions.skeleton2d_codec(COCO17).to_message(joints))
        one = Skeleton3D(
            stamp, 1, TrackingState.TRACKED, "coco17", positions, np.zeros((J, 3)), np.zeros((J, 3, 3)),
            np.ones(J), ("c1",), (0,), StageStamps(stamp + 1, stamp + 2, stamp + 3, stamp + 4),
        )  # fmt: skip
        people.publish(conversions.people_codec("world").to_message(People(stamp, [one])))
        assert people.wait_for_all_acked()
    assert command.interrupt() == 0, command.output()
    assert "Traceback" not in command.output() and "WARN" not in command.output()
    assert f"the run is in {file}" in command.output()
    shown = exposures(file, "/world/person_1/joints")
    # what was acknowledged may still wait in the view's queue of ten when it is interrupted
    assert shown == stamps[: len(shown)] and len(shown) >= EXPOSURES - 10
    assert exposures(file, "/latency/published") == shown
    assert set(exposures(file, "/world/c1/joints")) <= set(stamps)
    assert exposures(file, "/world/c1/joints")
