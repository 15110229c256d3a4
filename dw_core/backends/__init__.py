"""2D heatmap networks behind one interface, by name.

A further back-end is one more entry here: a function of the number of threads that returns
a `HeatmapNetwork`, and the joints that it finds. Back-ends are imported when they are asked for.
"""

from __future__ import annotations

from collections.abc import Callable

from dw_core.backends.network import HeatmapNetwork
from dw_core.errors import ConfigError
from dw_core.skeleton import COCO17, JointSet

__all__ = ["DEFAULT", "NAMES", "HeatmapNetwork", "joints_of", "open_network"]


def _movenet(threads: int) -> HeatmapNetwork:
    from dw_core.backends.movenet import Movenet
    from dw_core.data import assets

    return Movenet(assets.movenet(), threads)


_NETWORKS: dict[str, tuple[Callable[[int], HeatmapNetwork], JointSet]] = {"movenet": (_movenet, COCO17)}
NAMES = tuple(_NETWORKS)
DEFAULT = "movenet"


def open_network(name: str, threads: int = 1) -> HeatmapNetwork:
    """Network by name. Raises ConfigError for an unknown name, AssetError for weights that are not there."""
    return _entry(name)[0](threads)


def joints_of(name: str) -> JointSet:
    """The joints that a network finds, without opening it. Raises ConfigError for an unknown name."""
    return _entry(name)[1]


def _entry(name: str) -> tuple[Callable[[int], HeatmapNetwork], JointSet]:
    if name not in _NETWORKS:
        raise ConfigError(f"unknown network '{name}', expected one of {', '.join(NAMES)}")
    return _NETWORKS[name]
