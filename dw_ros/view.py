"""Nodes of one view: they live in the namespace <rig namespace>/<view>."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from dw_core.errors import ConfigError
from dw_core.geometry.camera import Camera
from dw_ros.node import DwNode
from dw_ros.ports import Bus


class ViewNode(DwNode):
    """A node whose view is the last part of its namespace, as in /dw/cam01.

    Topics of the view are relative (`image`, `heatmaps`); topics of the whole rig go through
    `of_rig`. Subclasses declare the parameter `rig`. Raises ConfigError when the rig has no such view.
    """

    def __init__(self, name: str, bus: Bus | None = None, **options: Any) -> None:
        super().__init__(name, bus, **options)
        self.view = PurePosixPath(self.get_namespace()).name
        self.camera = self.read_camera()

    def read_camera(self) -> Camera:
        """The view's camera as the rig file has it now."""
        rig = self.rig()
        if self.view not in rig.names:
            raise ConfigError(
                f"node {self.get_fully_qualified_name()} is in no camera's namespace, expected one of "
                + ", ".join(f"/dw/{name}" for name in rig.names)
                + " (-r __ns:=...)"
            )
        return rig[rig.index(self.view)]

    def of_rig(self, topic: str) -> str:
        """A topic of the rig's namespace, as an absolute name."""
        return str(PurePosixPath(self.get_namespace()).parent / topic)
