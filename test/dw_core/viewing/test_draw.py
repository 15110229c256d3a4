"""What is drawn into an image lies where the geometry says."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from dw_core.geometry.camera import Array, Rig, project, shifted
from dw_core.geometry.crop import Crop, apply_affine
from dw_core.heatmaps.render import render_gaussians
from dw_core.skeleton import COCO17
from dw_core.types import Heatmaps
from dw_core.viewing.draw import (
    Overlay,
    binning,
    blend,
    draw_curve,
    draw_overlay,
    epipolar_line,
    heatmap_layer,
)

SCALE = 0.5
WRIST = COCO17.index("left_wrist")


def maps_of(pixels: Array, side: float, cells: int = 64) -> Heatmaps:
    crop = Crop(-0.5, -0.5, side)
    tensor = render_gaussians(apply_affine(crop.to_cells(cells), pixels), cells, 1.3)
    return Heatmaps("cam1", 0, crop, tensor)


@pytest.fixture
def picture() -> np.ndarray:
    return np.zeros((500, 500, 3), dtype=np.uint8)


def test_a_heatmap_shines_where_the_joint_is_in_the_colour_of_its_side(rig: Rig, person: Array) -> None:
    pixels = project(rig[0], person)
    only = np.full_like(pixels, np.nan)
    only[WRIST] = pixels[WRIST]
    layer = heatmap_layer(maps_of(only, rig[0].width), COCO17, (500, 500), SCALE)
    alpha = layer[..., 3].astype(float)
    rows, columns = np.mgrid[:500, :500]
    middle = np.array([(alpha * columns).sum(), (alpha * rows).sum()]) / alpha.sum()
    np.testing.assert_allclose((middle + 0.5) / SCALE - 0.5, pixels[WRIST], atol=2)  # a cell is 16 px
    x, y = middle.round().astype(int)
    blue, _, red = layer[y, x, :3].astype(int)
    assert blue > red + 100, "left is blue"
    assert (layer[alpha == 0] == 0).all() and (alpha > 0).mean() < 0.05


def test_blending_changes_only_what_the_layer_covers(picture: np.ndarray) -> None:
    layer = np.zeros((500, 500, 4), dtype=np.uint8)
    layer[10:20, 30:40] = (200, 100, 50, 128)
    before = picture.copy()
    blend(picture, layer)
    changed = (picture != before).any(-1)
    assert changed[10:20, 30:40].all() and changed.sum() == 100
    np.testing.assert_allclose(picture[15, 35], (100, 50, 25), atol=1)


@pytest.mark.parametrize("joint", ["left_wrist", "nose", "right_ankle"])
def test_an_epipolar_line_passes_through_the_joint_that_it_is_of(rig: Rig, person: Array, joint: str) -> None:
    """Through the lenses of both cameras, within the steps of the curve."""
    index = COCO17.index(joint)
    for observer in rig:
        for shown in rig:
            if shown is observer:
                continue
            curve = epipolar_line(observer, project(observer, person)[index], shown)
            segments = curve[:-1], curve[1:]
            along = segments[1] - segments[0]
            to_joint = project(shown, person)[index] - segments[0]
            part = ((to_joint * along).sum(-1) / (along**2).sum(-1)).clip(0, 1)
            distance = np.linalg.norm(to_joint - part[:, None] * along, axis=-1)
            assert np.nanmin(distance) < 0.5


def test_a_curve_is_interrupted_where_it_is_unknown_and_far_points_do_no_harm(picture: np.ndarray) -> None:
    curve = np.array([(100, 100), (300, 100), (np.nan, 0), (500, 700), (700, 700), (1e12, 1e12)], dtype=float)
    draw_curve(picture, curve, SCALE)
    drawn = picture.any(-1)
    assert drawn[50, 60:140].all() and drawn[350, 260:340].all()
    assert not drawn[50:350, 180:240].any()


def test_an_overlay_draws_every_part_that_it_is_given_and_no_other(
    rig: Rig, person: Array, picture: np.ndarray
) -> None:
    camera = rig[0]
    maps = maps_of(project(camera, person), camera.width)
    line = epipolar_line(rig[1], project(rig[1], person)[WRIST], camera)
    parts = [
        Overlay(heatmaps=maps),
        Overlay(seen=maps.joints),
        Overlay(skeletons=[person]),
        Overlay(curves=[line]),
    ]
    pictures = [picture.copy() for _ in parts]
    for one, part in zip(pictures, parts, strict=True):
        draw_overlay(one, camera, COCO17, part, SCALE)
        assert one.any()
    assert len({one.tobytes() for one in pictures}) == len(parts)
    draw_overlay(picture, camera, COCO17, Overlay(), SCALE)
    assert not picture.any()


def test_a_skeleton_is_drawn_on_its_joints(rig: Rig, person: Array, picture: np.ndarray) -> None:
    draw_overlay(picture, rig[0], COCO17, Overlay(skeletons=[person]), SCALE)
    near = cv2.dilate(picture.any(-1).astype(np.uint8), np.ones((3, 3), np.uint8))
    for x, y in (project(rig[0], person) * SCALE).round().astype(int):
        assert near[y, x]


def test_binning_leaves_the_pixels_that_were_asked_for(rig: Rig) -> None:
    tall = shifted(rig[0], 0, 0, 1080, 1920)
    assert [binning(tall, px) for px in (200, 240, 480, 481, 960, 1920, 5000)] == [8, 8, 4, 2, 2, 1, 1]
