"""2D heatmap networks behind one interface, by name.

A further back-end is one more entry here: a function of the number of threads that returns
a `HeatmapNetwork`. Back-ends are imported when they are asked for.
"""

from __future__ import annotations

from collections.abc import Callable

from dw_core.backends.network import HeatmapNetwork
from dw_core.errors import ConfigError

__all__ = ["DEFAULT", "NAMES", "HeatmapNetwork", "open_network"]


def _movenet(threads: int) -> HeatmapNetwork:
    from dw_core.backends.movenet import Movenet
    from dw_core.data import assets

    return Movenet(assets.movenet(), threads)


_NETWORKS: dict[str, Callable[[int], HeatmapNetwork]] = {"movenet": _movenet}
NAMES = tuple(_NETWORKS)
DEFAULT = "movenet"


def open_network(name: str, threads: int = 1) -> HeatmapNetwork:
    """Network by name. Raises ConfigError for an unknown name, AssetError for weights that are not there."""
    if name not in _NETWORKS:
        raise ConfigError(f"unknown network '{name}', expected one of {', '.join(NAMES)}")
    return _NETWORKS[name](threads)
