"""The rig of the demo's footage: what its calibration file says, and what is mended in it.

    python -m dw_core.data.balance_beam config/rigs/balance_beam.yaml

makes the rig file from the fetched footage and weights; with `--report FILE.json` also the figures that
docs/footage.md gives. Two things are mended.

1. Size. cam01 and cam02 are 1080x1920 where 1088x1920 was calibrated: the whole image was scaled to
   the width of 1080, and black rows were put above and below; it was not cropped.
2. Principal points. As delivered, the rays of the four views miss each other. Moving the principal
   points (two numbers per camera), fitted to the joints of the walking person, halves the error on the
   half of the clip that was not fitted.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from dw_core.backends.movenet import Movenet
from dw_core.backends.person_crop import PersonCrop
from dw_core.data import assets
from dw_core.data.footage import Footage, decode_jpeg
from dw_core.data.rigs import load_qualisys, save_rig
from dw_core.geometry.camera import Array, Camera, Rig, project_jacobian, shifted
from dw_core.geometry.triangulation import triangulate
from dw_core.progress import bar
from dw_core.types import NS, Heatmaps, ImageFrame, Skeleton2D

COMMENT = """The four cameras of the balance beam footage (`dw fetch`), made by
  python -m dw_core.data.balance_beam config/rigs/balance_beam.yaml
From Calib.qca.txt of the Python package pose2sim 0.10.49, Copyright (c) 2022 perfanalytics and
David Pagnon, BSD-3-Clause. cam01 and cam02 are scaled as their videos are, and the
principal points are fitted to the footage: see the module above for why and by how much."""

# The videos of these two are the calibrated 1088x1920 image scaled to 1080x1906 between black rows.
SCALED = {"cam01": (1080, 1906, 7), "cam02": (1080, 1906, 7)}
# Extra looks at the first frame, to close in on the person from the whole image.
CLOSING_IN = 2
# Joints below this confidence do not take part in the fit.
MIN_CONFIDENCE = 0.5
# Noise of a joint in one view, px; residuals beyond it lose influence.
JOINT_SIGMA_PX = 6.0
# A prior that is weak beside thousands of joints: it fixes what moving the whole world leaves free.
PRINCIPAL_POINT_SIGMA_PX = 6.0
ITERATIONS = 50


def delivered_rig(calibration: Path) -> Rig:
    """The calibration as it came, for the images as they came. Raises CalibrationError."""
    return Rig(tuple(_as_delivered(camera) for camera in load_qualisys(calibration)))


def _as_delivered(camera: Camera) -> Camera:
    if camera.name not in SCALED:
        return camera
    columns, rows, black = SCALED[camera.name]
    scale = np.diag([columns / camera.width, rows / camera.height, 1.0])
    scale[:2, 2] = (np.diag(scale)[:2] - 1) / 2  # pixel centres: u' = (u + 1/2) s - 1/2
    scaled = replace(camera, K=scale @ camera.K)
    return shifted(scaled, 0, black, columns, camera.height)


def look(rig: Rig, footage: Footage, progress: bool = True) -> list[list[Heatmaps]]:
    """Heatmaps of every frame of every view (M lists of T), each view following the person by itself."""
    network = Movenet(assets.movenet("float32"), threads=2)  # the same file on every machine
    views: list[list[Heatmaps]] = []
    for camera in rig:
        crops, frames = PersonCrop(camera), footage.frames(camera.name)
        last: Skeleton2D | None = None
        seen = []
        with bar(f"joints in {camera.name}", frames + CLOSING_IN, progress) as advance:
            for index in (*[0] * CLOSING_IN, *range(frames)):
                stamp_ns = round(index * NS / footage.rate_hz)
                pixels = decode_jpeg(footage.jpeg(camera.name, index))
                crop, _ = crops.next(stamp_ns, None, last)
                maps = network.infer(ImageFrame(camera.name, stamp_ns, pixels), crop)
                seen.append(Heatmaps(camera.name, stamp_ns, crop, maps))
                last = seen[-1].joints
                advance(1)
        views.append(seen[CLOSING_IN:])
    return views


def fit_principal_points(rig: Rig, pixels: Array, confidence: Array) -> Rig:
    """Move the principal points so that the views agree on the joints.

    pixels (M, N, 2), confidence (M, N). Bundle adjustment of M offsets and N points by Gauss-Newton
    with the points eliminated (Hartley & Zisserman, section A6.3) and Cauchy weights; joints seen by
    fewer than three views say nothing.
    """
    trust = np.where(confidence > MIN_CONFIDENCE, confidence, 0.0)
    points = triangulate(rig, pixels.swapaxes(0, 1), JOINT_SIGMA_PX**2 * np.eye(2), trust.T).points
    use = np.isfinite(points).all(-1) & ((trust > 0).sum(0) >= 3)
    points, pixels, trust = points[use], pixels[:, use], trust[:, use]
    offsets = np.zeros((len(rig), 2))
    for _ in range(ITERATIONS):
        step, move = _adjust(rig, points, offsets, pixels, trust)
        offsets, points = offsets + step, points + move
    return Rig(tuple(shifted(c, dx, dy, c.width, c.height) for c, (dx, dy) in zip(rig, offsets, strict=True)))


def _adjust(rig: Rig, points: Array, offsets: Array, pixels: Array, trust: Array) -> tuple[Array, Array]:
    """One Gauss-Newton step: change of the offsets (M, 2) and of the points (N, 3)."""
    M, N = len(rig), len(points)
    projections = [project_jacobian(camera, points) for camera in rig]
    J = np.stack([jacobian for _, jacobian in projections])  # (M, N, 2, 3)
    r = pixels - np.stack([projected for projected, _ in projections]) - offsets[:, None]
    w = trust / (JOINT_SIGMA_PX**2 + (r * r).sum(-1))
    A_inverse = np.linalg.inv(np.einsum("mn,mnia,mnib->nab", w, J, J))
    b = np.einsum("mn,mnia,mni->na", w, J, r)
    B = (w[..., None, None] * J).transpose(1, 0, 2, 3).reshape(N, 2 * M, 3)  # offsets against points
    H = np.diag(np.repeat(w.sum(1), 2) + 1 / PRINCIPAL_POINT_SIGMA_PX**2)
    H -= np.einsum("npa,nab,nqb->pq", B, A_inverse, B, optimize=True)
    g = (w[..., None] * r).sum(1).ravel() - offsets.ravel() / PRINCIPAL_POINT_SIGMA_PX**2
    g -= np.einsum("npa,nab,nb->p", B, A_inverse, b, optimize=True)
    step = np.linalg.solve(H, g)
    move = np.einsum("nab,nb->na", A_inverse, b - np.einsum("npa,p->na", B, step))
    return step.reshape(M, 2), move


def main(path: Path, report: Path | None) -> None:
    """Make the rig file and say what the fit moved; measure what that is worth if a report is wanted."""
    calibrated, delivered = load_qualisys(assets.calibration()), delivered_rig(assets.calibration())
    footage = Footage.open(assets.footage(), delivered.names)
    views = look(delivered, footage)
    pixels = np.array([[maps.joints.pixels for maps in view] for view in views])
    confidence = np.array([[maps.joints.confidence for maps in view] for view in views])
    M = len(delivered)
    fitted = fit_principal_points(delivered, pixels.reshape(M, -1, 2), confidence.reshape(M, -1))
    save_rig(fitted, path, COMMENT)
    for before, after in zip(delivered, fitted, strict=True):
        dx, dy = (after.K - before.K)[:2, 2]
        print(f"{before.name}: principal point moved by ({dx:+.1f}, {dy:+.1f}) px")
    if report is not None:
        from dw_core.evaluation.balance_beam_report import measure  # which itself needs this module

        figures = measure(calibrated, delivered, fitted, footage, pixels, confidence)
        report.parent.mkdir(parents=True, exist_ok=True)
        report.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m dw_core.data.balance_beam", description=main.__doc__)
    parser.add_argument("rig", type=Path, help="rig file to write")
    parser.add_argument("--report", type=Path, help="JSON file to write the figures to")
    arguments = parser.parse_args()
    main(arguments.rig, arguments.report)
