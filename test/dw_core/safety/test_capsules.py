"""Gaps between capsules: symmetric, the same from everywhere, never more than points on them are apart."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from dw_core.errors import ConfigError
from dw_core.safety.capsules import Capsules, gaps

NUMBERS = st.floats(-3.0, 3.0, width=32)


def capsules(points: np.ndarray, radii: list[float]) -> Capsules:
    """Of ends (N, 2, 3)."""
    names = tuple(f"c{k}" for k in range(len(points)))
    return Capsules(names, points[:, 0], points[:, 1], np.array(radii))


SOME = st.builds(
    capsules, arrays(np.float64, (3, 2, 3), elements=NUMBERS),
    st.lists(st.floats(0, 0.5), min_size=3, max_size=3),
)  # fmt: skip
VECTORS = arrays(np.float64, 3, elements=NUMBERS)


@given(SOME, SOME)
def test_a_gap_is_the_same_from_both_sides(first: Capsules, second: Capsules) -> None:
    there, back = gaps(first, second), gaps(second, first)
    np.testing.assert_allclose(there.distances, back.distances.T, atol=1e-9)


@given(SOME, SOME, VECTORS, VECTORS)
def test_a_gap_is_the_same_wherever_both_are_moved(
    first: Capsules, second: Capsules, turn: np.ndarray, shift: np.ndarray
) -> None:
    R, t = np.tile(Rotation.from_rotvec(turn).as_matrix(), (3, 1, 1)), np.tile(shift, (3, 1))
    moved = gaps(first.moved(R, t), second.moved(R, t))
    np.testing.assert_allclose(moved.distances, gaps(first, second).distances, atol=1e-6)


@given(SOME, SOME)
def test_a_gap_is_what_the_nearest_of_many_points_are_apart(first: Capsules, second: Capsules) -> None:
    places = np.linspace(0, 1, 41)[:, None, None]
    on_first = first.starts + places * (first.ends - first.starts)
    on_second = second.starts + places * (second.ends - second.starts)
    apart = np.linalg.norm(on_first[:, None, :, None] - on_second[None, :, None, :], axis=-1).min((0, 1))
    sampled = np.maximum(apart - first.radii[:, None] - second.radii, 0)
    found = gaps(first, second).distances
    assert (found <= sampled + 1e-9).all()
    # no place on a segment of at most 10.4 m is further than 0.13 m from one of the 41
    assert (found >= sampled - 0.27).all()


def test_known_gaps_and_their_directions() -> None:
    first = capsules(np.array([[(0, 0, 0), (1, 0, 0)]], dtype=float), [0.1])
    others = np.array(
        [
            [(0.5, 1, -1), (0.5, 1, 1)],  # crosses above the middle
            [(2, 1, 0), (3, 1, 0)],  # parallel, further along
            [(0.2, 0, 2), (0.8, 0, 2)],  # parallel, beside
            [(-1, 0, 0), (-1, 0, 0)],  # a sphere
        ],
        dtype=float,
    )
    found = gaps(first, capsules(others, [0.2] * 4))
    np.testing.assert_allclose(found.distances[0], [0.7, np.sqrt(2) - 0.3, 1.7, 0.7])
    directions = [(0, 1, 0), (np.sqrt(0.5), np.sqrt(0.5), 0), (0, 0, 1), (-1, 0, 0)]
    np.testing.assert_allclose(found.directions[0], directions, atol=1e-12)


def test_where_axes_meet_there_is_no_gap_and_no_direction() -> None:
    cross = capsules(np.array([[(-1, 0, 0), (1, 0, 0)], [(0, -1, 0), (0, 1, 0)]], dtype=float), [0.1, 0.1])
    found = gaps(cross, cross)
    assert not found.distances.any() and not found.directions.any()


@pytest.mark.parametrize(
    ("names", "points", "radii", "words"),
    [
        (
            ("a",),
            np.zeros((2, 2, 3)),
            [0.1],
            r"starts of the capsules have shape \(2, 3\), expected \(1, 3\)",
        ),
        (("a",), np.full((1, 2, 3), np.nan), [0.1], "starts of the capsules hold a value that is not finite"),
        (("a",), np.zeros((1, 2, 3)), [-0.1], "capsule 'a' has a radius below 0"),
        (("a", "a"), np.zeros((2, 2, 3)), [0.1, 0.1], "not all different"),
    ],
)
def test_what_is_no_capsule_is_refused(
    names: tuple[str, ...], points: np.ndarray, radii: list[float], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        Capsules(names, points[:, 0], points[:, 1], np.array(radii))
