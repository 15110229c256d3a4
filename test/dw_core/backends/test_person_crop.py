from pathlib import Path

import numpy as np
import pytest

from dw_core import backends
from dw_core.backends.person_crop import MAX_AGE_NS, PersonCrop
from dw_core.data import assets
from dw_core.data.footage import Footage, decode_jpeg
from dw_core.data.rigs import load_rig
from dw_core.geometry.camera import Camera, project
from dw_core.geometry.crop import full_frame_crop
from dw_core.types import NS, Heatmaps, ImageFrame, Skeleton2D, Skeleton3D, TrackingState

RIG = Path(__file__).parents[3] / "config" / "rigs" / "balance_beam.yaml"
FULL = full_frame_crop(1000, 800)
J = 17


@pytest.fixture
def camera():
    K = np.array([[800.0, 0, 500], [0, 800, 400], [0, 0, 1]])
    return Camera("a", 1000, 800, K, np.zeros(0), np.eye(3), np.zeros(3))


@pytest.fixture
def body():
    return np.random.default_rng(0).uniform((-0.3, -0.9, 3.8), (0.3, 0.9, 4.2), (J, 3))


def skeleton(positions, stamp_ns=0, velocity=(0, 0, 0), confidence=None, state=TrackingState.TRACKED):
    return Skeleton3D(
        stamp_ns, 1, state, "coco17", positions, np.broadcast_to(np.array(velocity, float), positions.shape),
        np.tile(np.eye(3) * 1e-4, (J, 1, 1)), np.ones(J) if confidence is None else confidence, ("a",), (0,),
    )  # fmt: skip


def seen(pixels, stamp_ns=0, confidence=0.9):
    return Skeleton2D("a", stamp_ns, pixels, np.tile(np.eye(2), (J, 1, 1)), np.broadcast_to(confidence, J))


def test_without_knowledge_it_is_the_full_frame(camera):
    assert PersonCrop(camera).next(0, None, None) == (FULL, "full frame")


def test_skeleton_is_moved_to_the_exposure_and_framed_with_the_margin(camera, body):
    crop, source = PersonCrop(camera).next(NS // 10, skeleton(body, 0, velocity=(1, 0, 0)), None, margin=1.5)
    pixels = project(camera, body + (0.1, 0, 0))
    low, high = pixels.min(0), pixels.max(0)
    assert source == "skeleton"
    assert crop.side == pytest.approx(1.5 * (high - low).max())
    np.testing.assert_allclose(np.array((crop.left, crop.top)) + crop.side / 2, (low + high) / 2)


def test_skeleton_comes_before_what_the_view_saw(camera, body):
    own = seen(project(camera, body) + 50)
    crops = PersonCrop(camera)
    assert crops.next(0, skeleton(body), own)[1] == "skeleton"
    for useless in (
        skeleton(body, stamp_ns=-MAX_AGE_NS - 1),
        skeleton(body, state=TrackingState.INITIALISING),
        skeleton(body, confidence=np.full(J, 0.1)),
        skeleton(np.full((J, 3), np.nan), confidence=np.zeros(J)),
        skeleton(body * (1, 1, -1)),  # behind the camera
        skeleton(body + (100, 0, 0)),  # far outside the image
    ):
        assert crops.next(0, useless, own)[1] == "view"


def test_lost_person_restarts_from_the_full_frame(camera, body):
    pixels = project(camera, body)
    crops = PersonCrop(camera)
    assert crops.next(0, None, seen(pixels))[1] == "view"
    for lost in (
        seen(pixels, stamp_ns=-MAX_AGE_NS - 1),
        seen(pixels, confidence=0.1),
        seen(np.full((J, 2), np.nan), confidence=0.0),
        seen(pixels - 3000),
    ):
        assert crops.next(0, None, lost) == (FULL, "full frame")


def test_unsure_joints_do_not_stretch_the_crop(camera, body):
    pixels = project(camera, body)
    confidence = np.full(J, 0.9)
    expected = PersonCrop(camera).next(0, None, seen(pixels))[0]
    pixels[3], confidence[3] = 5000.0, 0.05
    assert PersonCrop(camera).next(0, None, seen(pixels, confidence=confidence))[0].side <= expected.side


@pytest.mark.parametrize("view", assets.VIEWS)
def test_start_from_the_full_frame_ends_on_the_person_on_the_beam(view):
    """In cam01 and cam02 somebody else stands in the background; the third look is at the right one."""
    camera = next(c for c in load_rig(RIG) if c.name == view)
    footage = Footage.open(assets.footage(), [view])
    network = backends.open_network("movenet")
    crops = PersonCrop(camera)
    pelvis_height = 0.9
    for index in (0, 40, 80):
        frame = ImageFrame(view, 0, decode_jpeg(footage.jpeg(view, index), 2), 2)
        last = None
        for _ in range(3):
            crop, _ = crops.next(0, None, last)
            last = Heatmaps(view, 0, crop, network.infer(frame, crop)).joints
        beam = project(camera, np.array([(x, 0.0, pelvis_height) for x in np.linspace(-3, 0.5, 50)]))
        hips = last.pixels[11:13].mean(0)
        assert np.linalg.norm(beam - hips, axis=1).min() < 80
        assert last.confidence.mean() > 0.6
