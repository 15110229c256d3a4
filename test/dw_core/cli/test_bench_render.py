"""`dw bench render`: what it says of a small scene, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dw_core.cli.bench_render import table
from dw_core.cli.main import main
from dw_core.data.rigs import load_rig, save_rig
from dw_core.geometry.camera import Rig
from dw_core.synthetic.scene import Actor, Scene, to_yaml

RING = Path(__file__).parents[3] / "config/rigs/ring_vga.yaml"


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Two cameras of 80x60."""
    smaller = np.diag([1 / 8, 1 / 8, 1])
    cameras = [replace(c, width=80, height=60, K=smaller @ c.K) for c in load_rig(RING).cameras[:2]]
    save_rig(Rig(tuple(cameras)), tmp_path / "rig.yaml")
    scene = Scene(rig=str(tmp_path / "rig.yaml"), actors=(Actor("walk"),), seconds=0.2, rate_hz=10.0)
    (tmp_path / "small.yaml").write_text(to_yaml(scene))
    return tmp_path / "small.yaml"


def test_it_tells_what_an_image_costs(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "render.json"
    assert main(["bench", "render", "--quiet", str(small), "--frames", "2", "--json", str(file)]) == 0
    result = json.loads(file.read_text())
    assert capsys.readouterr().out.strip() == table(result).strip()
    entry = result["scenes"]["small"]
    assert entry["image_ms_2"] > 0 and entry["image_ms_1"] > 0 and entry["room_s_2"] > 0
    assert result["command"].endswith(f"{small} --frames 2")


def test_no_frames_and_no_scene_are_refused(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "render", str(small), "--frames", "0"]) == 2
    assert "--frames is 0" in capsys.readouterr().err
    assert main(["bench", "render", "none.yaml"]) == 2
    assert "none.yaml" in capsys.readouterr().err
