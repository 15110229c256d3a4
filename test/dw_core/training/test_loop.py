"""The loop on a task that is quick, and a Warper's training killed and gone on with."""

import importlib.util
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from dw_core.errors import ConfigError
from dw_core.fusion.fast_warper_cpu import FastWarperCpu
from dw_core.fusion.weights import load_weights
from dw_core.training.checkpoint import NAME
from dw_core.training.loop import BEST, learning_rate, scene_of, train
from dw_core.training.parallel import Ranks
from dw_core.training.tasks import WarperTask

from .conftest import SPLITS

ROOT = Path(__file__).parents[3]
ALONE = Ranks(0, 1, torch.device("cpu"))
pytestmark = pytest.mark.usefixtures("one_thread")


class Line:
    """Finds the slope of a line from noisy points; the validation is as it is told, or the error."""

    data = "line"

    def __init__(self, validations=()):
        torch.manual_seed(0)
        self.network = nn.Linear(1, 1)
        self.validations = list(validations)
        self.made = []

    def make(self, seeds):
        self.made.append(seeds)
        generator = torch.Generator().manual_seed(hash(tuple(seeds)) % 2**31)
        x = torch.randn(8, 1, generator=generator)
        return x, 3 * x + 0.1 * torch.randn(8, 1, generator=generator)

    def loss(self, batch, device):
        x, y = batch
        return ((self.network(x) - y) ** 2).mean()

    def validate(self, device):
        return self.validations.pop(0) if self.validations else abs(float(self.network.weight.detach()) - 3)

    def save(self, path, step):
        path.write_text(str(step))


@pytest.fixture
def line(tiny):
    return replace(tiny, steps=40, learning_rate=0.3, validate_every=5, checkpoint_every=7)


def weights(task):
    return torch.cat([p.detach().flatten() for p in task.network.parameters()])


def test_a_training_learns_and_leaves_its_best_weights(line, tmp_path):
    task = Line()
    outcome = train(task, line, tmp_path, ALONE, resume=False)
    assert (outcome.steps, outcome.reason) == (40, "all steps done")
    assert outcome.best < 0.3 and int((tmp_path / BEST).read_text()) % 5 == 0
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("killed_at", [1, 7, 18, 39])
def test_a_training_that_was_killed_has_the_same_result(line, tmp_path, killed_at):
    whole = Line()
    train(whole, line, tmp_path / "whole", ALONE, resume=False)

    class Killed(Line):
        def loss(self, batch, device):
            if len(self.made) > killed_at:
                raise KeyboardInterrupt
            return super().loss(batch, device)

    with pytest.raises(KeyboardInterrupt):
        train(Killed(), line, tmp_path / "killed", ALONE, resume=False)
    again = Line()
    outcome = train(again, line, tmp_path / "killed", ALONE, resume=True)
    assert outcome.steps == 40
    assert torch.equal(weights(again), weights(whole))
    assert len(again.made) == 40 - killed_at // 7 * 7
    assert (tmp_path / "killed" / BEST).read_text() == (tmp_path / "whole" / BEST).read_text()


def test_a_finished_training_stays_as_it_is(line, tmp_path):
    task = Line()
    train(task, line, tmp_path, ALONE, resume=False)
    again = Line()
    assert train(again, line, tmp_path, ALONE, resume=True).steps == 40
    assert torch.equal(weights(again), weights(task)) and again.made == []


def test_it_stops_when_validation_gets_no_better(line, tmp_path):
    task = Line([5.0, 4.0, 4.5, 4.0, 9.0])
    outcome = train(task, replace(line, patience=3), tmp_path, ALONE, resume=False)
    assert (outcome.steps, outcome.best) == (25, 4.0)
    assert outcome.reason == "no better for 3 validations" and (tmp_path / BEST).read_text() == "10"


def test_it_stops_when_the_time_is_over_and_goes_on(line, tmp_path):
    short = replace(line, max_minutes=1e-9)
    outcome = train(Line(), short, tmp_path, ALONE, resume=False)
    assert outcome.steps == 1 and outcome.reason.endswith("minutes are over")
    task, whole = Line(), Line()
    assert train(task, line, tmp_path, ALONE, resume=True).steps == 40
    train(whole, line, tmp_path / "whole", ALONE, resume=False)
    assert torch.equal(weights(task), weights(whole))


def test_without_tensorboard_it_says_so_and_trains(line, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    outcome = train(Line(), replace(line, steps=2), tmp_path, ALONE, resume=False, progress=True)
    assert outcome.steps == 2
    shown = capsys.readouterr().err
    assert "not installed: run `.venv/bin/pip install -r requirements/train.txt`" in shown
    assert "loss" in shown and "2/2" in shown


def test_with_tensorboard_losses_are_logged(line, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(Line(), line, tmp_path, ALONE, resume=False)
    log = EventAccumulator(str(tmp_path)).Reload()
    assert len(log.Scalars("loss")) == 40 and [one.step for one in log.Scalars("validation")][:2] == [5, 10]


def test_a_folder_with_a_training_is_not_overwritten(line, tmp_path):
    train(Line(), line, tmp_path, ALONE, resume=False)
    with pytest.raises(ConfigError, match="already holds a training: say --resume"):
        train(Line(), line, tmp_path, ALONE, resume=False)


def test_another_configuration_or_motion_does_not_go_on(line, tmp_path):
    train(Line(), line, tmp_path, ALONE, resume=False)
    with pytest.raises(ConfigError, match="training with learning_rate 0.3, and it is to go on with 0.1"):
        train(Line(), replace(line, learning_rate=0.1), tmp_path, ALONE, resume=True)
    other = Line()
    other.data = "other"
    with pytest.raises(ConfigError, match="on other motion"):
        train(other, line, tmp_path, ALONE, resume=True)


@pytest.mark.parametrize("content", [b"", b"no checkpoint"])
def test_a_file_that_is_no_checkpoint_is_named(line, tmp_path, content):
    (tmp_path / NAME).write_bytes(content)
    with pytest.raises(ConfigError, match="checkpoint.pt cannot be read as a checkpoint"):
        train(Line(), line, tmp_path, ALONE, resume=True)


def test_processes_share_the_scenes_of_a_step(line, tmp_path):
    with pytest.raises(ConfigError, match="2 scenes per step cannot be shared by 3 processes"):
        train(Line(), line, tmp_path, Ranks(0, 3, torch.device("cpu")), resume=False)


def test_the_learning_rate_rises_and_falls_to_nothing(tiny):
    config = replace(tiny, steps=1000, learning_rate=1.0)
    rates = [learning_rate(config, step) for step in range(1000)]
    assert rates[0] == pytest.approx(0.05) and max(rates) > 0.99
    assert rates.index(max(rates)) == 19 and rates[-1] < 1e-4
    assert rates[19:] == sorted(rates[19:], reverse=True)


def test_a_pool_is_used_whole_in_other_orders(tiny):
    config = replace(tiny, pool=50)
    turns = [[scene_of(config, 50 * turn + k) for k in range(50)] for turn in range(2)]
    assert turns[0] != turns[1] and sorted(turns[0]) == sorted(turns[1]) == list(range(50))
    assert [scene_of(tiny, k) for k in (0, 7, 500)] == [0, 7, 500]


def trained(data, config, out, resume=False):
    task = WarperTask(config, SPLITS, data)
    train(task, config, out, ALONE, resume)
    return task


@pytest.mark.parametrize("pool", [0, 6])
def test_a_warper_that_is_killed_ends_as_one_that_is_not(data, tiny, tmp_path, pool):
    """SIGKILL in the middle of step 13, the last checkpoint being of step 10."""
    config = replace(tiny, pool=pool)
    (tmp_path / "config.yaml").write_text(config.to_json())
    script = f"""
import os, signal, sys, torch
from pathlib import Path
from dw_core.data.splits import Splits
from dw_core.training.config import load_config
from dw_core.training.loop import train
from dw_core.training.parallel import Ranks
from dw_core.training.tasks import WarperTask
torch.set_num_threads(1)
class Killed(WarperTask):
    steps = 0
    def loss(self, batch, device):
        self.steps += 1
        if self.steps == 13:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().loss(batch, device)
config = load_config(Path("{tmp_path}/config.yaml"))
splits = Splits(dict(train=("one",), validation=("other",)))
task = Killed(config, splits, Path("{data}"))
train(task, config, Path("{tmp_path}/killed"), Ranks(0, 1, torch.device("cpu")), False)
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    killed = subprocess.run([sys.executable, "-c", script], env=environment, cwd=ROOT, timeout=100)
    assert killed.returncode == -signal.SIGKILL
    assert torch.load(tmp_path / "killed" / NAME, weights_only=True)["step"] == 10
    again, whole = (trained(data, config, tmp_path / name, name == "killed") for name in ("killed", "whole"))
    assert torch.equal(weights(again), weights(whole))
    one, other = (load_weights(tmp_path / name / BEST) for name in ("killed", "whole"))
    assert one.about == other.about
    assert all((one.arrays[name] == other.arrays[name]).all() for name in one.arrays)


def test_worker_processes_change_nothing(data, tiny, tmp_path):
    config = replace(tiny, steps=4, validate_every=4)
    here = trained(data, config, tmp_path / "here")
    workers = trained(data, replace(config, workers=1), tmp_path / "workers")
    assert torch.equal(weights(here), weights(workers))


@pytest.mark.parametrize("change", [{"loss": "heatmap"}, {"precision": "bfloat16"}, {"weight_3d": 0.0}])
def test_other_losses_and_precisions_train_too(data, tiny, tmp_path, change):
    config = replace(tiny, steps=3, validate_every=3, **change)
    task, plain = trained(data, config, tmp_path / "other"), WarperTask(config, SPLITS, data)
    assert weights(task).isfinite().all() and (weights(task) - weights(plain)).abs().max() > 1e-4
    assert all(parameter.dtype == torch.float32 for parameter in task.network.parameters())


def test_the_weights_say_what_they_are_and_run_without_torch(data, tiny, tmp_path):
    config = replace(tiny, steps=4, validate_every=4)
    task = trained(data, config, tmp_path)
    loaded = load_weights(tmp_path / BEST)
    assert loaded.architecture == "fast" and len(loaded.joints) == 17
    assert loaded.about["config"] == config.to_json() and loaded.about["data_sha256"] == task.data
    assert loaded.about["steps"] == "4" and '"warper"' in loaded.about["validation"]
    FastWarperCpu(loaded)
