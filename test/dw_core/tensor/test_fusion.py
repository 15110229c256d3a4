from itertools import permutations

import numpy as np
import pytest
import torch

from dw_core.fusion.pencil import SAMPLES_PER_CELL
from dw_core.fusion.spatial import STEPS_PER_LINE, SpatialFusion
from dw_core.geometry.camera import Rig, project
from dw_core.geometry.crop import Crop, apply_affine, crop_around
from dw_core.heatmaps.render import render_gaussians
from dw_core.tensor.fusion import PencilBank, Pencils, PencilUpload, epipolar_maxima, fuse, pairs_of
from dw_core.types import DenseSet, DenseView, Heatmaps, Stage

torch.set_num_threads(1)
FORMS = ["sampled_view", "all_views"]


def see(camera, joints, n=64, sigma=1.27, crop=None):
    pixels = project(camera, joints)
    crop = crop or crop_around(pixels, 1.25)
    maps = render_gaussians(apply_affine(crop.to_cells(n), pixels), n, sigma)
    return Heatmaps(camera.name, 0, crop, maps)


def both(rig, seen, form, own_weight, fresh=1, dtype=torch.float32):
    """Fused maps (V, J, n, n) of the two run times."""
    views = tuple(DenseView(one, one.tensor) for one in seen)
    dense = DenseSet(0, seen[fresh].view, views, Stage.FILLED)
    expected = SpatialFusion(rig, form, own_weight).apply(dense)
    upload = PencilUpload(rig, seen[0].tensor.shape[-1], "cpu", dtype)
    pencils = upload.of([one.crop for one in seen], pairs_of(form, len(rig), fresh))
    found = fuse(
        torch.from_numpy(np.stack([one.tensor for one in seen])).to(dtype), pencils, form, own_weight
    )
    return found.numpy(), np.stack([view.tensor for view in expected.views])


def half_a_step(sigma):
    """What half a step among the lines changes at most: along the steepest slope of a peak."""
    return 0.5 / STEPS_PER_LINE / SAMPLES_PER_CELL * np.exp(-0.5) / sigma


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("n", "sigma"), [(64, 1.27), (96, 3.0)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_four_joints_are_fused_to_the_same_numbers(rig, person, form, n, sigma, dtype):
    """With up to 4 joints OpenCV samples exactly, and what is left are steps of 1/16 line at the look-up."""
    seen = [see(camera, person[5:9], n, sigma) for camera in rig]
    found, expected = both(rig, seen, form, 0.3, dtype=dtype)
    assert expected.max() > 0.5
    np.testing.assert_allclose(found, expected, rtol=0, atol=0.7 * half_a_step(sigma))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("n", "sigma"), [(64, 1.27), (96, 3.0)])
def test_many_joints_differ_by_the_rounding_of_opencv(rig, person, form, n, sigma):
    """The samples are rounded to 1/32 cell, at most 1/64 off in two coordinates along the steepest slope of a
    peak, exp(-1/2) / sigma, and the look-up is at most half a step off."""
    seen = [see(camera, person, n, sigma) for camera in rig]
    found, expected = both(rig, seen, form, 0.0)
    error = np.abs(found - expected)
    assert error.max() < 2 / 64 * np.exp(-0.5) / sigma + half_a_step(sigma)
    assert error.mean() < 1e-3


def test_epipole_inside_the_crop(make_camera, person):
    rig = Rig((make_camera("a", (0, 5, 1.0)), make_camera("b", (0.3, -5, 1.1))))
    seen = [see(camera, person[5:9] + (0.5, 0.3, 0), crop=Crop(150.0, 150.0, 700.0)) for camera in rig]
    found, expected = both(rig, seen, "sampled_view", 0.5)
    np.testing.assert_allclose(found, expected, rtol=0, atol=0.5 * half_a_step(1.27))


def test_a_crop_that_the_lens_does_not_reach_gives_nothing(make_camera, person):
    lens = (-0.5, 0.0, 0.0, 0.0)
    cameras = [
        make_camera(name, centre, distortion=lens) for name, centre in (("a", (0, 5, 1)), ("b", (2, 5, 1)))
    ]
    rig = Rig(tuple(cameras))
    seen = [see(rig[0], person[5:9]), see(rig[1], person[5:9], crop=Crop(9000.0, 9000.0, 300.0))]
    found, expected = both(rig, seen, "sampled_view", 0.25)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(found[0], 0.25 * seen[0].tensor, rtol=0, atol=1e-6)


def test_several_sets_are_fused_at_once(rig, person):
    """Pencils index maps, so sets with crops of their own go side by side."""
    n, upload = 32, PencilUpload(rig, 32, "cpu")
    pairs = pairs_of("sampled_view", len(rig), 2)
    sets = [[see(camera, person + shift, n) for camera in rig] for shift in (0.0, (0.2, -0.1, 0.05))]
    raw = [torch.from_numpy(np.stack([one.tensor for one in seen])) for seen in sets]
    apart = [upload.of([one.crop for one in seen], pairs) for seen in sets]
    alone = [fuse(maps, pencils, "sampled_view") for maps, pencils in zip(raw, apart, strict=True)]
    joined = type(apart[0])(
        torch.cat((apart[0].target, apart[1].target + len(rig))),
        torch.cat((apart[0].source, apart[1].source + len(rig))),
        torch.cat([one.samples for one in apart]),
        torch.cat([one.places for one in apart]),
    )
    torch.testing.assert_close(fuse(torch.cat(raw), joined, "sampled_view"), torch.cat(alone))


def test_pencils_are_uploaded_anew_only_when_a_crop_changes(rig, person):
    seen = [see(camera, person) for camera in rig]
    crops, upload = [one.crop for one in seen], PencilUpload(rig, 64, "cpu")
    pairs = tuple(permutations(range(4), 2))
    before = upload.of(crops, pairs)
    moved = [*crops[:3], Crop(300.0, 250.0, 500.0)]
    after, fresh = upload.of(moved, pairs), PencilUpload(rig, 64, "cpu").of(moved, pairs)
    assert torch.equal(after.places, fresh.places) and torch.equal(after.samples, fresh.samples)
    for p, pair in enumerate(pairs):
        same = (
            torch.equal(getattr(before, name)[p], getattr(after, name)[p]) for name in ("places", "samples")
        )
        assert all(same) == (3 not in pair)


def test_a_bank_gives_the_same_maxima_and_tells_when_it_moved(rig, person):
    """Two cameras nearly face each other: their lines fan out over the whole circle and need more room."""
    seen = [see(camera, person) for camera in rig]
    crops, pairs = [one.crop for one in seen], tuple(permutations(range(4), 2))
    maps = torch.from_numpy(np.stack([one.tensor for one in seen]))
    bank, generations = PencilBank(rig, 64, torch.device("cpu")), []
    for _ in range(2):
        for t, s in pairs:
            bank.update(t, s, crops[t], crops[s])
        generations.append(bank.generation)
        held = bank.take(torch.tensor([bank.place(t, s) for t, s in pairs]))
        target, source = torch.tensor(pairs).unbind(-1)
        expected = PencilUpload(rig, 64, "cpu").of(crops, pairs)
        found = epipolar_maxima(maps, Pencils(target, source, *held))
        torch.testing.assert_close(found, epipolar_maxima(maps, expected), rtol=0, atol=1e-5)
    assert generations[0] > 0 and generations[0] == generations[1]


@pytest.mark.parametrize("form", FORMS)
def test_fusion_has_exact_gradients(rig, form):
    torch.manual_seed(0)
    n = 8
    upload = PencilUpload(rig, n, "cpu", torch.float64)
    pencils = upload.of([Crop(200.0 + 30 * v, 150.0, 600.0) for v in range(3)], pairs_of(form, 3, 1))
    # noise: no two samples of a line are alike, so the maximum has no tie within the step of gradcheck
    raw = torch.rand(3, 1, n, n, dtype=torch.float64, requires_grad=True)
    assert epipolar_maxima(raw, pencils).max() > 0.5
    assert torch.autograd.gradcheck(lambda maps: fuse(maps, pencils, form, 0.3), (raw,))
