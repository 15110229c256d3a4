"""The training of the joint refiner."""

from dataclasses import asdict, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_t

from dw_core.detector.model import load_model
from dw_core.errors import ConfigError
from dw_core.joint_refiner import FEATURES, MIN_KNOWN, bounded, features, load_refiner, mirrored
from dw_core.skeleton import COCO17, H36M17, partners
from dw_core.tracking.filter import STUDENT_DOF
from dw_core.training import joint_refiner
from dw_core.training.config import TrainingConfig
from dw_core.training.joint_refiner import (
    IN_SCENE,
    LEAST,
    MOVE,
    RENDERED,
    SPREADS,
    Images,
    RefinerBatch,
    RefinerTask,
    load_rendered,
    other_detector,
    text,
)
from dw_core.training.loop import BEST, train
from dw_core.training.parallel import Ranks

from ..drawn import standing
from .conftest import SPLITS

CPU = torch.device("cpu")
pytestmark = pytest.mark.usefixtures("one_thread")


def config(**other):
    given = {
        "joint_set": "h36m17", "splits": "splits.yaml", "scenes": 2, "pool": 24, "width": 64, "steps": 200,
        "learning_rate": 2e-3, "workers": 0, "validation_scenes": 6, "validate_every": 100,
        "checkpoint_every": 100,
    } | other  # fmt: skip
    return TrainingConfig(**given)


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """The task and the folder of a short training, what was validated before it and what came of it."""
    torch.set_num_threads(1)
    task, out = RefinerTask(config(), SPLITS, data, None), tmp_path_factory.mktemp("refiner")
    before = task.validate(CPU), dict(task.result)
    outcome = train(task, task.config, out, Ranks(0, 1, CPU), resume=False)
    return task, out, before, outcome


def test_samples_are_images_and_the_moves_to_the_true_places(trained):
    task, *_ = trained
    batch = task.make([(0, 0, k) for k in range(3)])
    N = 3 * IN_SCENE
    assert batch.seen.shape == (N, 17, FEATURES) and batch.moves.shape == (N, 17, 2)
    assert batch.covariance.shape == (N, 17, 2, 2) and batch.known.shape == (N, 17)
    for value in vars(batch).values():
        assert value.dtype == torch.float32 and torch.isfinite(value).all()
    length = batch.moves.norm(dim=-1)[batch.known.bool()]
    assert 0.01 < length.median() < 0.15
    assert (torch.linalg.eigvalsh(batch.covariance) >= LEAST**2 - 1e-7).all()
    missing = batch.seen[..., 4].bool()
    assert 0.0 < missing.float().mean() < 0.2 and not (missing & batch.known.bool()).any()
    again = task.make([(0, 0, k) for k in range(3)])
    for name, value in vars(batch).items():
        assert torch.equal(value, getattr(again, name))
    assert not torch.equal(task.make([(0, 0, 3)]).seen, batch.seen[:IN_SCENE])


def test_the_same_seed_makes_the_same_images_and_another_does_not(data, trained):
    small = config(pool=2, validation_scenes=1)
    one, same, other = (RefinerTask(c, SPLITS, data, None) for c in (small, small, replace(small, seed=1)))
    batches = [task.make([(0, 0, 0)]).seen for task in (one, same, other)]
    assert torch.equal(batches[0], batches[1])
    assert batches[0].shape == batches[2].shape and not torch.equal(batches[0], batches[2])
    assert one.data == trained[0].data, "the same motion"


def test_half_of_the_samples_are_mirror_images(trained):
    """In which left is right: a pool of one image gives that image or the other."""
    task = trained[0]
    (pool,) = task._pools.values()
    known = np.flatnonzero((pool.confidence > 0).all(-1))
    one = pool[known[:1]]
    mine = SimpleNamespace(_pools={"simulated": one}, _joints=H36M17)
    some = RefinerTask._samples(mine, np.random.default_rng(0))
    pairs, flip = partners(H36M17), np.array((-1, 1))
    turned = Images(
        one.pixels[:, pairs] * flip, one.covariance[:, pairs] * flip[:, None] * flip,
        one.confidence[:, pairs], one.truth[:, pairs] * flip,
    )  # fmt: skip
    same = (some.pixels == one.pixels).all((1, 2))
    assert 0.3 < same.mean() < 0.7
    for name, value in vars(some).items():
        np.testing.assert_array_equal(value[same], np.repeat(getattr(one, name), same.sum(), 0))
        np.testing.assert_array_equal(value[~same], np.repeat(getattr(turned, name), (~same).sum(), 0))


def test_nothing_is_moved_before_training_and_less_is_off_after_it(trained):
    task, _, (loss, result), outcome = trained
    assert result["simulated_refined"] == result["simulated_seen"]
    assert result["simulated_loss"] == loss == pytest.approx(result["simulated_loss_without"], abs=1e-5)
    assert outcome.steps == 200 and outcome.best < loss - 0.1
    assert task.result["simulated_seen"] == result["simulated_seen"]
    assert task.result["simulated_loss_without"] == pytest.approx(loss, abs=1e-5)
    assert task.result["simulated_refined"] < 0.97 * task.result["simulated_seen"]
    said = text(task.result)
    assert f"{100 * result['simulated_seen']:.1f} % as seen" in said and "rendered" not in said


def test_the_file_is_the_network(trained, tmp_path):
    """What the system loads says what torch says of an image and its mirror image."""
    task, out, *_ = trained
    assert load_refiner(str(out / BEST), H36M17) is not None
    task.save(tmp_path / "last.safetensors", 200)
    refiner = load_refiner(str(tmp_path / "last.safetensors"), H36M17)
    (images,) = task._others.values()
    seen, _, size = features(images.pixels, images.covariance, images.confidence)
    with torch.no_grad():
        out = [
            task.network(torch.from_numpy(x).flatten(1)).numpy().reshape(-1, 17, 3).astype(float)
            for x in (seen, mirrored(seen, H36M17))
        ]
    moves, log_factor = bounded((out[0] + mirrored(out[1], H36M17)) / 2 * (MOVE, MOVE, 1))
    known = np.isfinite(size)
    assert known.mean() > 0.8 and np.abs(moves[known]).max() > 0.02
    pixels, covariance = refiner.refine(images.pixels, images.covariance, images.confidence)
    expected = images.pixels + size[:, None, None] * moves
    np.testing.assert_allclose(pixels[known], expected[known], atol=1e-4 * np.nanmax(size))
    factor = np.exp(log_factor)[..., None, None]
    np.testing.assert_allclose(covariance[known], (factor * images.covariance)[known], rtol=1e-4)


def test_the_loss_is_the_trackers_own_likelihood(trained):
    """A Student's t with the claimed covariance, but for a constant; the mean over the known joints."""
    task, rng = trained[0], np.random.default_rng(0)
    part = rng.normal(0, 0.05, (4, 17, 2, 2))
    covariance = part @ part.swapaxes(-1, -2) + 1e-3 * np.eye(2)
    moves, known = rng.normal(0, 0.1, (4, 17, 2)), rng.random((4, 17)) < 0.8
    seen = rng.normal(0, 1, (4, 17, FEATURES)).astype(np.float32)
    tensors = (torch.from_numpy(one).float() for one in (seen, moves, covariance, known))
    loss = task.loss(RefinerBatch(*tensors), CPU).item()
    with torch.no_grad():
        out = task.network(torch.from_numpy(seen).flatten(1)).numpy().reshape(4, 17, 3).astype(float)
    logs = [
        multivariate_t.logpdf(
            moves[k, j], MOVE * out[k, j, :2], np.exp(out[k, j, 2]) * covariance[k, j], df=STUDENT_DOF
        )
        for k, j in np.argwhere(known)
    ]
    constant = multivariate_t.logpdf((0.0, 0.0), (0.0, 0.0), np.eye(2), df=STUDENT_DOF)
    assert loss == pytest.approx(constant - np.mean(logs), abs=1e-4)


def test_other_networks_err_somewhat_otherwise():
    model = load_model()
    before, pairs = model.table(COCO17), partners(COCO17)
    tables = [other_detector(model, np.random.default_rng(k)).table(COCO17) for k in range(200)]
    assert asdict(other_detector(model, np.random.default_rng(0))) != asdict(model)
    for name in before:
        some = np.stack([table[name] for table in tables])
        assert np.isfinite(some).all()
        np.testing.assert_array_equal(some, some[:, pairs], err_msg="both sides are of one kind")
        if name in ("spread_along", "spread_across"):
            np.testing.assert_allclose(np.log(some / before[name]).std(), SPREADS, rtol=0.1)
        elif name not in ("along", "apart", "height"):
            np.testing.assert_array_equal(some, np.broadcast_to(before[name], some.shape))
    higher = np.stack([table["height"] for table in tables]) - before["height"]
    np.testing.assert_allclose(higher[..., 0], higher[..., 1], atol=1e-12, err_msg="hidden or not")
    assert 0.3 < higher.std() < 0.7


# --- rendered people ---


VIEWS, FRAMES = 2, 5


def fake_clip(folder, precision, progress):
    """A scene in which the network sees everybody 12 px beside, its number of pixels further to the right."""
    rng = np.random.default_rng(int(folder.name))
    pose = 180 * standing(COCO17)[:, [0, 2]] * (-1, -1) + (600 + int(folder.name), 400)
    truth = pose + rng.normal(0, 3, (VIEWS, FRAMES, 17, 2))
    found = SimpleNamespace(
        pixels=truth + (12, 0),
        covariance=np.broadcast_to(9 * np.eye(2), (VIEWS, FRAMES, 17, 2, 2)),
        confidence=np.full((VIEWS, FRAMES, 17), 0.8),
    )
    return SimpleNamespace(found=found, truth=SimpleNamespace(pixels=truth[:, :, None]))


@pytest.fixture
def rendered(tmp_path, monkeypatch):
    """A folder of eight scenes, of which nothing is read but hashes."""
    monkeypatch.setattr(joint_refiner, "load_clip", fake_clip)
    for number in range(8):
        (tmp_path / f"rendered/{number:02}").mkdir(parents=True)
        (tmp_path / f"rendered/{number:02}/scene.sha256").write_text(f"hash {number}\n")
    (tmp_path / "rendered/09").mkdir()  # was not finished
    return tmp_path / "rendered"


def test_one_in_four_of_the_rendered_scenes_is_held_out(rendered):
    sha256, pool, held_out = load_rendered(rendered, COCO17, progress=False)
    for images, numbers in ((pool, (0, 1, 2, 4, 5, 6)), (held_out, (3, 7))):
        assert len(images) == len(numbers) * VIEWS * FRAMES
        assert images.covariance.shape == (len(images), 17, 2, 2)
        np.testing.assert_allclose(images.pixels - images.truth, np.broadcast_to((12, 0), images.truth.shape))
        clips = [fake_clip(rendered / f"{k:02}", "float32", False) for k in numbers]
        expected = np.concatenate([clip.found.pixels.reshape(-1, 17, 2) for clip in clips])
        np.testing.assert_array_equal(images.pixels, expected)
    assert load_rendered(rendered, COCO17, progress=False)[0] == sha256
    (rendered / "03/scene.sha256").write_text("another\n")
    assert load_rendered(rendered, COCO17, progress=False)[0] != sha256


def test_rendered_images_are_part_of_the_samples_and_of_the_validation(data, rendered):
    small = config(joint_set="coco17", pool=3, validation_scenes=2, steps=100)
    plain, task = (RefinerTask(small, SPLITS, data, folder) for folder in (None, rendered))
    assert task.data != plain.data, "other data"
    images = task._samples(np.random.default_rng(0))
    beside = np.abs(np.abs(images.pixels - images.truth) - (12, 0)).max((1, 2)) < 1e-9
    assert len(images) == IN_SCENE and beside.mean() == pytest.approx(RENDERED, abs=0.12)
    loss = task.validate(CPU)
    size = features(*(getattr(task._others["rendered"], n) for n in ("pixels", "covariance", "confidence")))[
        2
    ]
    assert task.result["rendered_seen"] == pytest.approx(np.mean(12 / size), rel=1e-6)
    parts = (1 - RENDERED, "simulated"), (RENDERED, "rendered")
    assert loss == pytest.approx(sum(part * task.result[f"{name}_loss"] for part, name in parts))
    assert "rendered images, mean error" in text(task.result)
    (rendered / "00/scene.sha256").write_text("another\n")
    assert RefinerTask(small, SPLITS, data, rendered).data != task.data


@pytest.mark.parametrize("kept", [0, 3])
def test_too_few_rendered_scenes_are_refused(rendered, kept):
    for number in range(kept, 8):
        (rendered / f"{number:02}/scene.sha256").unlink()
    with pytest.raises(ConfigError, match=f"holds {kept} rendered scenes, expected 4 or more"):
        load_rendered(rendered, COCO17, progress=False)


def test_rendered_scenes_of_other_joints_are_refused(rendered):
    with pytest.raises(ConfigError, match="have joints coco17, to be trained are h36m17"):
        load_rendered(rendered, H36M17, progress=False)


def test_an_image_that_shows_hardly_anybody_counts_for_nothing(trained):
    task = trained[0]
    (images,) = task._others.values()
    few = images[[0]]
    few.confidence[:, MIN_KNOWN - 1 :], few.pixels[:, MIN_KNOWN - 1 :] = 0.0, np.nan
    batch = joint_refiner._batch(few)
    assert not batch.known.any() and all(torch.isfinite(one).all() for one in vars(batch).values())
