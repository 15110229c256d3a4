"""A scene set up: at any time, what there is to be seen, and where every joint truly is.

World frame: metres, z up. Shapes: P people, J = 17 joints of COCO17, K pivots, V vertices.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from dw_core.data.rigs import load_rig
from dw_core.errors import ConfigError
from dw_core.geometry.camera import Array, Rig
from dw_core.synthetic import walk
from dw_core.synthetic.body import Body, Posed, Shape, load_body
from dw_core.synthetic.capture import capture_of, load_capture
from dw_core.synthetic.look import Look, dressed, random_look
from dw_core.synthetic.retarget import Clip, retarget
from dw_core.synthetic.room import Room, make_room
from dw_core.synthetic.scene import MAX_ACTORS, Actor, Scene
from dw_core.synthetic.surface import Surface

PATH_STEP_S = 0.1  # between the places that a room keeps clear


@dataclass(frozen=True, eq=False)
class Person:
    """One actor: the body with its look, the clip, and where the clip's own origin lies in the scene.

    turn (3, 3): rotation about the vertical; shift (3,) m, applied after it.
    """

    body: Body
    shape: Shape
    look: Look
    clip: Clip
    start_s: float
    turn: Array
    shift: Array

    def posed(self, seconds: float) -> Posed:
        """The body at a time of the scene. Raises MotionError beyond the clip."""
        rotations, root = self.clip.at(self.start_s + seconds)
        return self.body.posed(self.shape, self.turn @ rotations, self.turn @ root + self.shift)


@dataclass(frozen=True, eq=False)
class Stage:
    """A scene with everything that it names."""

    scene: Scene
    rig: Rig
    room: Room
    people: tuple[Person, ...]

    def surfaces(self, seconds: float) -> list[list[Surface]]:
        """What moves at a time, for each person: vertices (V, 3) in the world. Raises MotionError as
        `posed`."""
        return [dressed(one.body, one.look, _posed(one, seconds)) for one in self.people]

    def joints(self, seconds: float) -> tuple[Array, Array]:
        """Joints (P, J, 3) of COCO17 and pivots (P, K, 3) at a time, metres. Raises MotionError as
        `posed`."""
        posed = [(one.body, _posed(one, seconds)) for one in self.people]
        return (
            np.stack([body.coco_joints(one) for body, one in posed]),
            np.stack([body.pivots(one) for body, one in posed]),
        )


def set_up(scene: Scene) -> Stage:
    """The stage of a scene. Raises ConfigError for a clip that is too short, MotionError or CalibrationError
    for files."""
    rig = load_rig(Path(scene.rig))
    people = tuple(_person(actor, scene.seconds) for actor in scene.actors)
    times = np.arange(0.0, scene.seconds, PATH_STEP_S)
    path = np.concatenate([_path(person, times) for person in people])
    return Stage(scene, rig, make_room(scene.room, rig.cameras, path), people)


def _person(actor: Actor, seconds: float) -> Person:
    look = random_look(actor.look)
    body, shape, clip = _clip(actor.motion, look.shape)
    last = actor.start_s + seconds
    if not 0 <= actor.start_s < last <= clip.duration_s:
        raise ConfigError(
            f"{actor.motion}: {actor.start_s:g} to {last:g} s are asked for, "
            f"expected a part of its 0 to {clip.duration_s:.1f} s"
        )
    c, s = np.cos(np.radians(actor.turn_deg)), np.sin(np.radians(actor.turn_deg))
    turn = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    times = np.linspace(actor.start_s, last, max(int(seconds / PATH_STEP_S), 2))
    roots = np.stack([clip.at(time)[1] for time in times]) @ turn.T
    middle = (roots.min(0) + roots.max(0)) / 2
    shift = np.array([actor.place[0] - middle[0], actor.place[1] - middle[1], 0.0])
    return Person(body, shape, look, clip, actor.start_s, turn, shift)


@lru_cache(maxsize=MAX_ACTORS)  # asked for the surfaces and for the joints
def _posed(person: Person, seconds: float) -> Posed:
    return person.posed(seconds)


@lru_cache(maxsize=8)
def _clip(motion: str, shape_name: str) -> tuple[Body, Shape, Clip]:
    body = load_body()
    shape = body.shape(shape_name)
    capture = capture_of(walk.walk()) if motion == walk.NAME else load_capture(Path(motion))
    return body, shape, retarget(capture, body, shape)


def _path(person: Person, times: Array) -> Array:
    """Where a person is (N, 3): every pivot at every time."""
    return np.concatenate([person.body.pivots(person.posed(time)) for time in times])
