import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dw_core.data.motion import Motion, load_motion
from dw_core.errors import MotionError
from dw_core.skeleton import H36M17
from dw_core.synthetic.body import PIVOTS
from dw_core.synthetic.capture import FASTEST_RAD_S, SEGMENTS, capture_of
from dw_core.synthetic.retarget import curl, rest_frames, retarget

WALKS = [
    "cmu_mocap/07/07_01.amc",
    "cmu_mocap/35/35_01.amc",
    "cmu_mocap/08/08_01.amc",
    "cmu_mocap/39/39_01.amc",
]
TAKES = [*WALKS, "cmu_mocap/02/02_07.amc", "cmu_mocap/49/49_01.amc", "cmu_mocap_bvh/indian/07.bvh"]
# In this one the whole person flips.
JUMPING = "cmu_mocap_bvh/salsa/06.bvh"
LIMBS = [("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle")]
# A bone may turn this much faster than a segment: it takes a share of a limb's twist.
BONE_RAD_S = 2 * FASTEST_RAD_S
OF = {name: k for k, name in enumerate(H36M17.joints)}


def heads_of(body, clip):
    return body.heads(clip.shape, clip.rotations, clip.roots)


def pivots_of(body, clip):
    """Pivots (T, 12, 3) of all frames."""
    return heads_of(body, clip)[:, body.pivot_bones]


def vectors(places, names, a, b):
    """From joints a to b (T, 2, 3) on the left and the right."""
    return np.stack(
        [places[:, names.index(f"{s}_{b}")] - places[:, names.index(f"{s}_{a}")] for s in ("left", "right")],
        1,
    )


def angle(a, b):
    """Degrees between vectors (..., 3)."""
    cosine = (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def bends(body, clip):
    """Degrees (T, 4) by which elbows and knees bend, negative the wrong way, by the bones' rotations."""
    rest, out = rest_frames(body, clip.shape), []
    for side in ("left", "right"):
        for upper, lower, first, second in (
            ("upper_arm", "forearm", "upperarm02", "lowerarm01"),
            ("thigh", "shank", "upperleg02", "lowerleg01"),
        ):
            a, b = (
                clip.rotations[:, body.bone(f"{bone}.{side[0].upper()}")] @ rest[f"{side}_{segment}"]
                for bone, segment in ((first, upper), (second, lower))
            )
            sine = (np.cross(a[..., 2], b[..., 2]) * a[..., 0]).sum(-1)
            out.append(np.degrees(np.arctan2(sine, (a[..., 2] * b[..., 2]).sum(-1))))
    return np.stack(out, 1)


def steps(rotations):
    """Radians by which rotations (T, N, 3, 3) turn from one time to the next."""
    return Rotation.from_matrix(
        (rotations[:-1].swapaxes(-1, -2) @ rotations[1:]).reshape(-1, 3, 3)
    ).magnitude()


@pytest.fixture(scope="session")
def joints_clip(body, shared_data):
    """A walk of which only the joints are known."""
    motion = load_motion(shared_data / WALKS[0])
    capture = capture_of(motion)
    return motion, capture, retarget(capture, body, body.shape("woman-168"))


@pytest.mark.parametrize("path", TAKES)
def test_bone_lengths_are_constant(body, clip_of, path):
    _, clip = clip_of(path)
    for a, b in LIMBS:
        lengths = np.linalg.norm(vectors(pivots_of(body, clip), PIVOTS, a, b), axis=-1)
        assert np.ptp(lengths, axis=0).max() < 1e-9


@pytest.mark.parametrize("path", WALKS)
@pytest.mark.parametrize(("a", "b"), LIMBS)
def test_limbs_point_where_the_capture_does(body, clip_of, shared_data, path, a, b):
    _, clip = clip_of(path)
    seen = vectors(load_motion(shared_data / path).joints, H36M17.joints, a, b)
    off = angle(vectors(pivots_of(body, clip), PIVOTS, a, b), seen)
    assert np.percentile(off, 99) < 1 and off.max() < 10


@pytest.mark.parametrize(("a", "b"), LIMBS)
def test_limbs_point_where_joints_alone_do(body, joints_clip, a, b):
    motion, _, clip = joints_clip
    seen = vectors(motion.joints, H36M17.joints, a, b)
    off = angle(vectors(pivots_of(body, clip), PIVOTS, a, b), seen)
    assert np.percentile(off, 95) < 2 and off.max() < 12


@pytest.mark.parametrize("path", TAKES)
def test_no_elbow_or_knee_bends_the_wrong_way(body, clip_of, path):
    _, clip = clip_of(path)
    assert bends(body, clip).min() > -1e-6


def test_joints_alone_bend_the_right_way(body, joints_clip):
    found = bends(body, joints_clip[2])
    assert found.min() > -1e-6
    assert (found.max(0) > 30).all()  # all of them do bend in a walk


@pytest.mark.parametrize("path", [*TAKES, JUMPING])
def test_nothing_jumps(clip_of, path):
    capture, clip = clip_of(path)
    assert steps(capture.frames).max() * capture.rate_hz < FASTEST_RAD_S * (1 + 1e-6)
    assert steps(clip.rotations).max() * clip.rate_hz < BONE_RAD_S


def test_joints_alone_give_no_jumps(joints_clip):
    _, capture, clip = joints_clip
    assert steps(clip.rotations).max() * clip.rate_hz < np.deg2rad(1000)
    assert set(SEGMENTS) and capture.frames.shape[1] == len(SEGMENTS)


@pytest.mark.parametrize("shape", ["woman-155", "man-190"])
@pytest.mark.parametrize("path", WALKS)
def test_walks_rest_on_the_floor(body, clip_of, path, shape):
    _, clip = clip_of(path, shape)
    heads = heads_of(body, clip)
    lowest = np.array(
        [body.skinned(clip.shape, clip.rotations[t], heads[t])[:, 2].min() for t in range(len(heads))]
    )
    assert abs(lowest.min()) < 1e-4
    # somebody who walks always has a foot on the floor, up to the captures' own errors
    assert np.median(lowest) < 0.03 and lowest.max() < 0.06


def test_the_path_is_scaled_by_the_legs(body, clip_of):
    """Somebody with longer legs walks further in the same time, by just that."""
    ways, legs = [], []
    for name in ("woman-155", "man-190"):
        capture, clip = clip_of(WALKS[0], name)
        hips = heads_of(body, clip)[:, [body.bone("upperleg01.L"), body.bone("upperleg01.R")]].mean(1)
        ways.append(np.linalg.norm((hips[-1] - hips[0])[:2]))
        pivots = pivots_of(body, clip)
        legs.append(sum(np.linalg.norm(vectors(pivots, PIVOTS, a, b)[0, 0]) for a, b in LIMBS[2:]))
    assert ways[1] / ways[0] == pytest.approx(legs[1] / legs[0], abs=1e-9)
    assert ways[0] == pytest.approx(
        np.linalg.norm((capture.hips[-1] - capture.hips[0])[:2]) * legs[0] / capture.leg, abs=1e-9
    )


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("name", ["woman-168", "man-190"])
def test_fingers_bend_towards_the_palm(body, name, side):
    """The thumb stands out on the side of the palm: a bend comes nearer to it, a bend back goes away."""
    shape, s = body.shape(name), side[0].upper()
    hand = rest_frames(body, shape)[f"{side}_hand"]
    knuckle, tip = shape.heads[body.bone(f"finger3-1.{s}")], shape.tails[body.bone(f"finger3-3.{s}")]
    thumb = shape.tails[body.bone(f"finger1-3.{s}")]
    towards = [np.linalg.norm(curl(hand, bend) @ (tip - knuckle) + knuckle - thumb) for bend in (-40, 0, 40)]
    assert towards[2] < towards[1] < towards[0]


def test_hands_and_feet_of_a_walk_are_relaxed(body, clip_of):
    _, clip = clip_of(WALKS[0])
    heads = heads_of(body, clip)
    for s in "LR":
        hand, finger = (
            heads[:, body.bone(f"{b}.{s}")] - heads[:, body.bone(f"{a}.{s}")]
            for a, b in (("wrist", "finger3-1"), ("finger3-1", "finger3-3"))
        )
        assert (angle(hand, finger) > 5).all() and (angle(hand, finger) < 60).all()
        foot = heads[:, body.bone(f"toe3-1.{s}")] - heads[:, body.bone(f"foot.{s}")]
        still = (
            np.linalg.norm(np.diff(heads[:, body.bone(f"foot.{s}")], axis=0), axis=1) < 0.25 / clip.rate_hz
        )
        rest = clip.shape.heads[body.bone(f"toe3-1.{s}")] - clip.shape.heads[body.bone(f"foot.{s}")]
        slope = np.degrees(
            np.arctan2(foot[:-1][still][:, 2], np.linalg.norm(foot[:-1][still][:, :2], axis=1))
        )
        assert abs(np.median(slope) - np.degrees(np.arctan2(rest[2], np.hypot(*rest[:2])))) < 10
    forward = clip.rotations[:, body.bone("head")] @ (0, -1, 0)
    assert np.abs(np.degrees(np.arcsin(forward[:, 2]))).max() < 35


def test_a_clip_between_frames(body, clip_of):
    _, clip = clip_of(WALKS[0])
    rotations, root = clip.at(10.25 / clip.rate_hz)
    np.testing.assert_allclose(root, 0.75 * clip.roots[10] + 0.25 * clip.roots[11], atol=1e-12)
    np.testing.assert_allclose(
        rotations @ rotations.swapaxes(1, 2), np.tile(np.eye(3), (len(body.bones), 1, 1)), atol=1e-12
    )
    first = Rotation.from_matrix(clip.rotations[10].swapaxes(1, 2) @ rotations).magnitude()
    whole = Rotation.from_matrix(clip.rotations[10].swapaxes(1, 2) @ clip.rotations[11]).magnitude()
    np.testing.assert_allclose(first, 0.25 * whole, atol=1e-9)
    for second in (0.0, clip.duration_s):
        np.testing.assert_allclose(clip.at(second)[1], clip.roots[round(second * clip.rate_hz)], atol=1e-12)
    with pytest.raises(MotionError, match="expected 0 to"):
        clip.at(clip.duration_s + 1)


def standing():
    """Joints (3, 17, 3) of somebody who stands, faces -y and has the left side towards +x."""
    joints = np.zeros((17, 3))
    for name, place in {
        "pelvis": (0, 0, 0.95), "belly": (0, 0, 1.15), "neck": (0, 0, 1.45), "nose": (0, 0, 1.55),
        "head": (0, 0, 1.75),
        "left_hip": (0.09, 0, 0.95), "left_knee": (0.09, -0.01, 0.52), "left_ankle": (0.09, 0, 0.09),
        "left_shoulder": (0.18, 0, 1.42), "left_elbow": (0.2, 0.01, 1.13), "left_wrist": (0.2, -0.01, 0.87),
    }.items():  # fmt: skip
        joints[OF[name]] = place
        joints[OF[H36M17.partner(name)]] = np.array(place) * (-1, 1, 1)
    return np.tile(joints, (3, 1, 1))


def test_somebody_who_stands_stands(body):
    """From joints alone: soles on the floor, toes, head and chest to the front, palms to the body."""
    clip = retarget(capture_of(Motion("still", standing(), 30.0)), body, body.shape("man-182"))
    posed = body.posed(clip.shape, *clip.at(0.0))
    coco = dict(zip(("nose", "left_eye", "right_eye"), body.coco_joints(posed), strict=False))
    assert coco["nose"][1] < posed.heads[body.bone("head")][1] - 0.05
    assert coco["left_eye"][0] > coco["right_eye"][0]
    soles = posed.vertices[body.parts["soles"].vertices]
    assert soles[:, 2].max() < 0.06 and abs(soles[:, 2].min()) < 1e-4
    for side, sign in (("left", 1), ("right", -1)):
        s = side[0].upper()
        foot = posed.heads[body.bone(f"toe3-1.{s}")] - posed.heads[body.bone(f"foot.{s}")]
        assert angle(foot * (1, 1, 0), np.array([0, -1, 0])) < 5
        hand = clip.rotations[0, body.bone(f"wrist.{s}")] @ rest_frames(body, clip.shape)[f"{side}_hand"]
        palm = np.cross(hand[:, 0], hand[:, 2])  # fingers bend towards it
        assert angle(palm, np.array([-sign, 0, 0])) < 25
        thumb = posed.heads[body.bone(f"finger1-3.{s}")] - posed.heads[body.bone(f"finger5-3.{s}")]
        assert thumb[1] < -0.03  # the thumb is in front


@pytest.mark.parametrize("degrees", [0, 90, 215])
def test_turning_the_capture_turns_the_body(body, shared_data, degrees):
    motion = load_motion(shared_data / WALKS[1])
    turn = Rotation.from_euler("z", degrees, degrees=True).as_matrix()
    shape = body.shape("woman-176")
    joints = motion.joints[:40]
    plain, turned = (
        retarget(capture_of(Motion("walk", j, 120.0)), body, shape) for j in (joints, joints @ turn.T)
    )
    np.testing.assert_allclose(turned.rotations, turn @ plain.rotations, atol=1e-6)
    np.testing.assert_allclose(turned.roots, plain.roots @ turn.T, atol=1e-6)


def test_other_joint_sets_are_refused():
    with pytest.raises(MotionError, match="joints of coco17, expected h36m17"):
        capture_of(Motion("other", np.zeros((2, 17, 3)), 30.0, "coco17"))
