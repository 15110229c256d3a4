"""Which topics are looked at, and what their messages become, whether from a bag or live."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from dw_core.data import messages
from dw_core.data.bag_reader import Bag
from dw_core.data.bag_topics import graphs
from dw_core.errors import MediaError
from dw_core.geometry.camera import Rig

if TYPE_CHECKING:
    from dw_core.viewing.recording import Recording


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


def namespace_of(bag: Bag, chosen: str | None) -> str:
    """The namespace of the graph to look at: the one that was chosen, or that of the only one that a bag
    holds. Raises MediaError when it holds none, or several."""
    if chosen is not None:
        return "/" + chosen.strip("/")
    found = graphs(topic.name for topic in bag.topics())
    if len(found) != 1:
        text = "no graph" if not found else f"graphs in {', '.join(found)}"
        raise MediaError(f"{bag.path} holds {text}, expected one, or --namespace to say which")
    return found[0]


def play(bag: Bag, namespace: str, rig: Rig, recording: Recording) -> int:
    """Show what a bag holds of a graph, in the order in which it was recorded and up to where it was cut off;
    the number of messages. Raises MediaError."""
    shown = topics(namespace, rig)
    count = 0
    for topic, _, data in bag.messages(lambda topic: topic.name in shown):
        shown[topic.name](recording, bag.decode(topic, data))
        count += 1
    return count
