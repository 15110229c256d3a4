"""Markers of every kind, each in its namespace and switched by its parameter; and the RViz file fits them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter
from visualization_msgs.msg import Marker, MarkerArray

from dw_core.data.rigs import save_rig
from dw_core.geometry.camera import Rig, project
from dw_core.skeleton import COCO17
from dw_core.types import Skeleton2D, Skeleton3D, TrackingState
from dw_ros import conversions, msg, qos
from dw_ros.conversions import People
from dw_ros.nodes.markers import MarkersNode
from dw_ros.nodes.overlay import OverlayNode
from dw_ros.ports import Bus

ROOT = Path(__file__).parents[2]
J, WRIST = len(COCO17), COCO17.index("left_wrist")
MS = 1_000_000
PERSON = {f"person_1/{kind}" for kind in ("joints", "bones", "velocity", "covariance")}
TRAILS = {f"trail/{side}_{joint}" for side in ("left", "right") for joint in ("wrist", "ankle")}


@pytest.fixture
def rig_path(rig: Rig, tmp_path: Path) -> str:
    save_rig(rig, tmp_path / "rig.yaml")
    return str(tmp_path / "rig.yaml")


@pytest.fixture
def markers(context: Context, rig_path: str) -> Iterator[MarkersNode]:
    bus = Bus()
    overrides = [RosParameter("rig", value=rig_path), RosParameter("max_rate_hz", value=1000.0)]
    overrides.append(RosParameter("covariance", value=True))
    node = MarkersNode(bus=bus, context=context, parameter_overrides=overrides)
    bus.connect()
    node.start()
    yield node
    bus.close()
    node.destroy_node()


def skeleton(stamp_ns: int) -> Skeleton3D:
    """Joints around the middle of the rig that move along x at 1 m/s; the nose is not known."""
    rng = np.random.default_rng(3)
    positions = rng.uniform(-0.5, 0.5, (J, 3)) + (stamp_ns / 1e9 % 1, 0.0, 0.0)
    positions[0] = np.nan
    covariance = np.tile(np.diag([0.01, 0.02, 0.03]) ** 2, (J, 1, 1))
    velocities = np.tile((1.0, 0.0, 0.0), (J, 1))
    return Skeleton3D(
        stamp_ns, 1, TrackingState.TRACKED, COCO17.name, positions, velocities, covariance, np.ones(J), (), ()
    )


class Show:
    """Publishes people and what the views saw of them until an array of markers comes back."""

    def __init__(self, markers: MarkersNode, node: Node, rig: Rig, spin_until: Callable[..., None]) -> None:
        self.arrays: list[MarkerArray] = []
        self._markers, self._node, self._rig, self._spin = markers, node, rig, spin_until
        self._stamp_ns = 1_000 * MS
        node.create_subscription(MarkerArray, "skeleton_markers", self.arrays.append, qos.RELIABLE)
        self._people = node.create_publisher(msg.Skeleton3DArray, "skeletons", qos.RELIABLE)
        self._seen = {
            view: node.create_publisher(msg.Skeleton2D, f"{view}/skeleton2d", qos.SENSOR)
            for view in rig.names
        }
        spin_until(lambda: self._people.get_subscription_count(), markers, node)

    @property
    def listeners(self) -> int:
        """How many of the views' joints the node listens to."""
        return sum(one.get_subscription_count() for one in self._seen.values())

    def once(self, somebody: bool = True) -> list[Marker]:
        """The next markers, of a skeleton 20 ms later, or of nobody."""
        self._stamp_ns += 20 * MS
        one = skeleton(self._stamp_ns)
        for camera in self._rig:
            pixels = project(camera, one.positions)
            seen = Skeleton2D(camera.name, self._stamp_ns, pixels, np.zeros((J, 2, 2)), np.ones(J))
            codec = conversions.skeleton2d_codec(COCO17)
            self._seen[camera.name].publish(codec.to_message(seen))
        people = People(self._stamp_ns, [one] if somebody else [])
        before = len(self.arrays)
        self._people.publish(conversions.people_codec("world").to_message(people))
        self._spin(lambda: len(self.arrays) > before, self._markers, self._node)
        return list(self.arrays[-1].markers)

    def until(self, condition: Callable[[list[Marker]], bool]) -> list[Marker]:
        """Again and again until the markers are as they should be; 100 times at most."""
        for _ in range(100):
            found = self.once()
            if condition(found):
                return found
        raise AssertionError(f"never: {sorted(names(found))}")

    def set(self, **values: Any) -> None:
        self._markers.set_parameters([RosParameter(name, value=value) for name, value in values.items()])


def names(markers: list[Marker]) -> set[str]:
    return {marker.ns for marker in markers if marker.action == Marker.ADD}


@pytest.fixture
def show(markers: MarkersNode, node: Node, rig: Rig, spin_until: Callable[..., None]) -> Show:
    show = Show(markers, node, rig, spin_until)
    # the first array comes when both sides have found each other
    spin_until(lambda: markers._out.wanted, markers, node)
    return show


def test_every_kind_has_a_namespace_and_a_switch(show: Show) -> None:
    show.once()
    found = show.once()
    assert names(found) == PERSON | TRAILS | {"cameras"}
    kinds = {
        "skeleton": {"person_1/joints", "person_1/bones"},
        "velocity": {"person_1/velocity"},
        "covariance": {"person_1/covariance"},
        "cameras": {"cameras"},
    }
    for kind, gone in kinds.items():
        show.set(**{kind: False})
        found = show.once()
        assert names(found) == (PERSON | TRAILS | {"cameras"}) - gone
        assert found[0].action == Marker.DELETEALL, "what was shown must go"
        show.set(**{kind: True})
    show.set(trail_s=0.0)
    assert names(show.until(lambda found: not names(found) & TRAILS)) == PERSON | {"cameras"}


def test_ids_are_unique_and_stay(show: Show) -> None:
    for _ in range(3):
        found = show.once()
    ids = [(marker.ns, marker.id) for marker in found]
    assert len(set(ids)) == len(ids)
    assert {(marker.ns, marker.id) for marker in show.once()} == set(ids)


def test_markers_are_where_the_numbers_say(show: Show, rig: Rig) -> None:
    show.once()
    found = show.once()
    one = skeleton(found[0].header.stamp.sec * 10**9 + found[0].header.stamp.nanosec)
    assert {marker.header.frame_id for marker in found} == {"world"}
    counts = Counter(marker.ns for marker in found)
    assert counts["person_1/covariance"] == J - 1  # the nose is not known
    (arrows,) = (marker for marker in found if marker.ns == "person_1/velocity")
    lines = np.array([(p.x, p.y, p.z) for p in arrows.points]).reshape(J - 1, 6, 3)
    np.testing.assert_allclose(lines[:, 0], one.positions[1:], atol=1e-6)
    for end in (1, 3, 5):
        np.testing.assert_allclose(lines[:, end] - lines[:, 0], np.tile((0.1, 0, 0), (J - 1, 1)), atol=1e-6)
    barbs = lines[:, [2, 4]] - lines[:, :1]
    np.testing.assert_allclose(barbs[..., 0], 0.07, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(barbs[..., 1:], axis=-1), 0.015, atol=1e-6)
    shape = next(marker for marker in found if marker.ns == "person_1/covariance")
    sizes = sorted((shape.scale.x, shape.scale.y, shape.scale.z))
    np.testing.assert_allclose(sizes, (0.04, 0.08, 0.12), rtol=1e-5)  # 2 x 2 deviations
    (cameras,) = (marker for marker in found if marker.ns == "cameras")
    assert len(cameras.points) == 16 * len(rig)


def test_rays_of_the_chosen_joint_meet_in_it_and_are_asked_for_only_then(show: Show, rig: Rig) -> None:
    show.once()
    assert show.listeners == 0
    show.set(epipolar_joint="left_wrist")
    rays = {f"epipolar/{view}" for view in rig.names}
    found = show.until(lambda found: names(found) >= rays)
    stamp = found[0].header.stamp
    wrist = skeleton(stamp.sec * 10**9 + stamp.nanosec).positions[WRIST]
    for marker in found:
        if marker.ns in rays:
            start, end = (np.array([p.x, p.y, p.z]) for p in marker.points)
            along = (end - start) / np.linalg.norm(end - start)
            off = (wrist - start) - along * (along @ (wrist - start))
            assert np.linalg.norm(off) < 0.05  # of now, or of 20 ms ago
            assert np.linalg.norm(end - start) > np.linalg.norm(wrist - start)
    show.set(epipolar_joint="none")
    show.until(lambda found: not names(found) & rays and show.listeners == 0)


def test_a_new_calibration_moves_the_cameras(show: Show, rig: Rig, node: Node) -> None:
    def first(found: list[Marker]) -> np.ndarray:
        (cameras,) = (marker for marker in found if marker.ns == "cameras")
        return np.array([cameras.points[0].x, cameras.points[0].y, cameras.points[0].z])

    np.testing.assert_allclose(first(show.once()), rig[0].centre, atol=1e-6)
    moved = Rig(tuple(replace(camera, t=camera.t + (0.0, 0.0, 1.0)) for camera in rig))
    publisher = node.create_publisher(msg.RigCalibration, "rig_calibration", qos.LATCHED)
    publisher.publish(conversions.rig_to_message(moved, "world"))
    found = show.until(lambda found: bool(np.linalg.norm(first(found) - rig[0].centre) > 0.5))
    np.testing.assert_allclose(first(found), moved[0].centre, atol=1e-6)


def test_a_joint_that_does_not_exist_is_refused(markers: MarkersNode) -> None:
    (result,) = markers.set_parameters([RosParameter("epipolar_joint", value="left_wing")])
    assert not result.successful and "expected one of none, nose" in result.reason


def test_who_is_lost_is_deleted(show: Show) -> None:
    show.once()
    found = show.once(somebody=False)
    assert [marker.action for marker in found] == [Marker.DELETEALL, Marker.ADD]
    assert names(found) == {"cameras"}


def rviz() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "config/interleaved.rviz").read_text())["Visualization Manager"])


def test_the_rviz_file_shows_topics_and_namespaces_that_exist(context: Context, show: Show) -> None:
    """Of the shipped rig; the namespaces of its cameras are those of the rig here, by another name."""
    overrides = [RosParameter("rig", value="balance_beam")]
    overlay = OverlayNode(bus=Bus(), context=context, parameter_overrides=overrides, namespace="dw")
    topics = {display["Topic"]["Value"] for display in rviz()["Displays"] if "Topic" in display}
    offered = {"/dw/skeleton_markers"}  # here without the namespace
    offered |= {topic for topic, kinds in overlay.get_publisher_names_and_types_by_node("overlay", "/dw")
                if kinds == ["sensor_msgs/msg/Image"]}  # fmt: skip
    overlay.destroy_node()
    assert topics == offered and len(topics) == 5
    (shown,) = (display["Namespaces"] for display in rviz()["Displays"] if "Namespaces" in display)
    show.set(epipolar_joint="left_wrist")
    found = names(show.until(lambda found: any(name.startswith("epipolar/") for name in names(found))))
    kinds = {name for name in found if not name.startswith("epipolar/")}
    assert set(shown) == kinds | {f"epipolar/cam0{k}" for k in (1, 2, 3, 4)}


def test_the_rviz_file_looks_at_the_world() -> None:
    assert rviz()["Global Options"]["Fixed Frame"] == "world"
    assert {"TF", "MarkerArray", "Image", "Grid"} == {
        display["Class"].partition("/")[2] for display in rviz()["Displays"]
    }
