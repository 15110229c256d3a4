"""What is known of the demo footage's calibration, in figures, and docs/footage.md made from them.

    python -m dw_core.data.balance_beam config/rigs/balance_beam.yaml --report docs/results/balance_beam.json
    python -m dw_core.evaluation.balance_beam_report docs/results/balance_beam.json docs/footage.md

The first command measures, the second fills the blocks of the document.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from dw_core.data.balance_beam import MIN_CONFIDENCE, SCALED, fit_principal_points
from dw_core.data.footage import Footage, decode_jpeg
from dw_core.evaluation.documents import fill, table
from dw_core.evaluation.metrics import bone_lengths, relative_mad, reprojection_errors
from dw_core.geometry.camera import Array, Rig, shifted
from dw_core.geometry.triangulation import triangulate
from dw_core.skeleton import COCO17
from dw_core.types import UInt8Array

# Noise of a joint in one view, px: so wide that the delivered rig's joints are not thrown out as
# contradictory, which would flatter it.
JOINT_SIGMA_PX = 20.0
# A row whose median over columns and colours is darker than this is black; the edge of the image is
# over 90, what compression leaves of black is under 20.
BLACK = 48
# The share of the missing columns that would have been cut off on the left.
CROPS = {"cropped on the left": 1.0, "cropped on both sides": 0.5, "cropped on the right": 0.0}
LIMBS = {
    "thigh": ("hip", "knee"),
    "shank": ("knee", "ankle"),
    "upper arm": ("shoulder", "elbow"),
    "forearm": ("elbow", "wrist"),
}
FACE = ("nose", "eye", "ear")
PERCENTILES = {"median": 50, "p90": 90}
SIDES = ("left", "right")
# White marks on the treadmill, px in the calibration images of the footage's package, per camera;
# measured by hand and refined to the blob's centroid. Nothing was fitted to them.
CALIBRATION_IMAGE = (1088, 1920)
MARKS = {
    "cam01": [(109.6, 1061.1), (319.6, 1337.8), (522.4, 1064.8), (772.4, 1292.9)],
    "cam02": [(442.1, 1041.5), (327.9, 1209.3), (794.3, 1085.0), (763.4, 1271.6)],
    "cam03": [(873.8, 1234.1), (516.0, 1090.0), (485.3, 1431.7), (164.3, 1240.4)],
    "cam04": [(836.6, 1410.5), (889.5, 1069.6), (385.1, 1396.1), (519.6, 1116.9)],
}


def measure(
    calibrated: Rig, delivered: Rig, shipped: Rig, footage: Footage, pixels: Array, confidence: Array
) -> dict[str, Any]:
    """All figures. Joints of T synchronous frames: pixels (M, T, J, 2), confidence (M, T, J)."""
    M, T, J = confidence.shape
    whole = pixels.reshape(M, -1, 2), confidence.reshape(M, -1)
    report = {
        "clip": {"views": M, "frames": T, "rate_hz": footage.rate_hz},
        "images": images(calibrated, footage),
        "widths": widths(calibrated, delivered, *whole),
        "principal_point_shift_px": shifts(delivered, shipped),
        "errors": held_out(delivered, shipped, pixels, confidence),
        "parts": parts({"delivered": delivered, "shipped": shipped}, *whole, J),
        "limbs": limbs({"delivered": delivered, "shipped": shipped}, *whole, J),
    }
    rounded: dict[str, Any] = _rounded(report)
    return rounded


def held_out(delivered: Rig, shipped: Rig, pixels: Array, confidence: Array) -> list[dict[str, Any]]:
    """Errors of the rig before and after the fit, each on frames that it was not fitted to as well; pixels
    (M, T, J, 2), confidence (M, T, J)."""
    M, T = confidence.shape[:2]
    parts = {"whole clip": slice(0, T), "first half": slice(0, T // 2), "second half": slice(T // 2, T)}
    joints = {
        name: (pixels[:, part].reshape(M, -1, 2), confidence[:, part].reshape(M, -1))
        for name, part in parts.items()
    }
    tests = [("as delivered", delivered, name) for name in parts]
    for fitted_to, tested_on in (("first half", "second half"), ("second half", "first half")):
        rig = fit_principal_points(delivered, *joints[fitted_to])
        tests.append((f"fitted to the {fitted_to}", rig, tested_on))
    tests.append(("shipped: fitted to the whole clip", shipped, "whole clip"))
    return [
        {"rig": label, "tested_on": name, **agreement(rig, *joints[name]), "marks_px": mark_error(rig)}
        for label, rig, name in tests
    ]


def widths(calibrated: Rig, delivered: Rig, pixels: Array, confidence: Array) -> list[dict[str, Any]]:
    """The readings of the narrow videos: errors before and after a fit to the whole clip; pixels
    (M, T J, 2), confidence (M, T J)."""
    readings = {"scaled (shipped)": delivered}
    readings |= {name: cropped_rig(calibrated, share) for name, share in CROPS.items()}
    return [
        {
            "reading": name,
            "delivered": agreement(rig, pixels, confidence),
            "fitted": agreement(fit_principal_points(rig, pixels, confidence), pixels, confidence),
        }
        for name, rig in readings.items()
    ]


def agreement(rig: Rig, pixels: Array, confidence: Array) -> dict[str, float]:
    """Median and 90th percentile in px of two errors of joints (M, N, 2) with confidence (M, N).

    `reprojection`: of the point that all views give, in each view. `left_out`: of the point that the
    other views give, in the view that was left out.
    """
    seen = confidence > MIN_CONFIDENCE
    points = locate(rig, pixels, confidence)
    errors = {
        "reprojection": [reprojection_errors(c, points, pixels[m]) for m, c in enumerate(rig)],
        "left_out": left_out_errors(rig, pixels, confidence),
    }
    return {
        f"{name}_{key}_px": float(np.nanpercentile(np.stack(values)[seen], percent))
        for name, values in errors.items()
        for key, percent in PERCENTILES.items()
    }


def parts(rigs: dict[str, Rig], pixels: Array, confidence: Array, joints: int) -> dict[str, dict[str, Any]]:
    """Errors of the face's joints and of all others, per rig; joints (M, T J, 2)."""
    face = np.tile([name.endswith(FACE) for name in COCO17.joints], pixels.shape[1] // joints)
    return {
        part: {name: agreement(rig, pixels, np.where(mine, confidence, 0.0)) for name, rig in rigs.items()}
        for part, mine in (("trunk and limbs", ~face), ("face", face))
    }


def locate(cameras: Rig, pixels: Array, confidence: Array) -> Array:
    """Robustly triangulated points (N, 3) of joints (M, N, 2); NaN where fewer than two views agree."""
    trust = np.where(confidence > MIN_CONFIDENCE, confidence, 0.0)
    return triangulate(cameras, pixels.swapaxes(0, 1), JOINT_SIGMA_PX**2 * np.eye(2), trust.T).points


def left_out_errors(rig: Rig, pixels: Array, confidence: Array) -> list[Array]:
    """Per view the distances (N,) in px of its joints from where the other views put them."""
    errors = []
    for m, camera in enumerate(rig):
        others = np.arange(len(rig)) != m
        points = locate(rig.without(camera.name), pixels[others], confidence[others])
        errors.append(reprojection_errors(camera, points, pixels[m]))
    return errors


def mark_error(rig: Rig) -> float:
    """Mean distance in px of each view's marks from where the other three views put them."""
    pixels = np.stack([_delivered_pixels(name, np.array(MARKS[name])) for name in rig.names])
    return float(np.mean(left_out_errors(rig, pixels, np.ones(pixels.shape[:2]))))


def _delivered_pixels(name: str, pixels: Array) -> Array:
    """Pixels (N, 2) of a calibration image in the view's video."""
    if name not in SCALED:
        return pixels
    columns, rows, black = SCALED[name]
    scale = np.divide((columns, rows), CALIBRATION_IMAGE)
    return (pixels + 0.5) * scale - 0.5 + (0, black)


def cropped_rig(calibrated: Rig, left_share: float) -> Rig:
    """The other reading of the narrow videos: columns were cut off, this share of them on the left."""
    cameras = []
    for camera in calibrated:
        columns = SCALED[camera.name][0] if camera.name in SCALED else camera.width
        cut = left_share * (camera.width - columns)
        cameras.append(shifted(camera, -cut, 0, columns, camera.height))
    return Rig(tuple(cameras))


def images(calibrated: Rig, footage: Footage) -> dict[str, dict[str, Any]]:
    """Per view the calibrated and the delivered size, the black rows of the video (in the middle of the
    clip), and the rows that the calibrated image has when it is scaled to the video's width."""
    out: dict[str, dict[str, Any]] = {}
    for camera in calibrated:
        picture = decode_jpeg(footage.jpeg(camera.name, footage.frames(camera.name) // 2))
        above, below = black_rows(picture)
        height, width = picture.shape[:2]
        out[camera.name] = {
            "calibrated": [camera.width, camera.height],
            "video": [width, height],
            "black_rows": [above, below],
            "rows_with_picture": height - above - below,
            "rows_if_scaled": camera.height * width / camera.width,
        }
    return out


def black_rows(picture: UInt8Array) -> tuple[int, int]:
    """Number of black rows above and below the picture (rows, cols, 3)."""
    lit = np.flatnonzero(np.median(picture, axis=(1, 2)) >= BLACK)
    return int(lit[0]), len(picture) - 1 - int(lit[-1])


def shifts(delivered: Rig, shipped: Rig) -> dict[str, list[float]]:
    """Per camera how far the principal point was moved, px."""
    pairs = zip(delivered, shipped, strict=True)
    return {before.name: (after.K - before.K)[:2, 2].tolist() for before, after in pairs}


def limbs(rigs: dict[str, Rig], pixels: Array, confidence: Array, joints: int) -> dict[str, dict[str, Any]]:
    """Median length in mm and its relative MAD over the clip, per limb and per rig; pixels (M, T J, 2),
    confidence (M, T J)."""
    names = {f"{side} {limb}": [f"{side}_{end}" for end in LIMBS[limb]] for limb in LIMBS for side in SIDES}
    bones = [[COCO17.index(joint) for joint in ends] for ends in names.values()]
    out: dict[str, dict[str, Any]] = {name: {} for name in names}
    for rig_name, rig in rigs.items():
        lengths = bone_lengths(locate(rig, pixels, confidence).reshape(-1, joints, 3), bones)
        medians = zip(names, np.nanmedian(lengths, 0) * 1e3, relative_mad(lengths), strict=True)
        for name, median, deviation in medians:
            out[name][rig_name] = {"median_mm": float(median), "mad_fraction": float(deviation)}
    return out


def _rounded(value: Any) -> Any:
    """The same tree with floats at four decimals: finer than anything here is known."""
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return round(value, 4) if isinstance(value, float) else value


def document(report: dict[str, Any]) -> dict[str, str]:
    """The blocks of docs/footage.md by name."""
    clip = report["clip"]
    medians = ("reprojection_median_px", "left_out_median_px")
    columns = ("reprojection_median_px", "reprojection_p90_px", "left_out_median_px", "left_out_p90_px")
    return {
        "clip": f"{clip['views']} views, {clip['frames']} frames each, {clip['rate_hz']:g} Hz.",
        "images": _images_table(report["images"]),
        "widths": table(
            ("cam01 and cam02 are", "reprojection", "left out", "reprojection, fitted", "left out, fitted"),
            [
                (
                    one["reading"],
                    *(f"{one[rig][key]:.1f}" for rig in ("delivered", "fitted") for key in medians),
                )
                for one in report["widths"]
            ],
        ),
        "shifts": table(
            ("view", "x, px", "y, px"),
            [(name, f"{x:+.1f}", f"{y:+.1f}") for name, (x, y) in report["principal_point_shift_px"].items()],
        ),
        "errors": table(
            ("rig", "tested on", "reprojection", "p90", "left out", "p90", "marks"),
            [
                (one["rig"], one["tested_on"], *(f"{one[key]:.1f}" for key in (*columns, "marks_px")))
                for one in report["errors"]
            ],
        ),
        "parts": table(
            ("joints", "delivered", "p90", "shipped", "p90"),
            [
                (part, *(f"{one[rig][key]:.1f}" for rig in ("delivered", "shipped") for key in columns[2:]))
                for part, one in report["parts"].items()
            ],
        ),
        "limbs": table(
            ("limb", "delivered, mm", "MAD", "shipped, mm", "MAD"),
            [
                (name, *(text for rig in ("delivered", "shipped") for text in _length(one[rig])))
                for name, one in report["limbs"].items()
            ],
        ),
    }


def _images_table(views: dict[str, dict[str, Any]]) -> str:
    rows = []
    for name, one in views.items():
        sizes = ("x".join(map(str, one[key])) for key in ("calibrated", "video"))
        black = ", ".join(map(str, one["black_rows"]))
        rows.append((name, *sizes, black, str(one["rows_with_picture"]), f"{one['rows_if_scaled']:.1f}"))
    return table(
        ("view", "calibrated", "video", "black above, below", "rows of picture", "rows if scaled"), rows
    )


def _length(limb: dict[str, float]) -> tuple[str, str]:
    return f"{limb['median_mm']:.0f}", f"{limb['mad_fraction']:.1%}"


def main(results: Path, path: Path) -> None:
    """Fill the document's blocks from the results."""
    for name, text in document(json.loads(results.read_text())).items():
        fill(path, name, text)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
