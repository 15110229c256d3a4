"""A scene: who moves how, in which room, before which cameras. A small value; its hash names its pictures.

As a file (YAML), every name as in the dataclasses; what is left out has its default:

    rig: ../rigs/ring_vga.yaml    # relative to the scene; ${NAME}/... takes an environment variable
    seconds: 10.0
    rate_hz: 60.0                 # every camera sees every frame; who fires when is the schedule's affair
    room: 7                       # seed
    actors:
    - motion: clips/07_01.amc     # .amc, .bvh, .npz, or `walk`, which is no file (walk.py)
      start_s: 1.0
      look: 3                     # seed
      place: [0.0, 0.0]           # metres: the middle of the path
      turn_deg: 90.0              # about the vertical
    optics: {exposure_s: 0.004, shot_noise: 0.01}
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from dw_core.errors import ConfigError
from dw_core.synthetic import walk
from dw_core.synthetic.body import FILE as BODY_FILE
from dw_core.synthetic.optics import Optics

T = TypeVar("T")
# Counts up when the same scene gives other pictures than before.
RENDER_VERSION = 1
MAX_ACTORS = 4
MAX_FRAMES = 100_000


@dataclass(frozen=True)
class Actor:
    """One person: which motion from when, in which look, where and turned how on the floor."""

    motion: str
    start_s: float = 0.0
    look: int = 0
    place: tuple[float, float] = (0.0, 0.0)
    turn_deg: float = 0.0


@dataclass(frozen=True)
class Scene:
    """Everything that decides about the pictures; files by their paths. Raises ConfigError for what cannot
    be."""

    rig: str
    actors: tuple[Actor, ...]
    room: int = 0
    seconds: float = 10.0
    rate_hz: float = 60.0
    seed: int = 0
    optics: Optics = field(default_factory=Optics)

    def __post_init__(self) -> None:
        if not 1 <= len(self.actors) <= MAX_ACTORS:
            raise ConfigError(f"the scene has {len(self.actors)} actors, expected 1 to {MAX_ACTORS}")
        if not (self.seconds > 0 and self.rate_hz > 0 and 1 <= self.frames <= MAX_FRAMES):
            raise ConfigError(
                f"the scene lasts {self.seconds} s at {self.rate_hz} Hz, expected 1 to {MAX_FRAMES} frames"
            )
        if self.optics.binning != 1:
            raise ConfigError(
                f"the scene's optics have a binning of {self.optics.binning}, expected 1: give the rig the "
                "image size that you want"
            )

    @property
    def frames(self) -> int:
        """Frames of each camera."""
        return round(self.seconds * self.rate_hz)


def load_scene(path: Path) -> Scene:
    """Scene from YAML, its files' paths made absolute (see `found`). Raises ConfigError naming file and
    key."""
    try:
        document = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: it cannot be read as a scene in YAML ({error})") from error
    try:
        values = _known(document, Scene, "the scene")
        actors = tuple(_actor(entry, k, path.parent) for k, entry in enumerate(values.pop("actors", ())))
        optics = Optics(**_known(values.pop("optics", {}), Optics, "optics"))
        rig = found(str(values.pop("rig", "")), path.parent, "rig")
        return Scene(rig=rig, actors=actors, optics=optics, **values)
    except (ConfigError, TypeError) as error:
        raise ConfigError(f"{path}: {error}") from error


def _actor(entry: Any, number: int, folder: Path) -> Actor:
    values = _known(entry, Actor, f"actor {number}")
    motion = str(values.pop("motion", ""))
    if motion != walk.NAME:
        motion = found(motion, folder, f"motion of actor {number}")
    place = tuple(float(x) for x in values.pop("place", (0.0, 0.0)))
    if len(place) != 2:
        raise ConfigError(f"the place of actor {number} has {len(place)} numbers, expected x and y")
    return Actor(motion=motion, place=place, **values)


def _known(document: Any, kind: type, what: str) -> dict[str, Any]:
    """The entries of a mapping that has no others than a dataclass has, numbers as the dataclass has them."""
    fields = {f.name: f.type for f in dataclasses.fields(kind)}
    if not isinstance(document, Mapping):
        raise ConfigError(f"{what} is {document!r}, expected entries such as {', '.join(list(fields)[:3])}")
    unknown = [str(name) for name in document if name not in fields]
    if unknown:
        raise ConfigError(f"{what} has an entry '{unknown[0]}', expected some of {', '.join(fields)}")
    wanted = {"float": float, "int": int}
    values = dict(document)
    for name, value in values.items():
        if (number := wanted.get(str(fields[name]))) is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | number):
            raise ConfigError(f"{name} of {what} is {value!r}, expected a number ({fields[name]})")
        values[name] = number(value)
    return values


def found(name: str, folder: Path, what: str) -> str:
    """A file named in a scene, relative to the scene's folder, environment variables filled in. Raises
    ConfigError when it is not there or a variable is not set."""
    filled = os.path.expandvars(name)
    if unset := re.search(r"\$(\w+|\{[^}]*\})", filled):
        variable = unset[1].strip("{}")
        raise ConfigError(f"the {what} is '{name}', expected the variable {variable} to be set to a folder")
    path = folder / Path(filled).expanduser()
    if not name or not path.is_file():
        raise ConfigError(f"the {what} is '{name}', expected a file; there is no {path}")
    return str(path.resolve())


def scene_hash(scene: Scene) -> str:
    """Hex digest of what the pictures depend on: the scene with the contents of its files, the body, and the
    version of the renderer."""
    value = dataclasses.asdict(scene)
    value["rig"] = _digest(scene.rig)
    for actor in value["actors"]:
        actor["motion"] = _digest(actor["motion"])
    value |= {"version": RENDER_VERSION, "body": _digest(str(BODY_FILE))}
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _digest(path: str) -> str:
    """Of a file, and of an .amc's skeleton beside it too; `walk` is the renderer's own."""
    if path == walk.NAME:
        return path
    files = [Path(path), *sorted(Path(path).parent.glob("*.asf") if path.endswith(".amc") else ())]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def to_yaml(scene: Scene) -> str:
    """The scene as a file that `load_scene` reads."""
    value = dataclasses.asdict(scene)
    value["actors"] = [dict(actor, place=list(actor["place"])) for actor in value["actors"]]
    return yaml.safe_dump(value, sort_keys=False)
