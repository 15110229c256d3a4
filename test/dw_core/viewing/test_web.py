"""`dw view BAG --web` in a real browser: the run is on the picture, in the colours of the body's sides."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from tools.chromium import PACKAGE, Chromium, program

ROOT = Path(__file__).parents[3]
LIMIT_S = 240.0  # software rendering on a shared machine; 10 s on one of its own
SCREENS = ("DISPLAY", "WAYLAND_DISPLAY")

pytestmark = [
    pytest.mark.timeout(2 * LIMIT_S),
    pytest.mark.skipif(sys.version_info < (3, 11), reason="rerun's wheels need Python 3.11"),
    pytest.mark.skipif(
        program() is None and not os.environ.get("CI"), reason=f"no Chromium: apt-get install {PACKAGE}"
    ),
]


def free_port() -> int:
    """A port that is free, as is the one after it."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("", 0))
            port = int(first.getsockname()[1])
            try:
                second.bind(("", port + 1))
            except OSError:
                continue
            return port


@pytest.fixture
def page(make_bag: Callable[..., Path], tmp_path: Path) -> Iterator[str]:
    """The address of the page of a bag, which a real `dw view` serves until it gets SIGINT."""
    log = tmp_path / "log.txt"
    command = [sys.executable, "-m", "dw_core.cli.main", "view", str(make_bag()), "--web"]
    with log.open("w") as file:
        process = subprocess.Popen(
            [*command, "--port", str(free_port())], cwd=ROOT, stdout=file, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + 60
        while not (found := re.search(r"the run is at (\S+);", log.read_text())):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield found[1]
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


def coloured(picture: np.ndarray) -> tuple[int, int]:
    """How many pixels of a screenshot are blue and orange, as the left and right of a body are."""
    hue, saturation, value = np.moveaxis(cv2.cvtColor(picture, cv2.COLOR_BGR2HSV), -1, 0)
    strong = (saturation > 150) & (value > 120)
    left, right = ((strong & (abs(hue.astype(int) - at) <= 5)).sum() for at in (105, 12))
    return int(left), int(right)


def screenshot(browser: Chromium) -> np.ndarray:
    return np.asarray(cv2.imdecode(np.frombuffer(browser.screenshot(), np.uint8), cv2.IMREAD_COLOR))


def look(browser: Chromium, url: str, enough: Callable[[np.ndarray], bool]) -> np.ndarray:
    """Screenshots of a page until one of them is as it should be."""
    browser.open(url)
    deadline = time.monotonic() + LIMIT_S
    while True:
        picture = screenshot(browser)
        if enough(picture):
            return picture
        assert time.monotonic() < deadline, f"not within {LIMIT_S:g} s; colours {coloured(picture)}"
        time.sleep(0.5)


def middle(picture: np.ndarray) -> np.ndarray:
    """Where the world is shown."""
    rows, columns = picture.shape[:2]
    return picture[rows // 10 : 7 * rows // 10, columns // 4 : 3 * columns // 4]


def test_a_browser_shows_the_skeleton_in_the_middle_and_the_views_beside_it(page: str) -> None:
    with Chromium(limit_s=LIMIT_S) as browser:

        def drawn(picture: np.ndarray) -> bool:
            columns = picture.shape[1]
            sides = picture[:, : columns // 6], picture[:, -columns // 6 :]
            return all(min(coloured(part)) > 30 for part in (middle(picture), *sides))

        full = look(browser, page, drawn)
        # the same viewer, told of no data: it is up (not blank), and has nothing of the run
        empty = look(browser, page.partition("?")[0], lambda picture: len(np.unique(picture)) > 20)
    assert min(coloured(middle(full))) > 30
    assert max(coloured(middle(empty))) < 10
    assert (cv2.absdiff(full, empty).max(-1) > 40).mean() > 0.2
