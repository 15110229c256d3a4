"""temporal_fusion: which weights it is given, and what it says of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from rclpy.context import Context
from rclpy.parameter import Parameter

from dw_core.errors import AssetError
from dw_ros.nodes.temporal_fusion import TemporalFusionNode
from dw_ros.ports import Bus


def health(context: Context, weights: str, joints: str = "coco17") -> str:
    overrides = [Parameter("weights", value=weights), Parameter("joint_set", value=joints)]
    node = TemporalFusionNode(bus=Bus(), context=context, namespace="/lab", parameter_overrides=overrides)
    try:
        if not node.bring_up():
            assert node.refusal is not None
            raise node.refusal
        return str(node.health().message)
    finally:
        node.close()


@pytest.mark.parametrize("joints", ["coco17", "h36m17"])
def test_packaged_weights_are_found(context: Context, joints: str) -> None:
    said = health(context, "packaged", joints)
    assert said.startswith("the fast Warper") and f"warper_{joints}.safetensors" in said


def test_without_weights_maps_pass_through(context: Context) -> None:
    assert "pass through" in health(context, "")


def test_a_file_that_is_not_there_is_named(context: Context, tmp_path: Path) -> None:
    with pytest.raises(AssetError, match="none.safetensors"):
        health(context, str(tmp_path / "none.safetensors"))
