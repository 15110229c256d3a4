"""What of a recorded run is played into the graph again: its inputs, in order, each with its time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dw_core.data import messages
from dw_core.data.bag_reader import Bag
from dw_core.data.bag_topics import DEFINITION, RIG, Recorded, Topic, graphs
from dw_core.errors import ConfigError, MediaError
from dw_core.geometry.camera import Rig

Start = Literal["images", "heatmaps"]
STARTS = ("auto", "images", "heatmaps")
# Of the whole rig; every view has more.
_OF_RIG = ("trigger/event", "trigger/schedule", "truth/skeletons")
_OF_VIEW = {
    "images": ("image/compressed", "image", "camera_info"),
    "heatmaps": ("heatmaps", "skeleton2d", "camera_info"),
}
FRAMES = ("image/compressed", "image", "heatmaps")


@dataclass(frozen=True, eq=False)
class Replay:
    """A recorded run to play again.

    `namespace`: of the recorded topics, "/dw". `start`: what the graph is fed with; `inputs`: names of the
    topics below the namespace that are played. `rig` and `joint_set` as recorded.
    """

    bag: Bag
    namespace: str
    start: Start
    rig: Rig
    joint_set: str
    inputs: tuple[str, ...]

    @property
    def raw(self) -> bool:
        """Whether the images are raw ones."""
        return self.start == "images" and not any(name.endswith("/compressed") for name in self.inputs)

    def messages(self) -> Iterator[Recorded]:
        """The inputs in the order in which they were recorded. Raises MediaError."""
        wanted = {f"{self.namespace}/{name}" for name in self.inputs}
        return self.bag.messages(lambda topic: topic.name in wanted)

    def relative(self, topic: Topic) -> str:
        """The name of a topic below the namespace."""
        return topic.name.removeprefix(self.namespace + "/")


def open_replay(path: Path, start: str = "auto") -> Replay:
    """A bag to play from images or from heatmaps; "auto": from images if it holds any. Raises MediaError for
    a bag without what is asked for, ConfigError for another start."""
    if start not in STARTS:
        raise ConfigError(f"a replay starts from {', '.join(STARTS)}, not from '{start}'")
    bag = Bag(path)
    names = {topic.name for topic in bag.topics()}
    namespace = _namespace(path, names)
    rig = messages.rig(bag.first(f"{namespace}/{RIG}"))
    definition = bag.first(f"{namespace}/{DEFINITION}")

    def held(kind: Start) -> tuple[str, ...]:
        of_views = [f"{view}/{name}" for view in rig.names for name in _OF_VIEW[kind]]
        return tuple(name for name in (*_OF_RIG, *of_views) if f"{namespace}/{name}" in names)

    kinds: tuple[Start, ...] = ("images", "heatmaps")
    for kind in kinds:
        if start in ("auto", kind) and any(name.endswith(FRAMES) for name in held(kind)):
            return Replay(bag, namespace, kind, rig, str(definition.name), held(kind))
    wanted = "neither images nor heatmaps" if start == "auto" else f"no {start}"
    hint = "; images are recorded with `dw record --images`" if start == "images" else ""
    raise MediaError(f"{path} holds {wanted} of {', '.join(rig.names)}, expected a run to play again{hint}")


def _namespace(path: Path, names: set[str]) -> str:
    found = graphs(names)
    if len(found) != 1:
        what = f"runs of several graphs ({', '.join(found)})" if found else f"no {RIG}"
        raise MediaError(f"{path} holds {what}, expected a recording of one whole graph")
    return found[0]
