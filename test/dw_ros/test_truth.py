"""The truth node: the truth with the stamps of the exposures, and true errors of what the graph says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter

from dw_core.data import messages
from dw_core.errors import ConfigError, MediaError
from dw_core.interleave.schedule import uniform_schedule
from dw_core.skeleton import COCO17
from dw_core.synthetic.truth import FILE
from dw_core.types import Skeleton3D, TrackingState
from dw_ros import conversions, graph, qos
from dw_ros.conversions import People
from dw_ros.msg import Skeleton3DArray, TriggerEvent, TriggerSchedule
from dw_ros.nodes.truth import TruthNode
from dw_ros.ports import Bus

T, P, J = 6, 2, len(COCO17)
RATE_HZ = 20.0
MS = 1_000_000


def joints() -> np.ndarray:
    """Two people (T, P, J, 3), 3 m apart, each moving 1 cm per frame."""
    rng = np.random.default_rng(0)
    body = rng.normal(scale=0.4, size=(J, 3))
    apart = np.array([(0.0, 0.0, 1.0), (3.0, 0.0, 1.0)])
    return body + apart[:, None] + 0.01 * np.arange(T)[:, None, None, None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    flags = {name: np.ones((1, T, P, J), bool) for name in ("inside", "hidden", "self_hidden")}
    np.savez(
        tmp_path / FILE,
        stamps_ns=np.arange(T) * 50 * MS, joints=joints(), joint_names=np.array(COCO17.joints),
        pivots=joints(), pivot_names=np.array(COCO17.joints), cameras=np.array(["c0"]),
        pixels=np.zeros((1, T, P, J, 2)), **flags,
    )  # fmt: skip
    return tmp_path


@pytest.fixture
def truth(context: Context, folder: Path) -> Iterator[TruthNode]:
    bus = Bus()
    overrides = [RosParameter("source", value=str(folder))]
    node = TruthNode(bus=bus, context=context, parameter_overrides=overrides)
    bus.connect()
    yield node
    bus.close()
    node.destroy_node()


def test_it_publishes_the_truth_and_tells_the_true_error(
    truth: TruthNode, node: Node, spin_until: Callable[..., None]
) -> None:
    heard: list[Skeleton3DArray] = []
    node.create_subscription(Skeleton3DArray, "truth/skeletons", heard.append, qos.RELIABLE)
    schedules = node.create_publisher(TriggerSchedule, "trigger/schedule", qos.LATCHED)
    shots = node.create_publisher(TriggerEvent, "trigger/event", qos.RELIABLE)
    skeletons = node.create_publisher(Skeleton3DArray, "skeletons", qos.RELIABLE)
    schedule = uniform_schedule(("c0",), RATE_HZ, epoch_ns=7_000 * MS)
    publishers = (schedules, shots, skeletons)
    spin_until(lambda: all(one.get_subscription_count() for one in publishers), truth, node)
    announced = TriggerSchedule(running=True, cameras=["c0"], period_ns=schedule.period_ns, phase_ns=[0])
    announced.epoch = conversions.to_time(schedule.epoch_ns)
    schedules.publish(announced)

    shot = schedule.shot(7)  # played backwards from frame 5 on: frame 3
    shots.publish(conversions.shot_to_message(shot))
    spin_until(lambda: heard or shots.publish(conversions.shot_to_message(shot)), truth, node)
    found = [messages.skeleton3d(one) for one in heard[0].skeletons]
    assert messages.time_ns(heard[0].header.stamp) == shot.stamp_ns and len(found) == P
    np.testing.assert_allclose([one.positions for one in found], joints()[3], atol=1e-6)

    off = joints()[3, 1] + (0.0, 0.03, 0.04)  # the second person, 50 mm off
    off[4] = np.nan
    seen = Skeleton3D(
        shot.stamp_ns,
        1,
        TrackingState.TRACKED,
        COCO17.name,
        off,
        off,
        np.zeros((J, 3, 3)),
        np.ones(J),
        (),
        (),
    )
    codec = conversions.people_codec("world")
    skeletons.publish(codec.to_message(People(shot.stamp_ns, [seen])))
    spin_until(lambda: truth.health().values["skeletons compared"], truth, node)
    assert truth.health().values["MPJPE of the last second, mm"] == "50.0"


def test_rendered_footage_brings_the_truth_and_its_rig_into_the_graph(folder: Path, rig: object) -> None:
    from dw_core.data.rigs import save_rig

    save_rig(rig, folder / "rig.yaml")  # type: ignore[arg-type]
    specs = graph.interleaved_graph(graph.GraphOptions(source=str(folder)))
    (found,) = (spec for spec in specs if spec.executable == "truth")
    assert found.full_name == "/dw/truth" and found.parameters == {"source": str(folder)}
    assert {spec.parameters.get("rig") for spec in specs} == {None, str(folder / "rig.yaml")}
    (folder / FILE).unlink()
    specs = graph.interleaved_graph(graph.GraphOptions(source=str(folder)))
    assert "truth" not in {spec.executable for spec in specs}


def test_footage_without_truth_and_truth_of_other_joints_are_refused(context: Context, folder: Path) -> None:
    with np.load(folder / FILE) as file:
        data = dict(file)
    np.savez(folder / FILE, **(data | {"joint_names": np.array(["x"] * J)}))
    for source, error in ((folder, ConfigError), (folder / "nowhere", MediaError)):
        with pytest.raises(error):
            TruthNode(context=context, parameter_overrides=[RosParameter("source", value=str(source))])
