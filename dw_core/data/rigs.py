"""Rig files: our YAML, Qualisys XML, and the Human3.6M cameras as JSON.

Our format, one entry per camera in the order in which they fire:

    cameras:
    - name: cam01
      width: 1080                  # pixels of the image as it is delivered
      height: 1920
      K:                           # pixels; (0, 0) is the centre of the top left pixel
      - [1669.0, 0.0, 529.1]
      - [0.0, 1669.0, 948.3]
      - [0.0, 0.0, 1.0]
      model: pinhole               # or fisheye; pinhole if left out
      distortion: [k1, k2, p1, p2, k3]   # as in OpenCV; none if left out
      R:                           # world to camera: x_cam = R x + t
      - [1.0, 0.0, 0.0]
      - [0.0, 1.0, 0.0]
      - [0.0, 0.0, 1.0]
      t: [0.0, 0.0, 3.0]           # metres
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import yaml

from dw_core.errors import CalibrationError
from dw_core.geometry.camera import Array, Camera, Rig

_T = TypeVar("_T")
_REQUIRED = ("name", "width", "height", "K", "R", "t")
_OPTIONAL: Mapping[str, Any] = {"model": "pinhole", "distortion": []}
# Qualisys stores intrinsics in 1/64 of a pixel and lengths in millimetres, with the camera's y up and z back.
_QUALISYS_SUBPIXELS = 64.0
_QUALISYS_AXES = np.diag([1.0, -1.0, -1.0])
_MM = 1e-3
# Image sizes of Human3.6M, which its camera file leaves out.
_H36M_SIZES = {"54138969": (1000, 1002), "55011271": (1000, 1000), "58860488": (1000, 1000),
               "60457274": (1000, 1002)}  # fmt: skip


def load_rig(path: Path) -> Rig:
    """Rig from our YAML, or from a Qualisys file (.txt, .xml, .qca).

    Raises CalibrationError naming the file, the camera, the field and what was expected.
    """
    suffix = path.suffix.lower()
    if suffix in (".yaml", ".yml"):
        return _load_yaml(path)
    if suffix in (".txt", ".xml", ".qca"):
        return load_qualisys(path)
    raise CalibrationError(
        f"{path}: calibration files of type '{suffix}' are not known, expected .yaml (our own), "
        "or .txt, .xml or .qca (Qualisys)"
    )


def save_rig(rig: Rig, path: Path, comment: str = "") -> None:
    """Write our YAML; `load_rig` gives the same numbers back to the last bit."""
    cameras = [
        {
            "name": camera.name,
            "width": int(camera.width),
            "height": int(camera.height),
            "K": camera.K.tolist(),
            "model": camera.model,
            "distortion": camera.distortion.tolist(),
            "R": camera.R.tolist(),
            "t": camera.t.tolist(),
        }
        for camera in rig
    ]
    header = "".join(f"# {line}".rstrip() + "\n" for line in comment.splitlines())
    body = yaml.safe_dump({"cameras": cameras}, sort_keys=False, default_flow_style=None, width=200)
    path.write_text(header + body)


def load_qualisys(path: Path) -> Rig:
    """Rig of a Qualisys calibration (XML), at the resolution of the calibrated sensor.

    K is in 1/64 pixel; the distortion coefficients are OpenCV's, in plain numbers; lengths are
    millimetres; the rotation is world to camera with y up and z backwards. Raises CalibrationError.
    """
    try:
        root = ElementTree.fromstring(_read(path))
    except ElementTree.ParseError as error:
        raise CalibrationError(f"{path}: it is not XML ({error}), expected a Qualisys calibration") from error
    entries = root.findall(".//camera")
    if not entries:
        raise CalibrationError(f"{path}: it holds no <camera>, expected a Qualisys calibration")
    return _rig(path, [_qualisys_camera(path, entry) for entry in entries])


def load_h36m(path: Path, subject: str) -> Rig:
    """The four Human3.6M cameras for one subject (S1, S5, ...) from JSON with intrinsics and extrinsics.

    Raises CalibrationError for another file or an unknown subject.
    """
    try:
        document = json.loads(_read(path))
        intrinsics, extrinsics = document["intrinsics"], document["extrinsics"]
        subjects = list(extrinsics)
    except (ValueError, KeyError, TypeError) as error:
        raise CalibrationError(
            f"{path}: it is not a Human3.6M camera file ({error}), "
            "expected JSON with intrinsics and extrinsics"
        ) from error
    if subject not in subjects:
        raise CalibrationError(
            f"{path}: there is no subject '{subject}', expected one of {', '.join(subjects)}"
        )
    cameras = []
    for name, pose in extrinsics[subject].items():
        where = f"{path}: camera {name} of {subject}"
        lens = intrinsics.get(name, {})
        width, height = _H36M_SIZES.get(name, (1000, 1000))
        cameras.append(
            Camera(
                name, width, height,
                K=_numbers(where, lens, "calibration_matrix", (3, 3)),
                distortion=_numbers(where, lens, "distortion", None),
                R=_numbers(where, pose, "R", (3, 3)),
                t=_numbers(where, pose, "t", (3, 1)).ravel() * _MM,
            )
        )  # fmt: skip
    return _rig(path, cameras)


def _load_yaml(path: Path) -> Rig:
    try:
        document = yaml.safe_load(_read(path))
    except yaml.YAMLError as error:
        raise CalibrationError(f"{path}: it is not YAML ({str(error).splitlines()[0]})") from error
    if (
        not isinstance(document, dict)
        or set(document) != {"cameras"}
        or not isinstance(document["cameras"], list)
    ):
        raise CalibrationError(f"{path}: expected one field 'cameras' that holds a list of cameras")
    return _rig(path, [_yaml_camera(path, i, entry) for i, entry in enumerate(document["cameras"])])


def _yaml_camera(path: Path, number: int, entry: Any) -> Camera:
    name = entry.get("name") if isinstance(entry, dict) else None
    where = f"{path}: camera {name if isinstance(name, str) else f'number {number + 1}'}"
    if not isinstance(entry, dict):
        raise CalibrationError(f"{where}: expected fields {', '.join((*_REQUIRED, *_OPTIONAL))}")
    known = (*_REQUIRED, *_OPTIONAL)
    for field in entry:
        if field not in known:
            raise CalibrationError(f"{where}: unknown field '{field}', expected {', '.join(known)}")
    for field in _REQUIRED:
        if field not in entry:
            raise CalibrationError(f"{where}: field '{field}' is missing")
    if not isinstance(name, str) or not name:
        raise CalibrationError(f"{where}: field 'name' is {name!r}, expected a text such as cam01")
    for field in ("width", "height"):
        if type(entry[field]) is not int:
            raise CalibrationError(
                f"{where}: field '{field}' is {entry[field]!r}, expected a whole number of pixels"
            )
    values = {**_OPTIONAL, **entry}
    return _of_file(
        path,
        lambda: Camera(
            name, entry["width"], entry["height"],
            K=_numbers(where, values, "K", (3, 3)),
            distortion=_numbers(where, values, "distortion", None),
            R=_numbers(where, values, "R", (3, 3)),
            t=_numbers(where, values, "t", (3,)),
            model=values["model"],
        ),
    )  # fmt: skip


def _qualisys_camera(path: Path, entry: ElementTree.Element) -> Camera:
    name = entry.get("serial") or "without a serial number"
    where = f"{path}: camera {name}"

    def number(tag: str, field: str) -> float:
        element = entry.find(tag)
        text = None if element is None else element.get(field)
        try:
            return float(text or "")
        except ValueError:
            raise CalibrationError(
                f"{where}: {tag} {field} is {'missing' if text is None else repr(text)}, expected a number"
            ) from None

    def intrinsic(field: str) -> float:
        return number("intrinsic", field) / _QUALISYS_SUBPIXELS

    K = np.array(
        [
            [
                intrinsic("focalLengthU"),
                intrinsic("skew"),
                intrinsic("centerPointU") - number("fov_video", "left"),
            ],
            [0.0, intrinsic("focalLengthV"), intrinsic("centerPointV") - number("fov_video", "top")],
            [0.0, 0.0, 1.0],
        ]
    )
    lens = [number("intrinsic", f"{kind}Distortion{i}") for kind in ("radial", "tangental") for i in (1, 2)]
    lens.append(number("intrinsic", "radialDistortion3"))
    R = _QUALISYS_AXES @ [[number("transform", f"r{i}{j}") for j in (1, 2, 3)] for i in (1, 2, 3)]
    centre = np.array([number("transform", axis) for axis in "xyz"]) * _MM
    width = round(number("fov_video", "right") - number("fov_video", "left")) + 1
    height = round(number("fov_video", "bottom") - number("fov_video", "top")) + 1
    return _of_file(path, lambda: Camera(name, width, height, K, np.array(lens), R, -R @ centre))


def _numbers(where: str, fields: Mapping[str, Any], field: str, shape: tuple[int, ...] | None) -> Array:
    """A field as an array of floats of `shape`, or of any length if that is None."""
    expected = "a list of numbers" if shape is None else f"{' x '.join(map(str, shape))} numbers"
    try:
        value = np.array(fields[field], dtype=np.float64)
    except KeyError:
        raise CalibrationError(f"{where}: field '{field}' is missing, expected {expected}") from None
    except (ValueError, TypeError):
        raise CalibrationError(
            f"{where}: field '{field}' is {fields[field]!r}, expected {expected}"
        ) from None
    if value.ndim != 1 if shape is None else value.shape != shape:
        raise CalibrationError(f"{where}: field '{field}' has shape {value.shape}, expected {expected}")
    return value


def _rig(path: Path, cameras: list[Camera]) -> Rig:
    return _of_file(path, lambda: Rig(tuple(cameras)))


def _of_file(path: Path, make: Callable[[], _T]) -> _T:
    """Put the file's name before what is wrong with a camera or rig."""
    try:
        return make()
    except CalibrationError as error:
        text = str(error)
        raise CalibrationError(text if text.startswith(str(path)) else f"{path}: {text}") from None


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not text"
        raise CalibrationError(f"{path}: it cannot be read ({why}), expected a calibration file") from error
