"""The training of the pose prior."""

import numpy as np
import pytest
import torch

from dw_core.detector.model import load_model
from dw_core.pose_prior import SCALE_M, in_trunk, load_prior
from dw_core.skeleton import COCO17, H36M17
from dw_core.training.clips import FACE_M
from dw_core.training.loop import BEST, train
from dw_core.training.parallel import Ranks
from dw_core.training.pose_prior import FAR_M, IN_SCENE, TAKEN, Pool, PriorTask, _samples, text, track
from dw_core.training.scenes import MOST_EXPOSURES, Source, observe

from ..test_anatomy import standing as whole
from .conftest import SPLITS, standing

ALONE = Ranks(0, 1, torch.device("cpu"))
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def source(clips):
    return Source(clips, load_model(), [], 64)


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """The task and the folder of a short training."""
    from dw_core.training.config import TrainingConfig

    config = TrainingConfig(
        joint_set="h36m17", splits="splits.yaml", scenes=2, pool=8, width=64, steps=300, learning_rate=2e-3,
        workers=0, validation_scenes=4, validate_every=100, checkpoint_every=100,
    )  # fmt: skip
    torch.set_num_threads(1)
    task, out = PriorTask(config, SPLITS, data), tmp_path_factory.mktemp("prior")
    before = task.validate(torch.device("cpu"))
    outcome = train(task, config, out, ALONE, resume=False)
    return task, out, before, outcome


def test_samples_are_skeletons_and_the_moves_to_the_true_ones(trained):
    task, *_ = trained
    batch = task.make([(0, 0, k) for k in range(3)])
    assert batch.seen.shape == (3 * IN_SCENE, 4 * 17) and batch.moves.shape == (3 * IN_SCENE, 17, 3)
    assert torch.isfinite(batch.seen).all() and torch.isfinite(batch.moves).all()
    length = SCALE_M * batch.moves.norm(dim=-1)[batch.known.bool()]
    assert 0.005 < length.median() < 0.06 and length.max() < 1.3 * FAR_M + 1e-6
    missing = batch.seen[:, 3 * 17 :].bool()
    assert torch.equal(missing, ~batch.known.bool()) and 0.005 < missing.float().mean() < 0.2
    again = task.make([(0, 0, k) for k in range(3)])
    assert torch.equal(again.seen, batch.seen) and torch.equal(again.moves, batch.moves)


def test_nothing_is_moved_before_training_and_less_is_off_after_it(trained):
    task, out, before, outcome = trained
    tracker = (task.result["tracker_mm"] + task.result["tracker_relative_mm"]) / 2
    assert before == pytest.approx(tracker)
    assert outcome.steps == 300 and outcome.best < 0.95 * before
    assert "with the pose prior" in text(task.result)


def test_the_file_is_the_network(trained, tmp_path):
    """What the system loads says what torch says."""
    task, out, *_ = trained
    assert load_prior(str(out / BEST), H36M17) is not None
    task.save(tmp_path / "last.safetensors", 300)
    prior = load_prior(str(tmp_path / "last.safetensors"), H36M17)
    pose = standing(H36M17.joints)
    frame, places = in_trunk(pose, H36M17)
    batch = torch.from_numpy(np.concatenate(((places / SCALE_M).ravel(), np.zeros(17)))).float()
    with torch.no_grad():
        moves = SCALE_M * task.network(batch).numpy().reshape(17, 3)
    # who stands like this is his own mirror image, so that its moves are the same moves mirrored
    found = (prior.corrected(pose, H36M17) - pose) @ frame.T
    pairs = [H36M17.index(H36M17.partner(name)) for name in H36M17.joints]
    np.testing.assert_allclose(found, (moves + moves[pairs] * (-1, 1, 1)) / 2, atol=1e-5)


def test_people_are_tracked_at_once_and_with_a_lag(trained, source):
    seen = observe(source, np.random.default_rng(1), 2.0)
    found, truth = track(seen, H36M17, None)
    assert TAKEN < len(found) <= 2 * TAKEN and found.shape == truth.shape
    errors = np.linalg.norm(found - truth, axis=-1)
    assert np.nanmedian(errors) < 0.06


def test_scenes_of_a_given_time_have_no_more_exposures_than_they_may(source: Source):
    for seed in range(4):
        seen = observe(source, np.random.default_rng(seed), 30.0)
        assert len(seen.maps) == len(seen.truth) <= MOST_EXPOSURES


def test_a_face_that_was_not_captured_is_not_learned():
    """Of COCO's joints; Human3.6M's nose is the captured head's."""
    for joints, faces in ((COCO17, 5), (H36M17, 0)):
        pool = Pool(np.zeros((4, 17, 3)), np.zeros((4, 17, 3)))
        pool.truth[:] = in_trunk(whole(joints), joints)[1]
        _, _, known = _samples(pool, joints, np.random.default_rng(0))
        assert (known.max(0) == 0).sum() == faces
        assert set(np.array(joints.joints)[known.max(0) == 0]) <= set(FACE_M)
