"""Blocks of samples that ask a lamp's points between them."""

from __future__ import annotations

import numpy as np
import pytest

from dw_core.synthetic.penumbra import LAMP_POINTS, Blocks
from dw_core.synthetic.shading import choices


@pytest.mark.parametrize("size", [(7, 9, 2), (8, 6, 1)])
def test_blocks_share_on_a_plane_and_nowhere_else(size: tuple[int, int, int]) -> None:
    height, width, samples = size
    count = height * width * samples**2
    planes = np.zeros(count, np.int32)
    blocks = Blocks(height, width, samples, planes)
    lit = blocks.counts(np.arange(count))
    assert lit.max() == LAMP_POINTS and lit.sum() == count
    blocked = np.flatnonzero(blocks.of(np.arange(count)) == 0)[:4]
    members, part = blocks.seen(blocked, lit)
    assert sorted(members) == np.flatnonzero(blocks.of(np.arange(count)) == 0).tolist()
    assert np.allclose(part, 12 / 16)
    planes[blocked[0]] = 1  # an edge runs through the block: each sample for itself
    members, part = Blocks(height, width, samples, planes).seen(blocked, lit)
    assert np.array_equal(members, blocked) and (part == 0).all()


@pytest.mark.parametrize("samples", [1, 2])
def test_a_block_asks_every_point_of_a_lamp_once_and_a_pixel_all_of_the_dome(samples: int) -> None:
    height, width = 8, 12
    lamp_point, group = choices(height, width, samples)
    count = height * width * samples**2
    block = Blocks(height, width, samples, np.zeros(count, np.int32)).of(np.arange(count))
    for k in range(block.max() + 1):
        assert sorted(lamp_point[block == k]) == list(range(LAMP_POINTS))
        assert np.bincount(group[block == k]).tolist() == [4, 4, 4, 4]
    if samples == 2:
        assert (np.sort(group.reshape(-1, 4), -1) == np.arange(4)).all()
        assert (np.sort(lamp_point.reshape(-1, 4) // 4, -1) == np.arange(4)).all()
