"""Nodes of one view: they live in the namespace <rig namespace>/<view>."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from dw_core.data.rigs import load_rig
from dw_ros.node import DwNode
from dw_ros.ports import Bus


class ViewNode(DwNode):
    """A node whose view is the last part of its namespace, as in /dw/cam01.

    Topics of the view are relative (`image`, `heatmaps`); topics of the whole rig go through
    `of_rig`. Subclasses declare the parameter `rig`. Raises CalibrationError when the rig has no such
    view.
    """

    def __init__(self, name: str, bus: Bus | None = None, **options: Any) -> None:
        super().__init__(name, bus, **options)
        self.rig = load_rig(Path(self.value("rig")))
        self.view = PurePosixPath(self.get_namespace()).name
        self.camera = self.rig[self.rig.index(self.view)]

    def of_rig(self, topic: str) -> str:
        """A topic of the rig's namespace, as an absolute name."""
        return str(PurePosixPath(self.get_namespace()).parent / topic)
