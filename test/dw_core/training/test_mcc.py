import numpy as np
import pytest
import torch

from dw_core.errors import AssetError
from dw_core.skeleton import COCO17, H36M17
from dw_core.training.loop import BEST, train
from dw_core.training.mcc import IN_SCENE, Mcc, MccTask, between, hips, linear, make_batch, text
from dw_core.training.parallel import Ranks

from .conftest import SPLITS, standing

ALONE = Ranks(0, 1, torch.device("cpu"))
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """The task and the folder of a short training."""
    from dw_core.training.config import TrainingConfig

    config = TrainingConfig(
        joint_set="h36m17", splits="splits.yaml", scenes=1, steps=12, learning_rate=1e-3, workers=0,
        validation_scenes=2, validate_every=6, checkpoint_every=10,
    )  # fmt: skip
    torch.set_num_threads(1)
    task, out = MccTask(config, SPLITS, data), tmp_path_factory.mktemp("mcc")
    before = task.validate(torch.device("cpu"))
    outcome = train(task, config, out, ALONE, resume=False)
    return task, out, before, outcome


def test_it_is_as_large_as_reported():
    count = sum(parameter.numel() for parameter in Mcc(17).parameters())
    assert count == pytest.approx(2.586e6, rel=0.01)
    assert Mcc(17)(torch.zeros(4, 3, 17, 2)).shape == (4, 3, 17, 5)


def test_samples_lie_between_their_ends(clips):
    batch = make_batch(clips, [(0, 0, k) for k in range(4)])
    assert batch.ends.shape == (4 * IN_SCENE, 3, 17, 2) and batch.truth.shape == (4 * IN_SCENE, 3, 17, 5)
    assert (linear(batch.ends) - batch.truth).norm(dim=1).median() < 0.05  # noise and swinging limbs
    middle = hips(H36M17, batch.ends.permute(0, 3, 2, 1).numpy()).mean(1)
    np.testing.assert_allclose(middle, 0, atol=1e-6)
    again = make_batch(clips, [(0, 0, k) for k in range(4)])
    assert torch.equal(again.ends, batch.ends) and torch.equal(again.truth, batch.truth)


def test_it_starts_as_linear_interpolation(trained, clips):
    task, out, before, outcome = trained
    assert before == pytest.approx(task.result["linear_mm"])
    assert outcome.steps == 12 and task.result["mcc_mm"] != before
    assert "MCC" in text(task.result) and (out / BEST).exists()
    ends = make_batch(clips, [(0, 0, 0)]).ends
    torch.testing.assert_close(Mcc(17)(ends), linear(ends))


def test_it_learns(trained, clips):
    """One batch by heart."""
    batch, network = make_batch(clips, [(0, 0, 0)]), Mcc(17)
    optimiser = torch.optim.Adam(network.parameters(), 1e-4)

    def loss():
        return (network(batch.ends) - batch.truth).square().mean()

    before = loss().item()
    for _ in range(100):
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()
    assert loss().item() < 0.5 * before


def test_the_file_gives_poses_between_wherever_the_person_is(trained):
    first = standing(H36M17.joints)[None]
    last = first + (0.3, 0.0, 0.0)
    poses = between(trained[1] / BEST, H36M17, first, last)
    assert poses.shape == (1, 5, 17, 3) and np.isfinite(poses).all()
    away = np.array((5.0, -3.0, 0.5))
    np.testing.assert_allclose(
        between(trained[1] / BEST, H36M17, first + away, last + away), poses + away, atol=1e-4
    )
    first[0, 3] = np.nan
    assert np.isnan(between(trained[1] / BEST, H36M17, first, last)).all()


def test_files_of_other_networks_are_refused(trained, tmp_path):
    pose = np.zeros((1, 17, 3))
    with pytest.raises(AssetError, match="expected mcc for those of coco17"):
        between(trained[1] / BEST, COCO17, pose, pose)
    (tmp_path / "no").write_bytes(b"no")
    with pytest.raises(AssetError, match="cannot be read as safetensors"):
        between(tmp_path / "no", H36M17, pose, pose)
