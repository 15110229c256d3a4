"""A picture of rendered footage: all views at one moment, with the true joints drawn in."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from dw_core.data.footage import Footage, decode_jpeg
from dw_core.data.rigs import load_rig
from dw_core.errors import ConfigError
from dw_core.skeleton import COCO17
from dw_core.synthetic.truth import load_truth
from dw_core.viewing.draw import draw_skeleton

COLUMNS = 2


def contact_sheet(folder: Path, path: Path, frame: int | None = None) -> None:
    """Write the picture of one frame, the middle one unless told. Raises MediaError for a folder that is no
    rendered footage, ConfigError for a picture that cannot be written."""
    truth, rig = load_truth(folder), load_rig(folder / "rig.yaml")
    footage = Footage.open(folder, rig.names)
    frame = len(truth.joints) // 2 if frame is None else frame
    tiles = []
    for m, name in enumerate(rig.names):
        tile = decode_jpeg(footage.jpeg(name, frame))
        for person in truth.pixels[m, frame]:
            draw_skeleton(tile, person, COCO17, 1.0)
        tiles.append(tile)
    height, width = (max(tile.shape[k] for tile in tiles) for k in (0, 1))
    rows = -(-len(tiles) // COLUMNS)
    sheet = np.zeros((rows * height, COLUMNS * width, 3), dtype=np.uint8)
    for k, tile in enumerate(tiles):
        row, column = divmod(k, COLUMNS)
        sheet[row * height :, column * width :][: tile.shape[0], : tile.shape[1]] = tile
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), sheet):
        raise ConfigError(
            f"{path} cannot be written, expected a .png or .jpg in a folder that can be written"
        )
