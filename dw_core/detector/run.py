"""A fit from beginning to end: look at the scenes, fit, compare with scenes and footage that were not fitted
to.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dw_core.backends.movenet import Movenet
from dw_core.benchmarks.detections import Detections, detect, look
from dw_core.benchmarks.judging import versions
from dw_core.data import assets
from dw_core.data.footage import Footage
from dw_core.data.rigs import load_rig
from dw_core.detector.compare import figures
from dw_core.detector.fit import fit
from dw_core.detector.footage import contradictions
from dw_core.detector.model import DetectorModel
from dw_core.detector.profile import profiles
from dw_core.detector.sample import Sample, real, simulated
from dw_core.errors import ConfigError
from dw_core.skeleton import COCO17
from dw_core.synthetic.truth import Truth, load_truth

SCHEMA_VERSION = 1
# The demo's rig, as it is in the source tree.
RIG = Path("config/rigs/balance_beam.yaml")
# Another one than the fit's.
SEED, REPEATS = 1, 4


def measure(
    folders: Sequence[Path], every: int, progress: bool = True
) -> tuple[DetectorModel, dict[str, Any]]:
    """The model of all folders but every so many-th, and the figures of both parts, ready for JSON. Raises
    ConfigError, MediaError, CalibrationError and AssetError."""
    if not 2 <= every <= len(folders):
        raise ConfigError(
            f"one scene in {every} of {len(folders)} is to be held out, expected 2 to the number of scenes"
        )
    weights = assets.movenet("float32")
    scenes = [_scene(folder, weights, progress) for folder in folders]
    held_out = [k % every == every - 1 for k in range(len(folders))]
    parts = {
        "fitted": [scene for scene, out in zip(scenes, held_out, strict=True) if not out],
        "held_out": [scene for scene, out in zip(scenes, held_out, strict=True) if out],
    }
    samples = {name: real(part) for name, part in parts.items()}
    model = fit(samples["fitted"], progress)
    result: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "network": weights.stem}
    result["scenes"] = {name: len(part) for name, part in parts.items()}
    for name, sample in samples.items():
        result[name] = {"real": figures(sample), "simulated": figures(_again(model, sample))}
    network = Movenet(weights)
    pairs = [(f, found) for f, (found, _), out in zip(folders, scenes, held_out, strict=True) if out]
    result["profile"] = profiles(pairs, network)
    rig = load_rig(RIG)
    footage = Footage.open(assets.footage(), rig.names)
    found = look(rig, footage, network, "joints of the footage", progress)
    result["footage"] = contradictions(rig, found, footage.rate_hz, model)
    result["versions"] = versions()
    return model, result


def _scene(folder: Path, weights: Path, progress: bool) -> tuple[Detections, Truth]:
    rig, truth = load_rig(folder / "rig.yaml"), load_truth(folder)
    truth.require(COCO17)
    return detect(folder, rig, weights, Movenet, progress), truth


def _again(model: DetectorModel, sample: Sample) -> Sample:
    return simulated(model, sample, np.random.default_rng(SEED), REPEATS)
