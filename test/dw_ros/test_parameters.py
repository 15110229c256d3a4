"""Parameters: described, ranged, and refused in words when they cannot be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from rclpy.context import Context
from rclpy.parameter import Parameter as RosParameter

from dw_core.errors import ConfigError
from dw_ros.node import DwNode
from dw_ros.parameters import Parameter


class Sample(DwNode):
    PARAMETERS = (
        Parameter("rate_hz", 15.0, "A rate.", 1.0, 100.0, live=True),
        Parameter("count", 3, "A count.", 0, 10),
        Parameter("mode", "slow", "A mode.", choices=("slow", "fast"), live=True),
        Parameter("phases_ms", None, "May stay unset.", kind=RosParameter.Type.DOUBLE_ARRAY),
    )


@pytest.fixture
def make(context: Context) -> Iterator[Callable[..., Sample]]:
    nodes: list[Sample] = []

    def build(**values: Any) -> Sample:
        overrides = [RosParameter(name, value=value) for name, value in values.items()]
        nodes.append(Sample("sample", context=context, parameter_overrides=overrides))
        return nodes[-1]

    yield build
    for node in nodes:
        node.destroy_node()


def test_defaults_overrides_and_unset_values(make: Callable[..., Sample]) -> None:
    node = make(count=7, rate_hz=30)
    assert (node.value("rate_hz"), node.value("count"), node.value("mode")) == (30.0, 7, "slow")
    assert node.value("phases_ms") is None
    assert list(make(phases_ms=[0.0, 1.5]).value("phases_ms")) == [0.0, 1.5]


def test_every_parameter_tells_what_it_is(make: Callable[..., Sample]) -> None:
    node = make()
    descriptors = node.describe_parameters([one.name for one in Sample.PARAMETERS])
    assert [one.description for one in descriptors] == [
        "A rate.",
        "A count.",
        "A mode. One of: slow, fast.",
        "May stay unset.",
    ]
    assert descriptors[0].floating_point_range[0].to_value == 100.0
    assert [one.read_only for one in descriptors] == [False, True, False, True]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"cuont": 3}, "no parameter 'cuont'; it has count, mode, phases_ms, rate_hz"),
        ({"rate_hz": 1000.0}, "'rate_hz' is 1000.0, expected double from 1 to 100"),
        ({"rate_hz": "often"}, "'rate_hz' is 'often', expected double from 1 to 100"),
        ({"rate_hz": float("nan")}, "'rate_hz' is nan, expected"),
        ({"mode": "medium"}, "'mode' is 'medium', expected one of slow, fast"),
    ],
)
def test_what_cannot_be_is_refused_by_name(
    make: Callable[..., Sample], values: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError) as error:
        make(**values)
    assert words in str(error.value)
    assert "/sample" in str(error.value)


def test_live_changes_are_checked_and_fixed_ones_refused(make: Callable[..., Sample]) -> None:
    node = make()
    good, bad, fixed, wild = node.set_parameters(
        [
            RosParameter("mode", value="fast"),
            RosParameter("mode", value="medium"),
            RosParameter("count", value=4),
            RosParameter("rate_hz", value=500.0),
        ]
    )
    assert good.successful and node.value("mode") == "fast"
    assert not bad.successful and "expected one of slow, fast" in bad.reason
    assert not fixed.successful and node.value("count") == 3
    assert not wild.successful and node.value("rate_hz") == 15.0
