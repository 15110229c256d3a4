"""Quality of service by kind of topic (the conventions of REP 2003 and of image_transport)."""

from __future__ import annotations

from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

# Images and one view's heatmaps: the newest counts, a lost one is replaced in a few milliseconds.
SENSOR = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
# Skeletons and trigger events: every one counts.
RELIABLE = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
# Dense sets, a megabyte each: best effort loses nine of ten (a lost fragment loses the whole message).
LARGE = QoSProfile(depth=2, reliability=ReliabilityPolicy.RELIABLE)
# What a replay's recorder must not miss, however far a busy machine lets it fall behind.
REPLAYED = QoSProfile(depth=4000, reliability=ReliabilityPolicy.RELIABLE)
# Schedule, rig, skeleton definition: whoever comes late still gets the last one.
LATCHED = QoSProfile(
    depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
)
