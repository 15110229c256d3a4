"""The demo's summary in words; and, for `make docs`, into the README with its picture.

python -m dw_core.evaluation.demo_report out/demo README.md docs
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from dw_core.evaluation.documents import fill

BLOCK = "demo"
PICTURE_WIDTH = 1000


def report(summary: dict[str, Any]) -> str:
    """What a run was worth, in four sentences."""
    latency, waiting = summary["latency_ms"], summary["latency_waiting_ms"]
    bone, deviation = max(summary["bone_length_mad_fraction_by_bone"].items(), key=lambda item: item[1])
    sentences = [
        f"rate      {summary['skeleton_rate_hz']:.1f} skeletons per second, "
        f"{100 * summary['ticks_lost_fraction']:.2f} % of {summary['ticks']} ticks lost",
        f"latency   exposure to skeleton: median {latency['p50']:.1f} ms, 95 % under {latency['p95']:.1f} ms",
        f"          of that waiting and transport: median {waiting['p50']:.1f} ms, "
        f"95 % under {waiting['p95']:.1f} ms",
        f"accuracy  bone lengths within {100 * deviation:.1f} % "
        f"(median absolute deviation of the worst, {bone})",
    ]
    left_out = summary["left_out_view_px"]
    if left_out is not None:
        sentences.append(
            f"          a view that was left out sees its joints {left_out['median']:.1f} px (median) "
            f"from where the others say, 90 % under {left_out['p90']:.1f} px"
        )
    if "mpjpe_mm" in summary:
        sentences.append(
            f"truth     joints are {summary['mpjpe_mm']:.1f} mm from where they were rendered "
            f"(MPJPE, absolute), {summary['mpjpe_relative_mm']:.1f} mm relative to the hips"
        )
    return "\n".join(sentences)


def block_text(summary: dict[str, Any]) -> str:
    """The README's block."""
    return f"```\n{report(summary)}\n```"


def main(demo: Path, readme: Path, docs: Path) -> None:
    """Copy a demo's summary and pictures into the documents, and fill the README."""
    import cv2

    shutil.copy(demo / "summary.json", docs / "results" / "demo.json")
    sheet = cv2.imread(str(demo / "overlay.jpg"))
    if sheet is None:
        raise FileNotFoundError(demo / "overlay.jpg")
    scale = PICTURE_WIDTH / sheet.shape[1]
    first_rows = sheet[: 2 * sheet.shape[0] // 3]
    small = cv2.resize(first_rows, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(docs / "images" / "overlay.jpg"), small, [cv2.IMWRITE_JPEG_QUALITY, 85])
    shutil.copy(demo / "skeletons_3d.png", docs / "images" / "skeletons_3d.png")
    fill(readme, BLOCK, block_text(json.loads((demo / "summary.json").read_text())))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
