"""Acclaim motion capture: a skeleton (.asf) and takes of it (.amc), as of Carnegie Mellon's database.

A bone starts where its parent ends and has the same direction in its parent's frame but for its own
rotation, C R(angles) C^-1 with C from its `axis` line; a rotation "XYZ" turns about x first, so it is
Rz Ry Rx. The joint that a bone is named for sits at its END. Source: Lander, "Working with motion capture
file formats", Game Developer, January 1998; the format's description at the University of Wisconsin.
Lengths are inches over the number in the `units` section, the file's y axis is up; takes do not say their
rate, which is 120 Hz in nearly all of the database.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dw_core.errors import MotionError
from dw_core.geometry.camera import Array

RATE_HZ = 120.0
INCH_M = 0.0254
ROOT = "root"
# The bones at whose ends the joints of H36M17 are, in its order.
JOINT_BONES = (
    ROOT, "rhipjoint", "rfemur", "rtibia", "lhipjoint", "lfemur", "ltibia", "upperback", "thorax",
    "upperneck", "head", "lclavicle", "lhumerus", "lradius", "rclavicle", "rhumerus", "rradius",
)  # fmt: skip
# World x, y, z (z up) from the file's (y up).
_Z_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
_ROTATIONS, _TRANSLATIONS = ("rx", "ry", "rz"), ("tx", "ty", "tz")


@dataclass(frozen=True, eq=False)
class Bone:
    """offset (3,) m from its start to its end at rest; axis (3, 3), its C; names of its angles."""

    offset: Array
    axis: Array
    channels: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Skeleton:
    """Bones by name, the root's among them; pairs (parent, child) with every parent before its children;
    metres per unit of length."""

    bones: dict[str, Bone]
    hierarchy: tuple[tuple[str, str], ...]
    metres: float


@dataclass(frozen=True)
class _Line:
    """A line of a file, split into words."""

    path: Path
    number: int
    words: tuple[str, ...]

    def error(self, what: str) -> MotionError:
        return MotionError(f"{self.path}, line {self.number}: {what}")

    def numbers(self, words: tuple[str, ...], count: int) -> Array:
        if len(words) != count:
            raise self.error(f"'{self.words[0]}' has {len(words)} numbers, expected {count}")
        try:
            values = np.array(words, dtype=np.float64)
        except ValueError:
            raise self.error(f"'{' '.join(self.words)}' holds what is not a number") from None
        if not np.isfinite(values).all():
            raise self.error(f"'{' '.join(self.words)}' holds a value that is not finite")
        return values


def load_acclaim(path: Path) -> tuple[Array, float]:
    """Joints (T, 17, 3) of H36M17 in metres, z up, and the rate in Hz of a take (.amc).

    Its skeleton is the .asf beside it: of the same name, of the name before the last underscore, or the
    only one. Raises MotionError naming the file and the line.
    """
    skeleton = load_skeleton(skeleton_of(path))
    angles = load_take(path, skeleton)
    ends = bone_ends(skeleton, angles)
    for bone in JOINT_BONES:
        if bone not in ends:
            raise MotionError(
                f"{skeleton_of(path)}: there is no bone {bone}, which the joints are taken from"
            )
    joints: Array = np.stack([ends[bone] for bone in JOINT_BONES], 1) @ _Z_UP.T
    return joints, RATE_HZ


def skeleton_of(path: Path) -> Path:
    """The skeleton file (.asf) of a take. Raises MotionError when it is not beside it."""
    for name in (path.stem, path.stem.rpartition("_")[0]):
        if name and (beside := path.with_name(f"{name}.asf")).is_file():
            return beside
    others = sorted(path.parent.glob("*.asf"))
    if len(others) != 1:
        raise MotionError(
            f"{path}: its skeleton {path.stem.rpartition('_')[0] or path.stem}.asf is not beside it, and "
            f"there are {len(others)} others, expected one .asf file"
        )
    return others[0]


def load_skeleton(path: Path) -> Skeleton:
    """A skeleton file. Raises MotionError."""
    sections = _sections(path)
    units = {line.words[0]: line for line in sections["units"]}
    if "length" not in units:
        raise MotionError(f"{path}: section :units has no length")
    length = units["length"].numbers(units["length"].words[1:], 1)[0]
    if length <= 0:
        raise units["length"].error(f"the unit of length is {length:g}, expected more than 0")
    if "angle" in units and units["angle"].words[1:] != ("deg",):
        raise units["angle"].error(f"angles are in '{' '.join(units['angle'].words[1:])}', expected deg")
    metres = INCH_M / float(length)
    bones = {ROOT: _root(path, sections["root"])}
    for block in _blocks(path, sections["bonedata"]):
        name, bone = _bone(path, block, metres)
        bones[name] = bone
    return Skeleton(bones, _hierarchy(path, sections["hierarchy"], bones), metres)


def _lines(path: Path) -> Iterator[_Line]:
    """What is no comment and not empty."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not text"
        raise MotionError(f"{path}: it cannot be read ({why})") from error
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if words and not words[0].startswith("#"):
            yield _Line(path, number, tuple(words))


def _sections(path: Path) -> dict[str, list[_Line]]:
    sections: dict[str, list[_Line]] = {}
    for line in _lines(path):
        if line.words[0].startswith(":"):
            sections[line.words[0][1:].lower()] = []
        elif sections:
            list(sections.values())[-1].append(line)
    for name in ("units", "root", "bonedata", "hierarchy"):
        if not sections.get(name):
            raise MotionError(f"{path}: section :{name} is missing or empty, expected a skeleton (.asf)")
    return sections


def _blocks(path: Path, lines: list[_Line]) -> Iterator[dict[str, _Line]]:
    """The lines between `begin` and `end` by their first words, those of each pair."""
    block: dict[str, _Line] | None = None
    for line in lines:
        if line.words[0] == "begin":
            if block is not None:
                raise line.error("a bone begins before the last one ends")
            block = {}
        elif block is None:
            raise line.error(f"'{line.words[0]}' stands outside of begin and end")
        elif line.words[0] == "end":
            yield block
            block = None
        else:
            block[line.words[0]] = line
    if block is not None:
        raise lines[-1].error("the file ends before the section does, expected 'end'")


def _root(path: Path, lines: list[_Line]) -> Bone:
    fields = {line.words[0]: line for line in lines}
    if "order" not in fields:
        raise MotionError(f"{path}: the root has no line 'order'")
    channels = tuple(word.lower() for word in fields["order"].words[1:])
    if set(channels) != {*_ROTATIONS, *_TRANSLATIONS}:
        raise fields["order"].error(
            f"the root moves by {' '.join(channels)}, expected {' '.join((*_TRANSLATIONS, *_ROTATIONS))}"
        )
    for name in ("position", "orientation"):
        if name in fields and fields[name].numbers(fields[name].words[1:], 3).any():
            raise fields[name].error(f"the root's {name} at rest is not zero, which is not known to be used")
    return Bone(np.zeros(3), np.eye(3), channels)


def _bone(path: Path, block: dict[str, _Line], metres: float) -> tuple[str, Bone]:
    if "name" not in block or len(block["name"].words) != 2:
        raise MotionError(f"{path}: a bone of section :bonedata has no name")
    line, name = block["name"], block["name"].words[1]
    for field in ("direction", "length", "axis"):
        if field not in block:
            raise line.error(f"bone {name} has no {field}")
    direction = block["direction"].numbers(block["direction"].words[1:], 3)
    length = block["length"].numbers(block["length"].words[1:], 1)[0]
    axis = block["axis"]
    order = axis.words[-1].lower()
    if sorted(order) != ["x", "y", "z"]:
        raise axis.error(f"the axis of bone {name} ends in '{axis.words[-1]}', expected an order such as XYZ")
    turned = _rotation(axis.numbers(axis.words[1:-1], 3)[:, None], tuple(f"r{letter}" for letter in order))
    channels = tuple(word.lower() for word in block["dof"].words[1:]) if "dof" in block else ()
    if unknown := [channel for channel in channels if channel not in _ROTATIONS]:
        raise block["dof"].error(f"bone {name} moves by '{unknown[0]}', expected rotations rx, ry, rz")
    norm = float(np.linalg.norm(direction)) or 1.0
    return name, Bone(length * metres * direction / norm, turned[0], channels)


def _hierarchy(path: Path, lines: list[_Line], bones: dict[str, Bone]) -> tuple[tuple[str, str], ...]:
    pairs: list[tuple[str, str]] = []
    placed = {ROOT}
    for line in lines:
        if line.words[0] in ("begin", "end"):
            continue
        parent, *children = line.words
        if parent not in placed:
            raise line.error(f"bone {parent} has children before it has a parent")
        for child in children:
            if child not in bones:
                raise line.error(f"there is no bone {child} in section :bonedata")
            if child in placed:
                raise line.error(f"bone {child} has two parents")
            placed.add(child)
            pairs.append((parent, child))
    return tuple(pairs)


def load_take(path: Path, skeleton: Skeleton) -> dict[str, Array]:
    """Every bone's values (T, channels) as in the file: degrees, and the root's units of length.

    Raises MotionError for a bone that is unknown or missing, a wrong number of values, and frames that are
    not numbered one after the other.
    """
    moving = {name: bone.channels for name, bone in skeleton.bones.items() if bone.channels}
    values: dict[str, list[tuple[str, ...]]] = {name: [] for name in moving}
    first, frames, line = 0, 0, None
    for line in _lines(path):
        word = line.words[0]
        if word.startswith(":"):
            if word.upper() == ":RADIANS":
                raise line.error("angles are in radians, expected degrees")
        elif len(line.words) == 1 and word.isdigit():
            _check_whole(line, values, frames)
            first = first if frames else int(word)
            if int(word) != first + frames:
                raise line.error(f"this is frame {word}, expected frame {first + frames}")
            frames += 1
        elif word not in moving:
            raise line.error(f"bone {word} does not move, or is not in the skeleton")
        elif len(values[word]) != frames - 1:
            raise line.error(f"bone {word} stands twice in a frame, or before the first")
        elif len(line.words) - 1 != len(moving[word]):
            raise line.error(f"bone {word} has {len(line.words) - 1} values, expected {len(moving[word])}")
        else:
            values[word].append(line.words[1:])
    if line is None or frames < 2:
        raise MotionError(f"{path}: it holds {frames} frames, expected 2 or more")
    _check_whole(line, values, frames)
    return {name: _array(path, name, rows) for name, rows in values.items()}


def _check_whole(line: _Line, values: dict[str, list[tuple[str, ...]]], frames: int) -> None:
    """That the frame which ends at this line has every bone."""
    for name, rows in values.items():
        if len(rows) != frames:
            raise line.error(f"the frame before this line has no bone {name}")


def _array(path: Path, name: str, rows: list[tuple[str, ...]]) -> Array:
    try:
        values = np.array(rows, dtype=np.float64)
        bad = np.flatnonzero(~np.isfinite(values).all(1))
        if len(bad) == 0:
            return values
        frame = int(bad[0])
    except ValueError:
        frame = next(k for k, row in enumerate(rows) if not all(map(_is_number, row)))
    raise MotionError(
        f"{path}: frame {frame + 1}: '{name} {' '.join(rows[frame])}' holds what is not a finite number"
    )


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def bone_ends(skeleton: Skeleton, values: dict[str, Array]) -> dict[str, Array]:
    """Where every bone ends (T, 3), metres in the file's frame (y up), from the values of `load_take`."""
    return bone_frames(skeleton, values)[0]


def bone_frames(skeleton: Skeleton, values: dict[str, Array]) -> tuple[dict[str, Array], dict[str, Array]]:
    """Where every bone ends (T, 3) as in `bone_ends`, and its global rotations (T, 3, 3) from its rest
    pose."""
    channels, root = skeleton.bones[ROOT].channels, values[ROOT]
    place = [channels.index(name) for name in _TRANSLATIONS]
    ends = {ROOT: root[:, place] * skeleton.metres}
    turning = [k for k, name in enumerate(channels) if name in _ROTATIONS]
    frames = {ROOT: _rotation(root[:, turning].T, tuple(channels[k] for k in turning))}
    for parent, child in skeleton.hierarchy:
        bone = skeleton.bones[child]
        frames[child] = frames[parent]
        if bone.channels:
            own = bone.axis @ _rotation(values[child].T, bone.channels) @ bone.axis.T
            frames[child] = frames[parent] @ own
        ends[child] = ends[parent] + frames[child] @ bone.offset
    return ends, frames


def _rotation(degrees: Array, axes: tuple[str, ...]) -> Array:
    """Rotations (T, 3, 3) about the axes one after the other by angles (axes, T)."""
    out = np.broadcast_to(np.eye(3), (degrees.shape[1], 3, 3))
    for angle, axis in zip(np.deg2rad(degrees), axes, strict=True):
        i = _ROTATIONS.index(axis)
        j, k = (i + 1) % 3, (i + 2) % 3
        turn = np.zeros((len(angle), 3, 3))
        turn[:, i, i] = 1.0
        turn[:, j, j] = turn[:, k, k] = np.cos(angle)
        turn[:, k, j], turn[:, j, k] = np.sin(angle), -np.sin(angle)
        out = turn @ out
    return out
