"""A scene as files: images of every camera, the rig, and the truth.

    DIR/rig.yaml, DIR/scene.yaml
    DIR/<camera>/000000.jpg ...   and rate_hz.txt: footage, as `dw up --source DIR` plays it
    DIR/truth.npz                 stamps_ns (T,), joints (T, P, J, 3) and pivots (T, P, K, 3) in metres, their
                                  names, and of the joints per camera: pixels (M, T, P, J, 2), inside, hidden,
                                  self_hidden (M, T, P, J)
    DIR/scene.sha256              written last: the hash of the scene whose files these are, complete

An interrupted run goes on where it was; every file is written under another name first.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from dw_core.data.footage import RATE_FILE
from dw_core.data.rigs import save_rig
from dw_core.errors import ConfigError
from dw_core.geometry.camera import project
from dw_core.progress import bar
from dw_core.skeleton import COCO17
from dw_core.synthetic.body import PIVOTS
from dw_core.synthetic.render import render_frame, visible
from dw_core.synthetic.scene import Scene, scene_hash, to_yaml
from dw_core.synthetic.stage import Stage, set_up
from dw_core.synthetic.surface import Surface
from dw_core.synthetic.view import RoomView
from dw_core.types import NS

FRAMES_AT_ONCE = 24
JPEG_QUALITY = 95
HASH_FILE, SCENE_FILE, TRUTH_FILE, RIG_FILE = "scene.sha256", "scene.yaml", "truth.npz", "rig.yaml"
SEEN = ("inside", "hidden", "self_hidden")

BoolArray = npt.NDArray[np.bool_]


def is_complete(scene: Scene, folder: Path) -> bool:
    """Whether a folder holds the pictures of this very scene, all of them."""
    file = folder / HASH_FILE
    return file.is_file() and file.read_text().strip() == scene_hash(scene)


def record(scene: Scene, folder: Path, processes: int = 1, progress: bool = True) -> None:
    """Render a scene into a folder, with so many processes. Returns at once when it is there already.

    Raises ConfigError when the folder holds something else, and for what `set_up` refuses.
    """
    if is_complete(scene, folder):
        return
    _claim(scene, folder)
    stage = set_up(scene)
    save_rig(stage.rig, folder / RIG_FILE)
    tasks = []
    for view, camera in enumerate(stage.rig):
        (folder / camera.name).mkdir(exist_ok=True)
        (folder / camera.name / RATE_FILE).write_text(f"{scene.rate_hz!r}\n")
        for first in range(0, scene.frames, FRAMES_AT_ONCE):
            if not _seen_file(folder, camera.name, first).is_file():
                tasks.append((view, first))
    count = sum(min(FRAMES_AT_ONCE, scene.frames - first) for _, first in tasks)
    with bar("frames", count, progress) as advance:
        for done in _run(scene, folder, tasks, processes):
            advance(done)
    _save_truth(stage, folder)
    with _whole(folder / HASH_FILE) as file:
        file.write_text(scene_hash(scene) + "\n")
    for camera in stage.rig:
        for part in (folder / camera.name).glob("seen-*.npy"):
            part.unlink()


def _claim(scene: Scene, folder: Path) -> None:
    """Refuse a folder that holds another scene, or files of somebody else's."""
    file, text = folder / SCENE_FILE, to_yaml(scene)
    started = folder / "started.sha256"
    if folder.is_dir() and any(folder.iterdir()):
        if not started.is_file() or started.read_text().strip() != scene_hash(scene):
            raise ConfigError(
                f"{folder} holds something else, expected an empty folder, or this scene half done"
            )
    folder.mkdir(parents=True, exist_ok=True)
    started.write_text(scene_hash(scene) + "\n")
    file.write_text(text)


def _run(scene: Scene, folder: Path, tasks: Sequence[tuple[int, int]], processes: int) -> Iterator[int]:
    """Do all tasks; how many frames each took."""
    if processes == 1 or len(tasks) < 2:
        for task in tasks:
            yield _frames(scene, folder, *task)
        return
    # fresh processes: a fork would copy the threads' locks of whatever the caller runs
    with ExitStack() as stack:
        # each has a share of its own: views one after the other, so that it makes few rooms
        pools = [
            stack.enter_context(ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_alone))
            for _ in range(min(processes, len(tasks)))
        ]
        jobs = [
            pools[k * len(pools) // len(tasks)].submit(_frames, scene, folder, *task)
            for k, task in enumerate(tasks)
        ]
        try:
            for job in as_completed(jobs):
                yield job.result()
        finally:
            for pool in pools:
                pool.shutdown(wait=False, cancel_futures=True)


def _alone() -> None:
    """One process, one core."""
    cv2.setNumThreads(1)


@lru_cache(maxsize=1)
def _stage(scene: Scene) -> Stage:
    return set_up(scene)


@lru_cache(maxsize=1)  # a camera's room takes some 120 MB
def _room_view(scene: Scene, view: int) -> RoomView:
    stage = _stage(scene)
    return RoomView(stage.room, stage.rig[view], scene.optics, view, scene.seed)


def _frames(scene: Scene, folder: Path, view: int, first: int) -> int:
    """Render some frames of one view, and what is seen of the joints in them."""
    stage, room_view = _stage(scene), _room_view(scene, view)
    name = stage.rig[view].name
    last = min(first + FRAMES_AT_ONCE, scene.frames)
    seen = []
    for frame in range(first, last):
        pixels, at = frame_of(stage, room_view, frame)
        ok, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        if not ok:
            raise RuntimeError(f"frame {frame} of {name} cannot be encoded")
        with _whole(folder / name / f"{frame:06d}.jpg") as file:
            file.write_bytes(data.tobytes())
        seen.append(at)
    with _whole(_seen_file(folder, name, first)) as file, file.open("wb") as out:
        np.save(out, np.stack(seen))
    return last - first


def frame_of(stage: Stage, room_view: RoomView, frame: int) -> tuple[npt.NDArray[np.uint8], BoolArray]:
    """One image, BGR (H, W, 3), and SEEN (3, P, J) of the joints in it."""
    seconds = frame / stage.scene.rate_hz
    people = stage.surfaces(seconds)
    everything = [surface for person in people for surface in person]

    def moving(offset: float) -> list[Surface]:
        # the exposures of the first and the last frame may reach beyond the clip
        time = min(max(seconds + offset, 0.0), stage.scene.seconds)
        if time == seconds:
            return everything
        return [surface for person in stage.surfaces(time) for surface in person]

    picture = render_frame(moving, room_view, frame)
    starts = np.cumsum([0, *(len(person) for person in people)])
    joints, _ = stage.joints(seconds)
    seen = []
    for k, mine in enumerate(joints):
        own = range(int(starts[k]), int(starts[k + 1]))
        found = visible(mine, room_view, everything, own)
        seen.append(np.stack([getattr(found, name) for name in SEEN]))
    return picture.pixels, np.stack(seen, 1)


def _seen_file(folder: Path, camera: str, first: int) -> Path:
    return folder / camera / f"seen-{first:06d}.npy"


def _save_truth(stage: Stage, folder: Path) -> None:
    scene = stage.scene
    times = np.arange(scene.frames) / scene.rate_hz
    joints, pivots = (np.stack(part) for part in zip(*map(stage.joints, times), strict=True))
    seen = []
    for camera in stage.rig:
        starts = range(0, scene.frames, FRAMES_AT_ONCE)
        seen.append(np.concatenate([np.load(_seen_file(folder, camera.name, first)) for first in starts]))
    found = np.moveaxis(np.stack(seen), 2, 0)  # SEEN first
    with _whole(folder / TRUTH_FILE) as file, file.open("wb") as out:
        np.savez_compressed(
            out,
            stamps_ns=np.rint(times * NS).astype(np.int64),
            joints=joints,
            joint_names=np.array(COCO17.joints),
            pivots=pivots,
            pivot_names=np.array(PIVOTS),
            cameras=np.array(stage.rig.names),
            pixels=np.stack([project(camera, joints) for camera in stage.rig]),
            **dict(zip(SEEN, found, strict=True)),
        )


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A file that is there whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    yield partial
    os.replace(partial, path)
