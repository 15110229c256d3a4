"""Which topics are looked at, and what their messages become, whether from a bag or live."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rosbags.highlevel import AnyReader, AnyReaderError
from rosbags.typesys import Stores, get_typestore

from dw_core.data import messages
from dw_core.errors import MediaError
from dw_core.geometry.camera import Rig

if TYPE_CHECKING:
    from dw_core.viewing.recording import Recording

RIG, DEFINITION = "rig_calibration", "skeleton_definition"


def _people(message: Any) -> tuple[int, list[Any]]:
    return messages.time_ns(message.header.stamp), [messages.skeleton3d(one) for one in message.skeletons]


Show = Callable[["Recording", Any], None]
# By topic below the namespace of the rig, or of each view.
OF_RIG: Mapping[str, Show] = {
    "skeletons": lambda recording, message: recording.people(*_people(message)),
    "truth/skeletons": lambda recording, message: recording.truth(*_people(message)),
}
OF_VIEW: Mapping[str, Show] = {
    "image/compressed": lambda recording, message: recording.image(messages.jpeg(message)),
    "heatmaps": lambda recording, message: recording.heatmaps(messages.heatmaps(message)),
    "skeleton2d": lambda recording, message: recording.joints(messages.skeleton2d(message)),
}


def topics(namespace: str, rig: Rig) -> dict[str, Show]:
    """What to show of every topic of a rig below a namespace such as "/dw"."""
    found = {f"{namespace}/{topic}": show for topic, show in OF_RIG.items()}
    for view in rig.names:
        found |= {f"{namespace}/{view}/{topic}": show for topic, show in OF_VIEW.items()}
    return found


class Bag:
    """A bag that is open for looking at. Use `open_bag`."""

    def __init__(self, path: Path, reader: AnyReader, namespace: str | None) -> None:
        self._path, self._reader = path, reader
        self.namespace = self._namespace() if namespace is None else "/" + namespace.strip("/")

    def _namespace(self) -> str:
        suffix = f"/{DEFINITION}"
        found = sorted(topic.removesuffix(suffix) for topic in self._reader.topics if topic.endswith(suffix))
        if len(found) != 1:
            text = "no graph" if not found else f"graphs in {', '.join(found)}"
            raise MediaError(f"{self._path} holds {text}, expected one, or --namespace to say which")
        return found[0]

    def last(self, topic: str) -> Any:
        """The last message of a latched topic below the namespace. Raises MediaError when there is none."""
        name = f"{self.namespace}/{topic}"
        found = [message for _, message in self._messages({name})]
        if not found:
            raise MediaError(f"{self._path} holds no message of {name}, expected a recording of the graph")
        return found[-1]

    def play(self, rig: Rig, recording: Recording) -> int:
        """Show everything, in order of arrival; the number of messages."""
        shown = topics(self.namespace, rig)
        count = 0
        for topic, message in self._messages(set(shown)):
            shown[topic](recording, message)
            count += 1
        return count

    def _messages(self, names: set[str]) -> Iterator[tuple[str, Any]]:
        connections = [one for one in self._reader.connections if one.topic in names]
        if not connections:
            return
        for connection, _, data in self._reader.messages(connections):
            yield connection.topic, self._reader.deserialize(data, connection.msgtype)


@contextmanager
def open_bag(path: Path, namespace: str | None = None) -> Iterator[Bag]:
    """Open a bag (MCAP or sqlite3) of one graph: that of a namespace, or the only one. Raises MediaError for
    what is no bag, or holds no such graph."""
    try:
        with AnyReader([path], default_typestore=get_typestore(Stores.ROS2_JAZZY)) as reader:
            yield Bag(path, reader, namespace)
    except (AnyReaderError, OSError, UnicodeDecodeError) as error:
        raise MediaError(f"{path} cannot be read as a bag: {error}") from None
