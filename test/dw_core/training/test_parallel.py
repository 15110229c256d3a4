"""Two processes of torchrun's kind train as one process does on their joined batches."""

import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dw_core.training.loop import train
from dw_core.training.parallel import Ranks, ranks
from dw_core.training.tasks import WarperTask

from .conftest import SPLITS

ROOT = Path(__file__).parents[3]
SCRIPT = """
import os, sys, torch
from pathlib import Path
from dw_core.data.splits import Splits
from dw_core.training.config import load_config
from dw_core.training.loop import train
from dw_core.training.parallel import ranks
from dw_core.training.tasks import WarperTask
torch.set_num_threads(1)
folder, data = Path(sys.argv[1]), Path(sys.argv[2])
config = load_config(folder / "config.yaml")
with ranks() as here:
    assert here.world == 2 and here.agree(float(here.rank) + 5) == 5
    task = WarperTask(config, Splits(dict(train=('one',), validation=('other',))), data)
    train(task, config, folder / "two", here, False)
    state = {name: (p.detach(), p.grad) for name, p in task.network.named_parameters()}
    torch.save(state, folder / f"rank{here.rank}.pt")
"""


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.mark.usefixtures("one_thread")
def test_two_processes_agree_with_each_other_and_with_one(data, tiny, tmp_path):
    config = replace(tiny, steps=5, scenes=4, validate_every=5)
    (tmp_path / "config.yaml").write_text(config.to_json())
    common = os.environ | {
        "PYTHONPATH": str(ROOT), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
    }  # fmt: skip
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(tmp_path), str(data)],
            env=common | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            cwd=ROOT,
        )  # fmt: skip
        for rank in range(2)
    ]
    assert [process.wait(timeout=100) for process in processes] == [0, 0]
    one = WarperTask(config, SPLITS, data)
    train(one, config, tmp_path / "one", Ranks(0, 1, torch.device("cpu")), False)
    first, second = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in range(2))
    for name, parameter in one.network.named_parameters():
        for k, expected in enumerate((parameter.detach(), parameter.grad)):
            assert torch.equal(first[name][k], second[name][k]), name
            torch.testing.assert_close(first[name][k], expected, atol=1e-6, rtol=0)
    assert (tmp_path / "two/best.safetensors").exists()


def test_alone_there_is_one_rank(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with ranks() as here:
        assert (here.rank, here.world, here.first, here.agree(3.5)) == (0, 1, True, 3.5)
