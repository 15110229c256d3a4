r"""Where a 2D network sees joints, learned on rendered people, whose joints are known.

    python -m dw_core.benchmarks.joint_offsets out/training/?? --json dw_core/backends/movenet_offsets.json \
        --document docs/detector.md

Robust triangulation of all views is compared with the truth in the frames of the limbs; the median of each
scene counts once, and the right side as the left's mirror image. What they are worth is checked on every
fourth scene, with offsets out of the others.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dw_core.anatomy import JointOffsets, joint_frames, trunk_length
from dw_core.benchmarks.methods import robust_full
from dw_core.benchmarks.rendered import Clip, load_clip
from dw_core.evaluation import documents
from dw_core.geometry.camera import Array
from dw_core.skeleton import COCO17, JointSet

# A joint counts where so many views have it in view, and not where it was not found.
VIEWS, FOUND_M = 2, 0.15
DIGITS = 4
CHECKED = 4  # one scene in so many


def local_offsets(found: Array, truth: Array, joints: JointSet) -> Array:
    """Found minus true joints (T, J, 3) in the frames of the true ones, as parts of the trunk's length."""
    offsets: Array = np.einsum("tjkc,tjc->tjk", joint_frames(truth, joints), found - truth)
    return offsets / trunk_length(truth, joints)[:, None, None]


def fit(scenes: Sequence[Array], joints: JointSet) -> JointOffsets:
    """Offsets out of those of scenes, (T, J, 3) each; NaN counts for nothing."""
    medians = np.stack([np.nanmedian(scene, 0) for scene in scenes])
    offsets = {}
    for j, name in enumerate(joints.joints):
        if joints.side(name) == "right":
            continue
        mirrored = medians[:, joints.index(joints.partner(name))] * (-1, 1, 1)
        both = np.nanmedian(np.concatenate((medians[:, j], mirrored)), 0)
        x, y, z = (round(float(part), DIGITS) for part in both)
        offsets[name] = (x, y, z)
    return JointOffsets(offsets)


def errors(clips: Sequence[Clip], offsets: JointOffsets | None) -> float:
    """Mean error in mm of robust triangulation of all views, joints in view of two or more."""
    lengths = []
    for clip in clips:
        found, truth = _found(clip), clip.scene.truth
        placed = found if offsets is None else offsets.corrected(found, clip.scene.joints)
        lengths.append(np.linalg.norm(placed - truth, axis=-1)[np.isfinite(found).all(-1)])
    return 1e3 * float(np.concatenate(lengths).mean())


def _found(clip: Clip) -> Array:
    """Joints (T, J, 3) of robust triangulation, NaN for those that few views have or that are elsewhere."""
    found = robust_full(clip.scene)
    bad = np.linalg.norm(found - clip.scene.truth, axis=-1) > FOUND_M
    bad |= clip.truth.in_view[:, :, 0].sum(0) < VIEWS
    return np.where(bad[..., None], np.nan, found)


def report(clips: Sequence[Clip]) -> dict[str, Any]:
    """Offsets out of all clips, and the errors on every fourth with offsets out of the others."""
    locals_ = [local_offsets(_found(clip), clip.scene.truth, COCO17) for clip in clips]
    offsets, held_out = fit(locals_, COCO17), clips[CHECKED - 1 :: CHECKED]
    out: dict[str, Any] = {"scenes": len(clips), "offsets": dict(offsets.offsets)}
    if held_out:
        part = fit([one for k, one in enumerate(locals_) if k % CHECKED != CHECKED - 1], COCO17)
        out["held_out"] = {
            "scenes": len(held_out),
            "error_mm": round(errors(held_out, None), 2),
            "corrected_mm": round(errors(held_out, part), 2),
        }
    return out


def block_text(result: dict[str, Any]) -> str:
    """The block of a document: the offsets, and what they are worth."""
    held = result["held_out"]
    rows = [[name, *(f"{100 * part:.1f}" for part in offset)] for name, offset in result["offsets"].items()]
    return (
        f"{documents.table(('joint', 'left, %', 'back, %', 'up or along, %'), rows)}\n\n"
        f"On {held['scenes']} scenes that the offsets were not made from, robust triangulation of all views\n"
        f"is off by {held['error_mm']:.1f} mm without them and by {held['corrected_mm']:.1f} mm with them."
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="learn where the 2D network sees joints")
    parser.add_argument("footage", type=Path, nargs="+", metavar="DIR", help="rendered scenes")
    parser.add_argument("--json", type=Path, required=True, metavar="FILE")
    parser.add_argument(
        "--document", type=Path, metavar="FILE", help="document with a block `offsets` to fill"
    )
    args = parser.parse_args(arguments)
    result = report([load_clip(folder, "float32", True) for folder in args.footage])
    args.json.write_text(json.dumps(result, indent=2) + "\n")
    if args.document is not None:
        documents.fill(args.document, "offsets", block_text(result))


if __name__ == "__main__":
    main()
