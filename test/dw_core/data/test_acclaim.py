import re

import numpy as np
import pytest

from dw_core.data.acclaim import JOINT_BONES, bone_ends, load_acclaim, load_skeleton, load_take
from dw_core.data.motion import load_motion, motion_files
from dw_core.errors import MotionError
from dw_core.evaluation.metrics import bone_lengths
from dw_core.skeleton import H36M17

HEAD = """# made by a test
:version 1.10
:units
  mass 1.0
  length 0.0254
  angle deg
:root
   order TX TY TZ RX RY RZ
   axis XYZ
   position 0 0 0
   orientation 0 0 0
:bonedata
"""


def bone(name, direction, length, axis="0 0 0", dof=""):
    lines = ["begin", "  id 1", f"  name {name}", f"  direction {direction}", f"  length {length}"]
    lines += [f"  axis {axis} XYZ", *([f"  dof {dof}", "  limits (-90.0 90.0)"] if dof else []), "end"]
    return "\n".join(lines) + "\n"


# One unit of length is a metre. `first` turns about its own z axis, which its axis line lays along -y.
ARM = (
    HEAD
    + bone("first", "1 0 0", 2, "90 0 0", "rz")
    + bone("second", "0 1 0", 1)
    + bone("third", "0 1 0", 3, dof="rx rz")
    + ":hierarchy\n  begin\n  root first\n  first second\n  second third\n  end\n"
)
TAKE = """:FULLY-SPECIFIED
:DEGREES
1
root 1 2 3 0 0 0
first 0
third 0 0
2
root 1 2 3 0 90 0
first 90
third 90 90
"""


@pytest.fixture
def arm(tmp_path):
    """A take of the arm, with its skeleton beside it."""
    (tmp_path / "7.asf").write_text(ARM)
    path = tmp_path / "7_03.amc"
    path.write_text(TAKE)
    return path


def test_pose_computed_by_hand(arm):
    skeleton = load_skeleton(arm.with_name("7.asf"))
    ends = bone_ends(skeleton, load_take(arm, skeleton))
    # at rest: along x, then up, then up
    np.testing.assert_allclose([ends[b][0] for b in ends], [(1, 2, 3), (3, 2, 3), (3, 3, 3), (3, 6, 3)])
    # `first` turns from x to z about -y, which the root's turn about y lays along x again, so `second` is
    # upright in the world; `third` turns about x first, from y to z, which its turn about z leaves alone
    expected = [(1, 2, 3), (3, 2, 3), (3, 3, 3), (3, 3, 6)]
    np.testing.assert_allclose([ends[b][1] for b in ends], expected, atol=1e-12)


def test_units_are_inches_over_the_number(arm):
    path = arm.with_name("7.asf")
    path.write_text(ARM.replace("length 0.0254", "length 0.45"))
    assert load_skeleton(path).metres == pytest.approx(0.0254 / 0.45)


@pytest.fixture
def body(tmp_path):
    """A take of a skeleton whose k-th joint is k metres along x and k up, from the joint before it."""
    bones = [bone(name, "1 1 0", np.sqrt(2) * k) for k, name in enumerate(JOINT_BONES[1:], 1)]
    tree = "\n".join(f"  root {name}" for name in JOINT_BONES[1:])
    asf = HEAD + "".join(bones) + f":hierarchy\n  begin\n{tree}\n  end\n"
    (tmp_path / "body.asf").write_text(asf)
    path = tmp_path / "walk.amc"
    path.write_text(":DEGREES\n5\nroot 0 0 2 0 0 0\n6\nroot 0 0 2 0 0 0\n7\nroot 0 0 4 0 0 0\n")
    return path


def test_joints_are_the_ends_of_bones_in_the_order_of_the_joint_set_with_z_up(body):
    joints, rate_hz = load_acclaim(body)
    k = np.arange(17.0)
    np.testing.assert_allclose(joints[0], np.stack((k, np.full(17, -2.0), k), 1), atol=1e-12)
    np.testing.assert_allclose(joints[2, :, 1], -4.0)
    assert rate_hz == 120.0
    motion = load_motion(body)
    assert (motion.name, motion.rate_hz, motion.joint_set) == ("walk", 120.0, "h36m17")


def refused(call, *arguments):
    with pytest.raises(MotionError) as error:
        call(*arguments)
    sentence = str(error.value)
    assert "\n" not in sentence
    return sentence


@pytest.mark.parametrize(
    ("old", "new", "line", "sentence"),
    [
        ("third 90 90", "third 90 x", None, "frame 2: 'third 90 x' holds what is not a finite number"),
        ("third 90 90", "third 90 nan", None, "frame 2: 'third 90 nan' holds what is not a finite number"),
        ("third 90 90", "third 90", 10, "bone third has 1 values, expected 2"),
        ("third 90 90", "fourth 90 90", 10, "bone fourth does not move, or is not in the skeleton"),
        ("third 90 90", "first 90", 10, "bone first stands twice in a frame"),
        ("third 90 90\n", "", 9, "the frame before this line has no bone third"),
        ("third 0 0\n", "", 6, "the frame before this line has no bone third"),
        ("\n2\n", "\n3\n", 7, "this is frame 3, expected frame 2"),
        (":DEGREES", ":RADIANS", 2, "angles are in radians, expected degrees"),
        (TAKE, ":DEGREES\n1\nroot 1 2 3 0 0 0\nfirst 0\nthird 0 0\n", None, "it holds 1 frames, expected 2"),
    ],
)
def test_takes_that_are_none_are_named_with_their_line(arm, old, new, line, sentence):
    assert old in TAKE
    arm.write_text(TAKE.replace(old, new))
    where = f"{arm}: " if line is None else f"{arm}, line {line}: "
    assert refused(load_acclaim, arm).startswith(where + sentence)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("length 0.0254", "length 0", "line 5: the unit of length is 0, expected more than 0"),
        ("  length 0.0254\n", "", "section :units has no length"),
        ("angle deg", "angle rad", "line 6: angles are in 'rad', expected deg"),
        (":bonedata", ":bones", "section :bonedata is missing or empty"),
        ("position 0 0 0", "position 0 1 0", "line 10: the root's position at rest is not zero"),
        (
            "order TX TY TZ RX RY RZ",
            "order RX RY RZ",
            "line 8: the root moves by rx ry rz, expected tx ty tz",
        ),
        ("direction 1 0 0", "direction 1 0", "line 16: 'direction' has 2 numbers, expected 3"),
        ("axis 90 0 0 XYZ", "axis 90 0 0 XY", "line 18: the axis of bone first ends in 'XY'"),
        ("dof rz\n", "dof rz l\n", "line 19: bone first moves by 'l', expected rotations"),
        ("  root first", "  root fifth", "line 40: there is no bone fifth in section :bonedata"),
        ("  second third", "  second first", "line 42: bone first has two parents"),
        ("  second third", "  third second", "line 42: bone third has children before it has a parent"),
        ("  id 1", "  begin", "line 14: a bone begins before the last one ends"),
        (":bonedata\n", ":bonedata\nname\n", "line 13: 'name' stands outside of begin and end"),
    ],
)
def test_skeletons_that_are_none_are_named_with_their_line(arm, old, new, sentence):
    path = arm.with_name("7.asf")
    assert old in ARM
    path.write_text(ARM.replace(old, new, 1))
    found = refused(load_skeleton, path)
    assert found.startswith(str(path)) and sentence in found


def test_a_skeleton_without_our_joints_or_none_at_all(arm):
    assert "there is no bone rhipjoint" in refused(load_acclaim, arm)
    arm.with_name("7.asf").rename(arm.with_name("other.asf"))
    assert "other.asf: there is no bone rhipjoint" in refused(load_acclaim, arm)
    arm.with_name("another.asf").write_text(ARM)
    assert "its skeleton 7.asf is not beside it, and there are 2 others" in refused(load_acclaim, arm)


@pytest.mark.parametrize("subject", ["01", "02", "35"])
def test_real_limbs_have_one_length_and_it_is_the_skeletons(shared_data, subject):
    folder = shared_data / "cmu_mocap" / subject
    text = (folder / f"{subject}.asf").read_text()
    stated = dict(re.findall(r"name (\w+)\s+direction [^\n]*\s+length (\S+)", text))
    bones = {
        "knee": ("femur", (404, 430)), "ankle": ("tibia", None), "elbow": ("humerus", (284, 303)),
        "wrist": ("radius", (190, 202)),
    }  # fmt: skip
    for file in motion_files([folder])[::4]:
        motion = load_motion(file)
        lengths = bone_lengths(motion.joints, H36M17.edges)
        for (_, joint), column in zip(H36M17.bones, lengths.T, strict=True):
            side, _, part = joint.partition("_")
            if part not in bones:
                continue
            assert np.ptp(column) < 1e-9
            name, bounds = bones[part]
            assert column[0] == pytest.approx(float(stated[side[0] + name]) * 0.0254 / 0.45, rel=1e-9)
            if bounds and (side == "right" or part == "knee"):
                assert bounds[0] - 0.5 < 1e3 * column[0] < bounds[1] + 0.5
        ankles = motion.joints[:, [H36M17.index("left_ankle"), H36M17.index("right_ankle")], 2]
        assert 0.0 < ankles.min() < 0.12
        assert motion.joints[:, H36M17.index("head"), 2].max() > 1.4


def test_real_people_walk_forwards_with_the_left_on_their_left(shared_data):
    joints = load_motion(shared_data / "cmu_mocap/35/35_02.amc").joints
    left, right = (joints[:, H36M17.index(f"{side}_hip")] for side in ("left", "right"))
    travel = joints[-1, 0] - joints[0, 0]
    # up x forwards points to the left
    across = np.cross((0.0, 0.0, 1.0), travel / np.linalg.norm(travel))
    assert (((left - right) @ across) > 0.1).all()
