"""What a bag says of a topic, whichever file format it is in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

# What every graph says of itself once, below its namespace.
RIG, DEFINITION = "rig_calibration", "skeleton_definition"


@dataclass(frozen=True)
class Topic:
    """A topic of a bag: its name, its message type ("dw_ros/msg/Heatmaps"), and that type's definition in the
    given encoding ("ros2msg", "ros2idl", or empty where the bag holds none)."""

    name: str
    type: str
    encoding: str = ""
    definition: str = ""
    serialisation: str = "cdr"


# Topic, time of arrival in ns, the message as it came over the wire.
Recorded = tuple[Topic, int, bytes]


def graphs(names: Iterable[str]) -> list[str]:
    """Namespaces, such as "/dw", of the graphs that have topics of these names, in order."""
    return sorted(name.removesuffix(f"/{RIG}") for name in names if name.endswith(f"/{RIG}"))
