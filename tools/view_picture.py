"""A picture of `dw view`: a bag in the web viewer, in a browser without a window.

python -m tools.view_picture out/demo/bag docs/images/view.png
"""

from __future__ import annotations

import argparse
import io
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from tools.chromium import Chromium

ROOT = Path(__file__).parents[1]
Picture = npt.NDArray[np.uint8]
# Software rendering on a shared machine; some 10 s on one of its own.
LIMIT_S = 240.0
SERVE_LIMIT_S = 120.0
# Hues, of 180, of what is drawn of the left and of the right of a body.
LEFT, RIGHT, HUE_RANGE = 105, 12, 5
# Pictures of the documents: this many colours, and the best of so many looks.
COLOURS, LOOKS = 255, 12


@contextmanager
def served(bag: Path) -> Iterator[str]:
    """The address of a bag's page, which a real `dw view` serves meanwhile. Raises RuntimeError with its
    output when it does not, or does not end well on Ctrl-C."""
    command = [
        sys.executable,
        "-m",
        "dw_core.cli.main",
        "view",
        str(bag),
        "--web",
        "--port",
        str(_free_port()),
    ]
    with tempfile.NamedTemporaryFile("r") as log, open(log.name, "w") as file:
        process = subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT)
        try:
            deadline = time.monotonic() + SERVE_LIMIT_S
            while not (found := re.search(r"the run is at (\S+);", Path(log.name).read_text())):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"dw view does not serve {bag}: {Path(log.name).read_text()}")
                time.sleep(0.1)
            yield found[1]
            process.send_signal(signal.SIGINT)
            if process.wait(20) != 0:
                raise RuntimeError(f"dw view ended with {process.returncode}: {Path(log.name).read_text()}")
        finally:
            process.kill()
            process.wait()


def _free_port() -> int:
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


def coloured(picture: Picture) -> tuple[int, int]:
    """How many pixels of a picture are blue and orange, as the left and the right of a body are."""
    hue, saturation, value = np.moveaxis(cv2.cvtColor(picture, cv2.COLOR_BGR2HSV), -1, 0)
    strong = (saturation > 150) & (value > 120)
    left, right = ((strong & (abs(hue.astype(int) - at) <= HUE_RANGE)).sum() for at in (LEFT, RIGHT))
    return int(left), int(right)


def middle(picture: Picture) -> Picture:
    """Where the world is shown."""
    rows, columns = picture.shape[:2]
    return picture[rows // 10 : 7 * rows // 10, columns // 4 : 3 * columns // 4]


def shows_a_run(picture: Picture) -> bool:
    """Whether somebody is in the middle, and in the views at either side."""
    columns = picture.shape[1]
    sides = picture[:, : columns // 6], picture[:, -columns // 6 :]
    return all(min(coloured(part)) > 30 for part in (middle(picture), *sides))


def screenshot(browser: Chromium) -> Picture:
    """What the page looks like now, BGR."""
    return np.asarray(cv2.imdecode(np.frombuffer(browser.screenshot(), np.uint8), cv2.IMREAD_COLOR))


def look(browser: Chromium, enough: Callable[[Picture], bool]) -> Picture:
    """Screenshots of the page until one of them is as it should be. Raises TimeoutError."""
    deadline = time.monotonic() + LIMIT_S
    while True:
        picture = screenshot(browser)
        if enough(picture):
            return picture
        if time.monotonic() > deadline:
            raise TimeoutError(
                f"not within {LIMIT_S:g} s; colours in the middle: {coloured(middle(picture))}"
            )
        time.sleep(0.5)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bag", type=Path)
    parser.add_argument("picture", type=Path, help="PNG to write")
    args = parser.parse_args()
    with served(args.bag) as url, Chromium(limit_s=LIMIT_S) as browser:
        browser.open(url)
        pictures = [look(browser, shows_a_run) for _ in range(LOOKS)]
    # images still being decoded are black: the picture with most in it has them all
    best = max(pictures, key=lambda one: len(np.unique(one.reshape(-1, 3), axis=0)))
    buffer = io.BytesIO()
    Image.fromarray(best[..., ::-1]).quantize(COLOURS).save(buffer, "PNG", optimize=True)
    args.picture.write_bytes(buffer.getvalue())
    print(f"{args.picture}: {len(buffer.getvalue()) // 1000} kB")


if __name__ == "__main__":
    main()
