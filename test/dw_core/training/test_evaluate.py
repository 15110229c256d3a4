import json

import numpy as np
import pytest
import torch

from dw_core.fusion.fast_warper import FastWarper
from dw_core.training.evaluate import METHODS, judge, make_validation, text
from dw_core.training.scenes import Source

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def validation(clips, exact_detector):
    return make_validation(Source(clips, exact_detector, [], 64), [(0, 1, k) for k in range(10)])


class Perfect(FastWarper):
    """Knows the truth: says for each batch in turn how its joints move."""

    def __init__(self, validation):
        super().__init__(17, 8)
        self.moves = [torch.nan_to_num(batch.truth - batch.cells) for batch in validation.batches]

    def motion_of(self, patches, scalars, w, h):
        return self.moves.pop(0), torch.ones(patches.shape[:2])


def test_an_untrained_warper_is_as_good_as_a_copy(validation):
    result = judge(validation, FastWarper(17, 8), CPU)
    for key in ("cells", "median_cells", "points_mm", "median_points_mm"):
        assert result[key]["warper"] == pytest.approx(result[key]["copy"], rel=1e-4)
    # an exact network tells velocities exactly, and people walk rather straight on
    assert result["cells"]["velocity"] < 0.5 * result["cells"]["copy"]
    assert result["points_mm"]["velocity"] < result["points_mm"]["copy"]


def test_one_that_knows_the_truth_is_off_by_the_calibration_alone(validation):
    result = judge(validation, Perfect(validation), CPU)
    assert result["cells"]["warper"] == pytest.approx(0, abs=1e-4)
    assert result["median_points_mm"]["warper"] < 20 and result["cells"]["copy"] > 0.5


def test_every_view_is_in_one_bin(validation):
    result = judge(validation, FastWarper(17, 8), CPU)
    assert sum(entry["views"] for entry in result["bins"]) == result["views"] == len(validation.regular)
    lags = [entry["lag_ms"] for entry in result["bins"]]
    assert lags[0][0] == 0 and all(a[1] == b[0] for a, b in zip(lags[::2], lags[2::2], strict=False))
    filled = [entry for entry in result["bins"] if entry["views"] > 20]
    copied = {tuple(entry["lag_ms"]): entry["cells"]["copy"] for entry in filled}  # one of each lag is enough
    assert len(copied) > 1 and list(copied.values()) == sorted(copied.values())
    total = sum(e["cells"]["copy"] * e["views"] for e in result["bins"] if e["views"]) / result["views"]
    assert total == pytest.approx(result["cells"]["copy"], rel=0.1)  # joints outside are left out


def test_the_table_has_every_bin_and_method(validation):
    result = judge(validation, FastWarper(17, 8), CPU)
    shown = text(json.loads(json.dumps(result)))
    lines = shown.splitlines()
    assert all(name in lines[0] for name in METHODS)
    assert len(lines) == 1 + len(result["bins"]) + 4
    assert f"{result['points_mm']['copy']:.1f}" in lines[-2]
    assert not np.isnan([entry["views"] for entry in result["bins"]]).any()
