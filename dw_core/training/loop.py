"""The training loop: any task, step by step, resumable with the same result.

What a step trains on follows from the seed and its number alone, and so does its learning rate; a training
that was killed goes on from its last checkpoint as if it had never stopped.
"""

from __future__ import annotations

import importlib.util
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from dw_core.errors import ConfigError
from dw_core.progress import bar
from dw_core.training.checkpoint import NAME, Checkpoint, load_checkpoint, replace_file, save_checkpoint
from dw_core.training.config import TrainingConfig
from dw_core.training.parallel import Ranks

B = TypeVar("B")
Seed = tuple[int, ...]
Write = Callable[[str, float, int], None]
BEST = "best.safetensors"
TENSORBOARD = "run `.venv/bin/pip install -r requirements/train.txt`"
TRAINING, VALIDATION = 0, 1  # streams of random numbers


class Task(Protocol[B]):
    """What is trained: a network, on motion with SHA-256 `data`. `make` is called in worker processes."""

    data: str

    @property
    def network(self) -> nn.Module:
        """The network that is trained."""

    def make(self, seeds: list[Seed]) -> B:
        """The batch that scenes of these seeds give."""

    def loss(self, batch: B, device: torch.device) -> Tensor:
        """The network's loss (one number) on a batch, the mean over its scenes."""

    def validate(self, device: torch.device) -> float:
        """How bad the network is on other subjects, in one number."""

    def save(self, path: Path, step: int) -> None:
        """Write the network's weights."""


@dataclass(frozen=True)
class Outcome:
    """How many steps were done, why the training stopped, and its best validation."""

    steps: int
    reason: str
    best: float


class _Steps(Dataset[B], Generic[B]):
    """The batches of this rank's scenes, by the number of the step."""

    def __init__(self, task: Task[B], config: TrainingConfig, ranks: Ranks) -> None:
        self._make, self._config = task.make, config
        self._numbers = range(ranks.rank, config.scenes, ranks.world)

    def __getitem__(self, step: int) -> B:
        scenes = (scene_of(self._config, step * self._config.scenes + number) for number in self._numbers)
        return self._make([(self._config.seed, TRAINING, scene) for scene in scenes])


def scene_of(config: TrainingConfig, number: int) -> int:
    """Which scene comes as the `number`th: always a new one or, with a pool, all of it in an order that is
    another each time."""
    if not config.pool:
        return number
    turn, place = divmod(number, config.pool)
    return int(_order(config.seed, turn, config.pool)[place])


@lru_cache(maxsize=2)
def _order(seed: int, turn: int, pool: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng((seed, turn)).permutation(pool)


def learning_rate(config: TrainingConfig, step: int) -> float:
    """Rises for a fiftieth of the steps and falls to 0 as a cosine at the last (Loshchilov and Hutter, ICLR
    2017)."""
    warm_up = min(1.0, (step + 1) / max(config.steps / 50, 1))
    return config.learning_rate * warm_up * 0.5 * (1 + math.cos(math.pi * step / config.steps))


def train(
    task: Task[B], config: TrainingConfig, out: Path, ranks: Ranks, resume: bool, progress: bool = False
) -> Outcome:
    """Train to the end, an early stop, or `max_minutes`; leaves `best.safetensors` and a checkpoint in `out`.

    Raises ConfigError for a folder that already holds a training, unless it is to go on, and for scenes
    that cannot be shared by all processes.
    """
    if config.scenes % ranks.world:
        raise ConfigError(f"{config.scenes} scenes per step cannot be shared by {ranks.world} processes")
    _prepare(out, resume)
    network = task.network.to(ranks.device)
    optimiser = torch.optim.Adam(network.parameters(), config.learning_rate)
    state = _begin(task, config, out, optimiser)
    reason = _reason(config, state, 0.0)
    began = time.monotonic()
    with (
        _log(out, state.step, ranks.first, progress) as write,
        bar("training", config.steps, progress and ranks.first) as advance,
    ):
        advance(state.step)
        for step, batch in [] if reason else _batches(task, config, ranks, state.step):
            loss = _step(task, batch, optimiser, learning_rate(config, step), ranks, config)
            write("loss", loss, step)
            state = _after(task, config, out, optimiser, state, step + 1, ranks, write)
            advance(1, f"loss {loss:.3f}, best {state.best:.3f}")
            reason = _reason(config, state, ranks.agree(time.monotonic() - began))
            if reason:
                break
    if ranks.first:
        save_checkpoint(out, state, config, task.data)
    return Outcome(state.step, reason, state.best)


def _prepare(out: Path, resume: bool) -> None:
    if (out / NAME).exists() and not resume:
        raise ConfigError(f"{out} already holds a training: say --resume to go on with it, or another --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{out} cannot be made a folder: {error.strerror}") from error


def _begin(task: Task[B], config: TrainingConfig, out: Path, optimiser: torch.optim.Adam) -> Checkpoint:
    """What to go on from, the network and the optimiser put there."""
    state = load_checkpoint(out, config, task.data)
    if state is None:
        return _state(task, optimiser, 0, math.inf, 0)
    task.network.load_state_dict(state.network)
    optimiser.load_state_dict(state.optimiser)
    return state


def _state(task: Task[B], optimiser: torch.optim.Adam, step: int, best: float, since_best: int) -> Checkpoint:
    return Checkpoint(step, task.network.state_dict(), optimiser.state_dict(), best, since_best)


def _batches(task: Task[B], config: TrainingConfig, ranks: Ranks, start: int) -> Iterator[tuple[int, B]]:
    steps = range(start, config.steps)
    loader = DataLoader(
        _Steps(task, config, ranks), batch_size=None, sampler=steps, num_workers=config.workers
    )
    return zip(steps, loader, strict=True)


def _step(
    task: Task[B], batch: B, optimiser: torch.optim.Adam, rate: float, ranks: Ranks, config: TrainingConfig
) -> float:
    """One step down the gradient; the loss before it."""
    for group in optimiser.param_groups:
        group["lr"] = rate
    task.network.train()
    optimiser.zero_grad()
    with torch.autocast(ranks.device.type, torch.bfloat16, enabled=half(config, ranks.device)):
        loss = task.loss(batch, ranks.device)
    loss.backward()  # type: ignore[no-untyped-call]
    ranks.mean_gradients(task.network.parameters())
    optimiser.step()
    return float(loss.detach())


def half(config: TrainingConfig, device: torch.device) -> bool:
    """Whether matrices are multiplied in bfloat16: by default where a GPU can."""
    if config.precision == "auto":
        return device.type == "cuda" and torch.cuda.is_bf16_supported()
    return config.precision == "bfloat16"


def _after(
    task: Task[B], config: TrainingConfig, out: Path, optimiser: torch.optim.Adam,
    state: Checkpoint, step: int, ranks: Ranks, write: Write,
) -> Checkpoint:  # fmt: skip
    """The state after a step: validated, and saved, when it is time to."""
    best, since_best = state.best, state.since_best
    if step % config.validate_every == 0 or step == config.steps:
        task.network.eval()
        error = ranks.agree(task.validate(ranks.device) if ranks.first else 0.0)
        write("validation", error, step)
        best, since_best = (error, 0) if error < best else (best, since_best + 1)
        if since_best == 0 and ranks.first:
            replace_file(out / BEST, lambda part: task.save(part, step))
    state = _state(task, optimiser, step, best, since_best)
    if step % config.checkpoint_every == 0 and ranks.first:
        save_checkpoint(out, state, config, task.data)
    return state


def _reason(config: TrainingConfig, state: Checkpoint, seconds: float) -> str:
    """Why to stop now, or ''."""
    if state.step == config.steps:
        return "all steps done"
    if state.since_best >= config.patience:
        return f"no better for {config.patience} validations"
    if config.max_minutes and seconds > 60 * config.max_minutes:
        return f"{config.max_minutes:g} minutes are over"
    return ""


@contextmanager
def _log(out: Path, start: int, first: bool, show: bool) -> Iterator[Write]:
    """Writes values to TensorBoard's log in `out`, from step `start` on, if there is TensorBoard."""
    there = importlib.util.find_spec("tensorboard") is not None
    if show and not there:
        print(f"no log for TensorBoard, it is not installed: {TENSORBOARD}", file=sys.stderr)
    if not (first and there):
        yield lambda name, value, step: None
        return
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(out), purge_step=start) as writer:
        yield writer.add_scalar
