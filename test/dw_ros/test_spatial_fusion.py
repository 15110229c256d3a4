"""spatial_fusion with its neighbours: what its window gives becomes skeletons, what it measures is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from rclpy.context import Context
from rclpy.parameter import Parameter

from dw_core.data.rigs import save_rig
from dw_core.diagnostics.levels import Level
from dw_core.geometry.camera import Rig, project
from dw_core.geometry.crop import apply_affine, crop_around
from dw_core.heatmaps.render import render_gaussians
from dw_core.skeleton import COCO17
from dw_core.types import NS, Heatmaps
from dw_ros import conversions, qos
from dw_ros.conversions import People
from dw_ros.managed import ManagedNode
from dw_ros.node import DwNode, Health
from dw_ros.nodes.spatial_fusion import SpatialFusionNode
from dw_ros.nodes.temporal_fusion import TemporalFusionNode
from dw_ros.nodes.triangulation import TriangulationNode
from dw_ros.ports import Bus

TICK_NS = 20_000_000
TICKS = 40
START_NS = 1_000 * NS


def observations(rig: Rig) -> list[Heatmaps]:
    """Seventeen points that walk at 0.8 m/s, seen by the cameras in turn."""
    joints = np.random.default_rng(0).uniform(-0.25, 0.25, (17, 3))
    found = []
    for tick in range(TICKS):
        camera = rig[tick % len(rig)]
        pixels = project(camera, joints + (0.8 * tick * TICK_NS / NS, 0.0, 0.0))
        crop = crop_around(pixels, 1.3)
        assert crop is not None
        maps = render_gaussians(apply_affine(crop.to_cells(64), pixels), 64, 1.3)
        found.append(Heatmaps(camera.name, START_NS + tick * TICK_NS, crop, maps))
    return found


Play = Callable[..., tuple[list[People], dict[str, Health]]]


@pytest.fixture
def play(rig: Rig, tmp_path: Path, context: Context, spin_until: Callable[..., None]) -> Iterator[Play]:
    """`play(lookahead_ms, method)`: skeletons of a run through three nodes, and what the first one
    says of its views."""
    bus = Bus()
    nodes: list[DwNode] = []
    save_rig(rig, tmp_path / "rig.yaml")

    def make(kind: type[DwNode], name: str, **parameters: object) -> DwNode:
        overrides = [Parameter(key, value=value) for key, value in parameters.items()]
        node = kind(name, bus, context=context, namespace="/lab", parameter_overrides=overrides)
        assert not isinstance(node, ManagedNode) or node.bring_up()
        nodes.append(node)
        return node

    def run(lookahead_ms: int, method: str) -> tuple[list[People], dict[str, Health]]:
        file = str(tmp_path / "rig.yaml")
        got: list[People] = []
        spatial = make(SpatialFusionNode, "spatial_fusion", rig=file, lookahead_ms=lookahead_ms)
        make(TemporalFusionNode, "temporal_fusion")
        make(TriangulationNode, "triangulation", rig=file, method=method)
        probe = make(DwNode, "probe")
        probe.inlet("skeletons", conversions.people_codec("world"), qos.RELIABLE, got.append)
        codec = conversions.heatmaps_codec(COCO17)
        views = {view: probe.outlet(f"{view}/heatmaps", codec, qos.SENSOR) for view in rig.names}
        for count, one in enumerate(observations(rig), start=1):
            views[one.view].send(one)
            spin_until(lambda n=count: spatial.health().values.get("used") == n)
        bus.close()  # waits for what is being processed
        return got, spatial.parts()

    yield run
    bus.close()
    for node in nodes:
        node.destroy_node()


@pytest.mark.parametrize("method", ["dlt", "tracker"])
def test_centred_sets_arrive_as_skeletons_that_say_so(play: Play, method: str) -> None:
    """40 ms ahead and 100 ms of lateness are 7 ticks, and one to be sure."""
    got, _ = play(40, method)
    assert [people.stamp_ns for people in got] == [START_NS + k * TICK_NS for k in range(TICKS - 8)]
    ages = [people.skeletons[0].view_ages_ns for people in got[4:] if people.skeletons]
    assert len(ages) > 20
    if method == "dlt":
        assert {min(one) for one in ages} == {-TICK_NS} and {max(one) for one in ages} == {TICK_NS}


def test_causal_sets_give_a_skeleton_at_every_exposure(play: Play) -> None:
    got, _ = play(0, "dlt")
    assert [people.stamp_ns for people in got] == [START_NS + k * TICK_NS for k in range(TICKS)]
    assert all(min(people.skeletons[0].view_ages_ns) == 0 for people in got[4:])


def test_each_views_rate_is_measured_and_told(play: Play, rig: Rig) -> None:
    parts = play(0, "dlt")[1]
    assert set(parts) == set(rig.names)
    for health in parts.values():
        assert (health.values["rate_hz"], health.values["jitter_ms"]) == ("16.667", "0.000")
        assert health.values["frames_missing"] == "0"
        assert health.level == Level.ERROR and health.message.startswith("silent for")
