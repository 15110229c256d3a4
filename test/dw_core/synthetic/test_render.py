"""Frames: the same bytes whatever is left out, and truth that agrees with what is seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from dw_core.geometry.camera import Array, Camera, project
from dw_core.synthetic import raycast
from dw_core.synthetic.optics import Optics
from dw_core.synthetic.raycast import caster
from dw_core.synthetic.render import render_frame, visible
from dw_core.synthetic.room import Room, make_room
from dw_core.synthetic.shapes import Finish, box
from dw_core.synthetic.surface import Surface, joined
from dw_core.synthetic.view import RoomView
from dw_core.synthetic.zbuffer import NO_HIT


@pytest.fixture(scope="module")
def room(cameras: list[Camera], path: Array) -> Room:
    return make_room(3, cameras, path)


@pytest.fixture(scope="module")
def view(room: Room, cameras: list[Camera]) -> RoomView:
    return RoomView(room, cameras[0], Optics())


def walking(figure: Sequence[Surface]) -> Callable[[float], Sequence[Surface]]:
    """The figure at 2 m/s along y."""

    def at(time: float) -> Sequence[Surface]:
        step = np.array([0, 2 * time, 0], np.float32)
        return [replace(part, vertices=part.vertices + step) for part in figure]

    return at


def still(figure: Sequence[Surface]) -> Callable[[float], Sequence[Surface]]:
    return lambda _: figure


OPTICS = [
    Optics(),
    Optics(samples=1),
    Optics(exposure_s=0.03, rolling_shutter_s=0.05),
    Optics(binning=2, vignetting=0.3, shot_noise=0.02, read_noise=0.01, jpeg_quality=90, stops=0.3),
]


@pytest.mark.parametrize("optics", OPTICS, ids=["plain", "one sample", "moving", "noisy"])
@pytest.mark.parametrize("seed", [1, 3])  # outdoors and a room with three lamps
def test_what_is_left_out_changes_no_byte(
    cameras: list[Camera], path: Array, figure: list[Surface], optics: Optics, seed: int
) -> None:
    view = RoomView(make_room(seed, cameras, path), cameras[seed % 4], optics)
    fast = render_frame(walking(figure), view, frame=5)
    full = render_frame(walking(figure), view, frame=5, everywhere=True)
    assert fast.pixels.shape == (84 // optics.binning, 112 // optics.binning, 3)
    assert np.array_equal(fast.pixels, full.pixels)
    assert np.array_equal(fast.owner, full.owner) and np.array_equal(fast.cover, full.cover)
    empty = render_frame(still([]), view, frame=5)
    changed = (fast.pixels != empty.pixels).any(-1)
    assert changed[fast.cover > 0].mean() > 0.9 and (changed & (fast.cover == 0)).sum() > 20  # shadows


def test_two_scenes_see_what_one_scene_sees(room: Room, view: RoomView, figure: list[Surface]) -> None:
    everything = joined([*figure, *(part.surface for part in room.parts)])
    hits = caster(everything.vertices, everything.faces).first(view.centre, view.rays)
    owner = np.append(everything.owner, NO_HIT)[hits.triangle]
    seen = (owner < len(figure)) & (owner != NO_HIT)
    cover = seen.reshape(view.height, view.width, -1).mean(-1)
    picture = render_frame(still(figure), view)
    assert 0.01 < cover.mean() < 0.3
    assert np.array_equal(picture.cover, cover.astype(np.float32))


def test_a_frame_is_the_same_again_and_noise_is_its_own(
    room: Room, cameras: list[Camera], figure: list[Surface]
) -> None:
    noisy = Optics(read_noise=0.02)
    views = [RoomView(room, cameras[0], noisy, number=k, seed=4) for k in (0, 0, 1)]
    images = [render_frame(still(figure), v, frame=2).pixels for v in views]
    assert np.array_equal(images[0], images[1]) and not np.array_equal(images[0], images[2])
    assert not np.array_equal(images[0], render_frame(still(figure), views[0], frame=3).pixels)


def test_the_z_buffer_paints_the_same_picture(
    monkeypatch: pytest.MonkeyPatch, room: Room, cameras: list[Camera], figure: list[Surface]
) -> None:
    shell = tuple(part for part in room.parts if len(part.surface.vertices) == 4)
    bare = replace(room, parts=shell, lights=room.lights[:1])  # every face and lamp costs the z-buffer time
    fast = render_frame(still(figure[:2]), RoomView(bare, cameras[0], Optics()))
    monkeypatch.setattr(raycast, "EmbreeScene", None)
    slow = render_frame(still(figure[:2]), RoomView(bare, cameras[0], Optics()))
    assert np.array_equal(fast.owner, slow.owner)
    error = np.abs(fast.pixels.astype(int) - slow.pixels).max(-1)
    assert (error > 2).mean() < 0.002  # rays of shadows that graze an edge


def test_the_figure_is_where_it_projects(view: RoomView, figure: list[Surface], person: Array) -> None:
    picture = render_frame(still(figure), view)
    rows, columns = np.nonzero(picture.cover)
    corners = project(view.camera, np.concatenate([part.vertices for part in figure]).astype(np.float64))
    assert np.abs(columns.min() - corners[:, 0].min()) < 1 and np.abs(rows.min() - corners[:, 1].min()) < 1
    assert np.abs(columns.max() - corners[:, 0].max()) < 1
    column, row = np.round(project(view.camera, person[9])).astype(int)
    assert picture.owner[row, column] == 3  # the left forearm


def test_a_shutter_that_is_open_blurs_and_one_that_rolls_leans(
    room: Room, cameras: list[Camera], make_capsule: Callable[..., Surface]
) -> None:
    post = [make_capsule((0, 0, 0.2), (0, 0, 1.9), 0.08)]
    camera = replace(cameras[0], distortion=np.zeros(5))

    def picture(optics: Optics) -> np.ndarray:
        return render_frame(walking(post), RoomView(room, camera, optics)).cover

    def middle(cover: np.ndarray, rows: slice) -> float:
        return float(np.average(np.arange(cover.shape[1]), weights=cover[rows].sum(0)))

    upright, leaning = picture(Optics()), picture(Optics(rolling_shutter_s=0.8))
    rows = np.flatnonzero(upright.sum(1))
    top, bottom = slice(rows[2], rows[6]), slice(rows[-7], rows[-3])
    assert abs(middle(upright, top) - middle(upright, bottom)) < 0.3
    # 2 m/s for the time between the rows, seen from 4.5 m
    time = (bottom.start - top.start) / camera.height * 0.8
    expected = project(camera, np.array([0, 2 * time, 1.0]))[0] - project(camera, np.array([0, 0, 1.0]))[0]
    lean = middle(leaning, bottom) - middle(leaning, top)
    assert lean == pytest.approx(expected, abs=1.5) and abs(expected) > 5
    row = (rows[0] + rows[-1]) // 2

    def touched(optics: Optics) -> int:
        view = RoomView(room, camera, optics)
        empty = render_frame(still([]), view).pixels.astype(int)
        return int((np.abs(render_frame(walking(post), view).pixels - empty).max(-1) > 3)[row].sum())

    # 2 m/s for three quarters of 0.2 s, at 4.5 m: from the first of four moments to the last
    further = 2 * 0.15 / 4.5 * camera.K[0, 0]
    assert touched(Optics(exposure_s=0.2)) - touched(Optics()) == pytest.approx(further, abs=2)


def test_visible_says_who_hides_a_joint(cameras: list[Camera], figure: list[Surface], person: Array) -> None:
    empty = make_room(3, cameras, person)
    only_shell = replace(empty, parts=tuple(p for p in empty.parts if len(p.surface.vertices) == 4))
    grey = Finish("plaster", np.full(3, 0.5, np.float32), np.full(3, 0.5, np.float32))
    # a screen between the first camera, on the x axis, and the person, up to the height of the knees
    screen = box(np.array([1.0, -1.0, 0.0]), np.array([1.1, 1.0, 0.8]), grey)
    room = replace(only_shell, parts=(*only_shell.parts, screen))
    view = RoomView(room, cameras[0], Optics(samples=1))
    own = list(range(len(figure)))
    seen = visible(person, view, figure, own)
    assert seen.inside.all()
    assert seen.hidden[[15, 16]].all() and not seen.hidden[:11].any()
    assert not seen.self_hidden[[9, 10, 13]].any()
    behind = np.array([[-0.4, 0.0, 1.2], [-0.4, 1.0, 1.2]])  # behind the trunk, and beside it
    assert visible(behind, view, figure, own).self_hidden.tolist() == [True, False]
    # the same trunk on somebody else hides it from us
    assert visible(behind, view, figure, own[1:]).hidden.tolist() == [True, False]
    away = visible(np.array([[9.0, 0, 1.0], [0, 40.0, 1.0]]), view, figure, own)
    assert not away.inside.any()
