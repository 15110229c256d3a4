"""Parameters: described, ranged, and refused in words when they cannot be."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

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
    said = [one.additional_constraints.partition(":")[0] for one in descriptors]
    assert said == ["Live", "Read-only", "Live", "Read-only"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            {"cuont": 3},
            "no parameter 'cuont'; it has better_after_s, count, mode, phases_ms, rate_hz, worse_after_s",
        ),
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


def test_what_fits_no_other_value_is_refused_with_its_sentence_and_what_fits_is_applied(
    context: Context,
) -> None:
    class Careful(Sample):
        applied: ClassVar[list[set[str]]] = []

        def check(self, changes: Mapping[str, Any]) -> None:
            if changes.get("mode") == "fast" and self.value("rate_hz") > 20:
                raise ConfigError("mode fast needs a rate of at most 20")

        def changed(self, names: set[str]) -> None:
            self.applied.append(names)

    node = Careful("careful", context=context)
    for value, good in ((30.0, True), (500.0, False)):
        (result,) = node.set_parameters([RosParameter("rate_hz", value=value)])
        assert result.successful == good
    (refused,) = node.set_parameters([RosParameter("mode", value="fast")])
    assert not refused.successful and refused.reason == "mode fast needs a rate of at most 20"
    assert node.value("mode") == "slow" and Careful.applied == [{"rate_hz"}]
    node.destroy_node()
