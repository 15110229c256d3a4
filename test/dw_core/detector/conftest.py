"""Models of a 2D network with errors that are known, and people in its maps."""

from dataclasses import replace

import numpy as np
import pytest

from dw_core.detector.model import DetectorModel, KindErrors, SeenErrors, load_model
from dw_core.skeleton import COCO17

ZERO_SEEN = SeenErrors(
    along=0.0, apart=0.0, spread_along=0.0, spread_across=0.0, tail=0.0, height_tail=0.0, swap=0.0,
    swap_reach=1e6, gross=0.0, height=1.0, second=-20.0, second_spread=0.0,
)  # fmt: skip
ZERO_KIND = KindErrors(
    visible=ZERO_SEEN, occluded=ZERO_SEEN, shares=(1.0, 0.0, 0.0), swap_s=0.1, gross_s=0.1, together=0.0,
    gross_distance=0.1, swap_height=0.0, gross_height=0.0, height_spread=0.0, second_at_partner=0.0,
    width=1.3 / 64, width_spread=0.0, width_by_height=0.0,
)  # fmt: skip


@pytest.fixture
def make_model():
    """A model without errors but those that are given, the same for every kind of joint."""

    def make(seen=None, occluded=None, fast_s=0.1, slow_s=2.0, height_shares=(1.0, 0.0, 0.0), **kind):
        one = replace(ZERO_SEEN, **(seen or {}))
        errors = replace(ZERO_KIND, visible=one, occluded=replace(one, **(occluded or {})), **kind)
        return DetectorModel(
            fast_s=fast_s,
            slow_s=slow_s,
            height_shares=height_shares,
            outside_height=-2.0,
            kinds=dict.fromkeys(load_model().kinds, errors),
        )

    return make


@pytest.fixture
def make_cells(person):
    """Somebody (..., J, 2) upright in maps of 64 cells, facing the camera or turned about."""

    def make(*leading, joints=COCO17, turn=0.0):
        x = person[:, 1] * np.cos(turn) - person[:, 0] * np.sin(turn)
        cells = np.stack((32 - 28 * x, 58 - 29 * person[:, 2]), -1)
        named = {joint: cells[COCO17.index(joint)] for joint in COCO17.joints}
        hips, chest = ((named[f"left_{name}"] + named[f"right_{name}"]) / 2 for name in ("hip", "shoulder"))
        named |= {
            "pelvis": hips, "belly": (hips + chest) / 2, "neck": chest, "head": named["nose"] - (0.0, 4.0)
        }  # fmt: skip
        return np.broadcast_to([named[joint] for joint in joints.joints], (*leading, len(joints), 2)).copy()

    return make
