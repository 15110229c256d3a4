"""`dw replay` and `dw eval bag` on a bag of the footage's images: real processes, real DDS.

Lockstep is what is tested for equality; what a machine keeps up with is not.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage

from dw_core.data import assets, messages
from dw_core.data.bag_reader import Bag
from dw_core.data.bag_writer import BagFormat, BagWriter
from dw_core.data.bags import read_run
from dw_core.data.footage import Footage
from dw_core.data.replay import open_replay
from dw_core.data.rigs import load_rig
from dw_core.errors import ConfigError, MediaError
from dw_core.fusion.spatial import SpatialFusion
from dw_core.fusion.warper import TemporalFusion
from dw_core.geometry.camera import Rig
from dw_core.interleave.schedule import RecordedSchedule, uniform_schedule
from dw_core.interleave.window import Window
from dw_core.joint_refiner import load_refiner
from dw_core.pipeline import InterleavedPipeline, Triangulation
from dw_core.skeleton import COCO17
from dw_core.types import NS, JpegFrame, Skeleton3D, TrackingState
from dw_ros import conversions, graph, msg
from dw_ros.conversions import People
from dw_ros.nodes.recorder import typestore
from dw_ros.replay import ReplayOptions, add_arguments, from_arguments, replay_graph

LAUNCH = Path(__file__).parents[2] / "launch/replay.launch.py"
START_NS = 1_800_000_000 * NS
FRAMES = 52
# From the exposure to the recorder that made the bag.
ARRIVAL_NS = 30_000_000
LIMIT_S = 100.0
Replay = Callable[..., Path]


def rig_of_the_footage() -> Rig:
    return load_rig(graph.rig_file(graph.DEFAULT_RIG))


def record_images(folder: Path, bag: BagFormat | None = None) -> Path:
    """A bag as `dw record --images` makes it, of an ideal run: the cameras fire in turn, and nothing else."""
    rig = rig_of_the_footage()
    footage = Footage.open(assets.footage(), rig.names)
    schedule = uniform_schedule(rig.names, 15.0, START_NS)
    writer, types, people = BagWriter(folder, bag), typestore(), conversions.people_codec("world")
    topics: dict[str, Any] = {}

    def write(name: str, stamp_ns: int, message: Any) -> None:
        kind = type(message).__module__.split(".")[0] + "/msg/" + type(message).__name__
        if name not in topics:
            topics[name] = writer.add_topic(f"/dw/{name}", kind, types)
        writer.write(topics[name], stamp_ns, serialize_message(message))

    write("rig_calibration", START_NS - NS, conversions.rig_to_message(rig, "world"))
    write("skeleton_definition", START_NS - NS, conversions.joint_set_to_message(COCO17))
    write("trigger/schedule", START_NS - NS, schedule_message(schedule))
    for number in range(FRAMES):
        shot = schedule.shot(number)
        jpeg = footage.jpeg(shot.camera, footage.index_at(shot.camera, shot.stamp_ns - START_NS))
        image = conversions.jpeg_to_message(JpegFrame(shot.camera, shot.stamp_ns, jpeg))
        assert isinstance(image, CompressedImage)
        write("trigger/event", shot.stamp_ns, conversions.shot_to_message(shot))
        write(
            "truth/skeletons",
            shot.stamp_ns,
            people.to_message(People(shot.stamp_ns, [standing(shot.stamp_ns)])),
        )
        write(f"{shot.camera}/image/compressed", shot.stamp_ns + ARRIVAL_NS, image)
    writer.close()
    return folder


def standing(stamp_ns: int) -> Skeleton3D:
    """A "truth" that is none: somebody all of whose joints are in one place."""
    J = len(COCO17)
    where, unknown = np.ones((J, 3)), np.full((J, 3), np.nan)
    return Skeleton3D(
        stamp_ns,
        0,
        TrackingState.TRACKED,
        COCO17.name,
        where,
        unknown,
        np.zeros((J, 3, 3)),
        np.ones(J),
        (),
        (),
    )


def schedule_message(schedule: Any) -> msg.TriggerSchedule:
    assert not isinstance(schedule, RecordedSchedule)
    message = msg.TriggerSchedule(running=True, cameras=list(schedule.cameras))
    message.epoch = conversions.to_time(schedule.epoch_ns)
    message.period_ns, message.phase_ns = schedule.period_ns, list(schedule.phases_ns)
    return message


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record_images(tmp_path_factory.mktemp("images") / "bag", BagFormat(split_bytes=4_000_000))


@pytest.fixture(scope="module")
def replay(start: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Replay:
    """`replay(bag, option, ...)`: what `dw replay` recorded; its output lies beside it."""

    def run(bag: Path, *options: str) -> Path:
        out = tmp_path_factory.mktemp("replay") / "bag"
        command = start("replay", str(bag), "--record", str(out), *options)
        assert command.process.wait(LIMIT_S) == 0, command.output()
        (out.parent / "output.txt").write_text(command.output())
        return out

    return run


@pytest.fixture(scope="module")
def first(images: Path, replay: Replay) -> Path:
    """The images in lockstep."""
    return replay(images, "--rate", "0")


@pytest.fixture(scope="module")
def from_heatmaps(first: Path, replay: Replay) -> Path:
    """The heatmaps of that replay in lockstep."""
    return replay(first, "--rate", "0", "--from", "heatmaps")


def skeletons(bag: Path, namespace: str = "/dw") -> dict[int, Skeleton3D | None]:
    """The first person of every array, by stamp."""
    reader = Bag(bag)
    arrays = [
        reader.decode(topic, data)
        for topic, _, data in reader.messages(lambda topic: topic.name == f"{namespace}/skeletons")
    ]
    found = {
        messages.time_ns(one.header.stamp): messages.skeleton3d(one.skeletons[0]) if one.skeletons else None
        for one in arrays
    }
    assert len(found) == len(arrays), "every exposure once"
    return found


def assert_same(a: Skeleton3D | None, b: Skeleton3D | None, but: tuple[str, ...] = ()) -> None:
    """All fields, to the last bit."""
    assert (a is None) == (b is None)
    if a is None or b is None:
        return
    for field in fields(Skeleton3D):
        if field.name not in but:
            np.testing.assert_array_equal(getattr(a, field.name), getattr(b, field.name), err_msg=field.name)


def test_in_lockstep_every_image_has_its_skeletons_and_nothing_is_dropped(first: Path) -> None:
    assert f"played {FRAMES} frames of 0.9 s" in (first.parent / "output.txt").read_text()
    assert "0 values dropped" in (first.parent / "output.txt").read_text()
    found = skeletons(first)
    assert len(found) == FRAMES and sum(one is not None for one in found.values()) > FRAMES / 2
    run = read_run(first)
    assert run.schedule.shot(5).stamp_ns in found
    assert set(run.truth) == set(found), "who was there is played too"
    assert all((people == 1.0).all() for people in run.truth.values())


def test_two_replays_are_the_same_to_the_bit_stamps_included(
    images: Path, first: Path, replay: Replay
) -> None:
    a, b = skeletons(first), skeletons(replay(images, "--rate", "0"))
    assert list(a) == list(b)
    for stamp in a:
        assert_same(a[stamp], b[stamp])
    known = [one for one in a.values() if one is not None]
    # Simulated time stands still while the graph computes: an image is there at its exposure.
    assert {one.stamps.published - one.stamp_ns for one in known} == {0}


def test_a_replay_from_heatmaps_is_the_offline_pipeline_to_the_bit(first: Path, from_heatmaps: Path) -> None:
    played = open_replay(first, "heatmaps")
    pipeline = InterleavedPipeline(
        Window(played.rig.names),
        SpatialFusion(played.rig, "sampled_view", 0.5),
        TemporalFusion(None, COCO17),
        Triangulation(played.rig, COCO17, refiner=load_refiner("packaged", COCO17)),
    )
    heatmaps = [
        messages.heatmaps(played.bag.decode(topic, data))
        for topic, _, data in played.messages()
        if topic.name.endswith("/heatmaps")
    ]
    offline = [skeleton for one in heatmaps for skeleton in pipeline.skeletons(one)]
    online = skeletons(from_heatmaps)
    assert [one.stamp_ns for one in offline] == list(online) and len(offline) >= 0.9 * FRAMES
    for skeleton in offline:
        message = conversions.skeleton3d_to_message(skeleton, "world")  # single precision, as it travels
        expected = messages.skeleton3d(message) if skeleton.state else None
        assert_same(expected, online[skeleton.stamp_ns], but=("stamps",))


def test_at_a_slow_rate_nothing_is_dropped_and_the_values_are_those_of_lockstep(
    first: Path, from_heatmaps: Path, replay: Replay
) -> None:
    slow = replay(first, "--from", "heatmaps", "--rate", "0.2", "--namespace", "lab/again", "--rviz-less")
    output = (slow.parent / "output.txt").read_text()
    assert "at 0.2 times its speed, topics below /lab/again" in output and "0 values dropped" in output
    a, b = skeletons(from_heatmaps), skeletons(slow, "/lab/again")
    assert list(a) == list(b)
    for stamp in a:
        assert_same(a[stamp], b[stamp], but=("stamps",))


def test_a_bag_that_was_cut_off_plays_up_to_the_cut(
    first: Path, start: Callable[..., Any], tmp_path: Path
) -> None:
    (file,) = first.glob("*.mcap")
    cut = tmp_path / "cut.mcap"
    cut.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    command = start("replay", str(cut), "--rate", "0")
    assert command.process.wait(LIMIT_S) == 0, command.output()
    assert "dw: warning: " in command.output() and "ends early, at byte" in command.output()


def test_a_replay_is_judged_against_another(
    first: Path, from_heatmaps: Path, start: Callable[..., Any], tmp_path: Path
) -> None:
    out = tmp_path / "figures.json"
    options = ("--reference", str(first), "--json", str(out), "--plots", str(tmp_path / "plots"), "--quiet")
    command = start("eval", "bag", str(from_heatmaps), *options)
    assert command.process.wait(LIMIT_S) == 0, command.output()
    figures = json.loads(out.read_text())
    assert figures["against"] == "reference" and figures["accuracy"]["compared"] > FRAMES / 2
    assert figures["accuracy"]["mpjpe_mm"] < 1.0, "but for what best effort lost, the same"
    assert figures["mpjpe_skeletons"] == figures["skeletons"], "and beside it the truth, as dw demo judges"
    assert {path.name for path in (tmp_path / "plots").iterdir()} == {
        "skeletons_3d.png",
        "latency.png",
        "errors.png",
    }


def test_from_images_unless_there_are_none(images: Path, first: Path) -> None:
    assert open_replay(images).start == "images"
    played = open_replay(first)
    assert (played.start, played.namespace, played.raw) == ("heatmaps", "/dw", False)
    assert {"cam01/heatmaps", "cam01/skeleton2d", "trigger/event", "trigger/schedule"} <= set(played.inputs)
    assert not {"skeletons", "rig_calibration"} & set(played.inputs), "what the graph makes is not played"


def test_what_cannot_be_played_is_named(images: Path, first: Path, tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="holds no images of cam01.*recorded with `dw record --images`$"):
        open_replay(first, "images")
    with pytest.raises(MediaError, match="holds no heatmaps of cam01"):
        open_replay(images, "heatmaps")
    with pytest.raises(ConfigError, match="starts from auto, images, heatmaps, not from 'video'"):
        open_replay(images, "video")
    BagWriter(tmp_path / "empty").close()
    with pytest.raises(MediaError, match="holds no rig_calibration, expected a recording of one whole graph"):
        open_replay(tmp_path / "empty")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("nowhere",), "nowhere cannot be read as a bag"),
        (("nowhere", "--rate", "-1"), "--rate is -1, expected 0 (in lockstep) to 1000"),
        (("nowhere", "--record", "."), "--record . exists already, expected a new folder"),
    ],
)
def test_bad_options_are_one_sentence(
    start: Callable[..., Any], sentence: Callable[[str], str], options: tuple[str, ...], words: str
) -> None:
    command = start("replay", *options)
    assert command.process.wait(LIMIT_S) == 2
    assert words in sentence(command.output())


def test_the_graph_of_a_replay_has_the_player_last_and_no_trigger(images: Path, first: Path) -> None:
    rig = graph.rig_file(graph.DEFAULT_RIG)
    options = ReplayOptions(images, record="somewhere")
    nodes = replay_graph(options, open_replay(images), rig)
    assert [spec.executable for spec in nodes].count("heatmap") == 4 and nodes[-1].executable == "player"
    assert nodes[-1].parameters["recorded"] is True
    assert not {"trigger", "camera"} & {spec.executable for spec in nodes}
    fewer = replay_graph(ReplayOptions(first, markers=False), open_replay(first), rig)
    assert not {"heatmap", "markers", "overlay"} & {spec.executable for spec in fewer}
    for chosen in (nodes, fewer):  # nobody is waited for who is not there
        (supervisor,) = (spec for spec in chosen if spec.executable == "supervisor")
        managed = [spec.full_name for spec in chosen if spec.executable in graph.MANAGED]
        assert supervisor.parameters["nodes"] == managed


def launch_arguments() -> dict[str, Any]:
    """The table of the launch file, which needs a ROS distribution to be imported."""
    tree = ast.parse(LAUNCH.read_text())
    (table,) = (
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id == "ARGUMENTS"
    )
    return {name: default for name, (default, _) in dict(ast.literal_eval(table)).items()}


def test_the_launch_file_offers_what_dw_replay_offers() -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    options = {action.dest: action for action in parser._actions if action.dest != "help"}
    names = {"start": "from", "markers": "rviz_less"}
    offered = launch_arguments()
    assert set(offered) == {names.get(name, name) for name in options} | {"rviz", "log_level"}
    for name in ("start", "rate", "namespace", "rig", "parameters", "record"):
        assert offered[names.get(name, name)] == str(options[name].default)
    assert offered["bag"] is None, "it has to be given"


def test_the_launch_file_plays_records_and_judges(images: Path, tmp_path: Path) -> None:
    pytest.importorskip("launch_ros", reason="launch_ros comes with a ROS distribution")
    from launch_ros.actions import Node

    import launch

    spec = importlib.util.spec_from_file_location("replay_launch", LAUNCH)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    description = module.generate_launch_description()
    assert {one.name for one in description.get_launch_arguments()} == set(launch_arguments())
    context = launch.LaunchContext()
    record = tmp_path / "out"
    chosen = launch_arguments() | {"bag": str(images), "record": str(record), "rate": "0"}
    context.launch_configurations.update(chosen)
    actions = module._launch(context)
    nodes = [one for one in actions if isinstance(one, Node)]
    assert [one.node_executable for one in nodes] == ["recorder", "player"]
    handlers = [one for one in actions if isinstance(one, launch.actions.RegisterEventHandler)]
    assert len(handlers) == 2
    words = module._command_line(chosen)
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    assert from_arguments(parser.parse_args(words)) == ReplayOptions(images, rate=0.0, record=str(record))
