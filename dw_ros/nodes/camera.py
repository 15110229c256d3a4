"""camera: one view of recorded footage, one frame per trigger event.

Publishes <view>/image/compressed (JPEG at full resolution, stamped with the exposure),
<view>/image (raw, only while somebody subscribes) and <view>/camera_info (latched). The footage
is played in its own time, forwards and backwards in turn: an endless stream without jumps. A driver of real
cameras takes this node's place: the rest of the graph needs nothing but images whose stamp is the
exposure and whose frame_id is <view>_optical_frame.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from sensor_msgs.msg import CameraInfo

from dw_core.data import messages
from dw_core.data.footage import Footage, decode_jpeg
from dw_core.interleave.schedule import Shot
from dw_core.types import NS, ImageFrame, JpegFrame
from dw_ros import conversions, qos
from dw_ros.managed import ManagedNode
from dw_ros.msg import TriggerSchedule
from dw_ros.node import Health, main_of
from dw_ros.nodes.trigger import MAX_LEAD_MS
from dw_ros.parameters import RIG_TEXT, Parameter
from dw_ros.ports import Bus
from dw_ros.view import ViewNode


class CameraNode(ManagedNode, ViewNode):
    _footage: Footage  # while it is configured

    PARAMETERS = (
        Parameter("rig", "", RIG_TEXT),
        Parameter("source", "", "Footage: a folder with one video or one folder of images per view."),
    )

    def __init__(self, name: str = "camera", bus: Bus | None = None, **options: Any) -> None:
        super().__init__(name, bus, **options)
        self._start_ns: int | None = None
        self._sent = 0
        self._jpeg = self.outlet("image/compressed", conversions.JPEG, qos.SENSOR)
        self._raw = self.outlet("image", conversions.IMAGE, qos.SENSOR)
        self._info = self.outlet(
            "camera_info", conversions.message_codec(CameraInfo), qos.LATCHED, latched=True
        )
        schedule = conversions.message_codec(TriggerSchedule)
        self.inlet(self.of_rig("trigger/schedule"), schedule, qos.LATCHED, self._on_schedule, gated=False)
        self.inlet(self.of_rig("trigger/event"), conversions.SHOT, qos.RELIABLE, self._expose)

    def configure(self) -> None:
        self.camera = self.read_camera()
        self._footage = Footage.open(Path(self.value("source")), self.rig().names)

    def activate(self) -> None:
        self._info.send(conversions.camera_info(self.camera))

    def cleanup(self) -> None:
        del self._footage

    def _on_schedule(self, message: TriggerSchedule) -> None:
        self._start_ns = messages.schedule(message).shot(0).stamp_ns

    def _expose(self, shot: Shot) -> None:
        if shot.camera != self.view or self._start_ns is None:
            return
        # a shot may be announced before its time (lead_ms of the trigger); in one process the trigger waits
        # too, and announces the next one after this exposure
        time.sleep(min(max(shot.stamp_ns - self.now_ns(), 0) / NS, MAX_LEAD_MS / 1000))
        index = self._footage.index_at(self.view, shot.stamp_ns - self._start_ns)
        jpeg = self._footage.jpeg(self.view, index)
        self._jpeg.send(JpegFrame(self.view, shot.stamp_ns, jpeg))
        if self._raw.wanted:
            self._raw.send(ImageFrame(self.view, shot.stamp_ns, decode_jpeg(jpeg)))
        self._sent += 1

    def health(self) -> Health:
        return Health(
            values={"frames_sent": self._sent, "frames_in_footage": self._footage.frames(self.view)}
        )


main = main_of(CameraNode, "camera")

if __name__ == "__main__":
    main()
