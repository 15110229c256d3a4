"""heatmap: the 2D network of one view: an image in, heatmaps of the joints out.

Reads image/compressed (or raw image), looks where the person is expected - the last 3D skeleton,
predicted to the exposure and projected into this view; else this view's own last joints; else the
full frame - and publishes heatmaps and skeleton2d with the image's stamp. The views of one process
share one worker for decoding and one for the network, so they pass in the order of their exposures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dw_core import backends
from dw_core.backends.person_crop import PersonCrop
from dw_core.data import messages
from dw_core.data.footage import decode_jpeg, require_binning
from dw_core.diagnostics.recent import Recent
from dw_core.geometry.crop import Crop
from dw_core.types import Heatmaps, ImageFrame, JpegFrame, Skeleton2D, Skeleton3D, StageStamps
from dw_ros import conversions, qos
from dw_ros.conversions import People
from dw_ros.managed import ManagedNode
from dw_ros.node import Health, main_of
from dw_ros.parameters import RIG_TEXT, Parameter
from dw_ros.ports import Bus
from dw_ros.view import ViewNode


class HeatmapNode(ManagedNode, ViewNode):
    _network: backends.HeatmapNetwork  # while it is configured
    _chooser: PersonCrop

    PARAMETERS = (
        Parameter("rig", "", RIG_TEXT),
        Parameter("backend", backends.DEFAULT, "2D network.", choices=backends.NAMES),
        Parameter("threads", 1, "CPU threads of the network.", 1, 64),
        Parameter("transport", "compressed", "Which image topic is read.", choices=("compressed", "raw")),
        Parameter(
            "binning", 2, "JPEG images are decoded at 1/binning of their size: 1, 2, 4 or 8.", 1, 8, live=True
        ),
        Parameter("margin", 1.25, "Side of the person crop, times the person's extent.", 1.0, 3.0, live=True),
        Parameter("world_frame", "world", "Frame of the skeletons."),
    )

    def __init__(self, name: str = "heatmap", bus: Bus | None = None, **options: Any) -> None:
        super().__init__(name, bus, **options)
        joints = backends.joints_of(self.value("backend"))
        self._forget()
        self._crops: Counter[str] = Counter()
        self._latency = Recent()
        self._out = self.outlet("heatmaps", conversions.heatmaps_codec(joints), qos.SENSOR)
        self._joints_out = self.outlet("skeleton2d", conversions.skeleton2d_codec(joints), qos.SENSOR)
        people = conversions.people_codec(self.value("world_frame"))
        self.inlet(self.of_rig("skeletons"), people, qos.RELIABLE, self._on_people)
        self._frames = self.queue("frames", self._infer, "network")
        if self.value("transport") == "compressed":
            self.inlet("image/compressed", conversions.JPEG, qos.SENSOR, self._on_jpeg, "jpeg")
        else:
            self.inlet("image", conversions.IMAGE, qos.SENSOR, self._on_image)

    def _forget(self) -> None:
        """Nothing is known of where the person is."""
        self._skeleton: Skeleton3D | None = None
        self._last: Skeleton2D | None = None
        self._crop: Crop | None = None

    def configure(self) -> None:
        self.camera = self.read_camera()
        self._chooser = PersonCrop(self.camera)
        require_binning(self.value("binning"))
        self._network = backends.open_network(self.value("backend"), self.value("threads"))

    def check(self, changes: Mapping[str, Any]) -> None:
        require_binning(changes.get("binning", 1))

    def activate(self) -> None:
        self._forget()

    def cleanup(self) -> None:
        del self._network, self._chooser

    def _on_people(self, people: People) -> None:
        self._skeleton = people.skeletons[0] if people.skeletons else None

    def _on_jpeg(self, jpeg: JpegFrame) -> None:
        received_ns = self.now_ns()
        binning = self.value("binning")
        pixels = decode_jpeg(jpeg.data, binning)
        stamps = StageStamps(received=received_ns, busy=self.now_ns() - received_ns)
        self._frames.put((ImageFrame(self.view, jpeg.stamp_ns, pixels, binning), stamps))

    def _on_image(self, frame: ImageFrame) -> None:
        self._frames.put((frame, StageStamps(received=self.now_ns())))

    def _infer(self, received: tuple[ImageFrame, StageStamps]) -> None:
        began = self.now_ns()
        frame, stamps = received
        crop, reason = self._chooser.next(
            frame.stamp_ns, self._skeleton, self._last, self.value("margin"), self._crop
        )
        self._crop = crop
        self._crops[reason] += 1
        tensor = self._network.infer(frame, crop)
        # Rounded here, so that what travels in messages and bags is what was computed with.
        tensor = messages.from_wire(messages.to_wire(tensor))
        busy = stamps.busy + self.now_ns() - began
        stamps = replace(stamps, inferred=self.now_ns(), busy=busy)
        self._latency.add(stamps.inferred, stamps.inferred - stamps.received)
        heatmaps = Heatmaps(self.view, frame.stamp_ns, crop, tensor, stamps)
        self._out.send(heatmaps)
        self._last = heatmaps.joints
        self._joints_out.send(self._last)

    def health(self) -> Health:
        now_ns = self.now_ns()
        values: dict[str, Any] = {
            "model": self._network.description,
            "execution_provider": self._network.provider,
            "inferences_per_s": len(self._latency.values(now_ns)),
        }
        values |= self._latency.percentiles_ms("inference", now_ns)
        values |= {f"crops_from_{key.replace(' ', '_')}": count for key, count in list(self._crops.items())}
        return Health(message=self._network.description, values=values)


main = main_of(HeatmapNode, "heatmap")

if __name__ == "__main__":
    main()
