from pathlib import Path

import numpy as np
import pytest

from dw_core.data.bvh import load_bvh
from dw_core.errors import MotionError

SMALL = """HIERARCHY
ROOT hip
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Yrotation Xrotation
  JOINT knee
  {
    OFFSET 0 -4 0
    CHANNELS 3 Zrotation Xrotation Yrotation
    JOINT ankle
    {
      OFFSET 0 -3 0
      CHANNELS 3 Zrotation Xrotation Yrotation
      End Site
      {
        OFFSET 0 0 1
      }
    }
  }
  JOINT chest
  {
    OFFSET 0 5 0
    CHANNELS 3 Zrotation Xrotation Yrotation
    End Site
    {
      OFFSET 0 2 0
    }
  }
}
MOTION
Frames: 2
Frame Time: 0.025
1 2 3 0 0 0 0 0 0 0 0 0 0 0 0
1 2 3 0 0 90 0 90 0 0 0 0 0 0 0
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "take.bvh"
    path.write_text(text)
    return path


def test_a_small_take_is_where_one_computes_it_to_be(tmp_path):
    take = load_bvh(write(tmp_path, SMALL))
    assert take.names == ("hip", "knee", "ankle", "chest") and take.parents == (-1, 0, 1, 0)
    assert take.rate_hz == pytest.approx(40)
    np.testing.assert_allclose(take.ends, [(0, 0, 0), (0, 0, 0), (0, 0, 1), (0, 2, 0)])
    np.testing.assert_allclose(take.places("ankle")[0], (1, -5, 3))
    # a quarter turn about x takes -y to -z, and the knee's another one -z to y
    np.testing.assert_allclose(take.places("knee")[1], (1, 2, -1), atol=1e-12)
    np.testing.assert_allclose(take.places("ankle")[1], (1, 5, -1), atol=1e-12)
    np.testing.assert_allclose(take.places("chest")[1], (1, 2, 8), atol=1e-12)


def test_channels_turn_in_their_order(tmp_path):
    take = load_bvh(write(tmp_path, SMALL.replace("1 2 3 0 0 90 0 90 0", "0 0 0 90 0 90 0 0 0")))
    # Z first, then X: the product Rz Rx takes y over z to z
    np.testing.assert_allclose(take.rotations[1, 0] @ (0, 1, 0), (0, 0, 1), atol=1e-12)
    np.testing.assert_allclose(take.rotations[1, 0] @ (1, 0, 0), (0, 1, 0), atol=1e-12)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("Frames: 2", "Frames: 3", "30 numbers, expected 3 frames of 15"),
        ("Frames: 2", "Frames: two", "not a number"),
        ("Frame Time: 0.025", "Rate: 40", "expected Frames: and Frame Time:"),
        ("1 2 3 0 0 90", "1 2 3 0 nan 90", "finite"),
        ("OFFSET 0 5 0", "OFFSET 0 x 0", "HIERARCHY breaks off"),
        (
            "3 Zrotation Xrotation Yrotation\n    JOINT ankle",
            "2 Zrotation Xrotation\n    JOINT ankle",
            "expected",
        ),
        ("JOINT chest\n  {", "JOINT chest", "HIERARCHY"),
    ],
)
def test_what_is_no_take_is_refused(tmp_path, old, new, sentence):
    path = write(tmp_path, SMALL.replace(old, new))
    with pytest.raises(MotionError, match=sentence) as error:
        load_bvh(path)
    assert str(path) in str(error.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(MotionError, match="nothing.bvh: it cannot be read"):
        load_bvh(tmp_path / "nothing.bvh")


def test_cmu_takes_keep_their_bones(shared_data):
    take = load_bvh(shared_data / "cmu_mocap_bvh/martial/05.bvh")
    shin = take.places("lFoot") - take.places("lShin")
    lengths = np.linalg.norm(shin, axis=1)
    assert np.ptp(lengths) < 1e-9 and 40 < lengths[0] < 50
