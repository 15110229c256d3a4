"""A browser without a window, for pictures of pages: Chromium over its debugging pipe, software WebGL.

Needs Debian's or Ubuntu's package chromium. Nothing is asked of any other machine.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
from queue import Empty, Queue
from typing import Any

PACKAGE = "chromium"
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--hide-scrollbars",
    "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--enable-webgl", "--remote-debugging-pipe",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE localhost , EXCLUDE 127.0.0.1",
)  # fmt: skip
# The browser reads commands from file descriptor 3 and answers on 4.
_WITH_PIPES = 'exec "$0" "$@" 3<&{} 4>&{}'


def program() -> str | None:
    """Chromium on this machine, or None."""
    return next((path for path in map(shutil.which, PROGRAMS) if path), None)


class Chromium:
    """One browser with one page. As a context manager it ends the browser on the way out.

    Raises FileNotFoundError where there is no Chromium, TimeoutError when it does not answer in time.
    """

    def __init__(self, width: int = 1400, height: int = 900, limit_s: float = 60.0) -> None:
        path = program()
        if path is None:
            raise FileNotFoundError(f"no Chromium on the PATH, install it: apt-get install {PACKAGE}")
        self._limit_s, self._last = limit_s, 0
        self._profile = tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True)
        command_read, command_write = os.pipe()
        answer_read, answer_write = os.pipe()
        self._process = subprocess.Popen(
            ["bash", "-c", _WITH_PIPES.format(command_read, answer_write), path, *ARGUMENTS,
             f"--user-data-dir={self._profile.name}", f"--window-size={width},{height}", "about:blank"],
            pass_fds=(command_read, answer_write), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        os.close(command_read)
        os.close(answer_write)
        self._commands = os.fdopen(command_write, "wb", 0)
        self._answers: Queue[dict[str, Any]] = Queue()
        self._events: set[str] = set()
        threading.Thread(target=self._listen, args=(os.fdopen(answer_read, "rb"),), daemon=True).start()
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._call("Emulation.setDeviceMetricsOverride", self._session, **size)
        self._call("Page.enable", self._session)

    def __enter__(self) -> Chromium:
        return self

    def __exit__(self, *_: object) -> None:
        self._commands.close()  # which is how a browser on a pipe is told to end
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, 9)
            self._process.wait()
        self._profile.cleanup()

    def open(self, url: str) -> None:
        """Go to a page and wait until it is loaded."""
        self._events.clear()
        self._call("Page.navigate", self._session, url=url)
        while "Page.loadEventFired" not in self._events:
            self._receive("the loading of a page", time.monotonic() + self._limit_s)

    def screenshot(self) -> bytes:
        """What the page looks like now, as PNG."""
        answer = self._call("Page.captureScreenshot", self._session, format="png")
        return base64.b64decode(answer["data"])

    def _listen(self, answers: Any) -> None:
        buffer = bytearray()
        while data := answers.read1(1 << 16):
            buffer += data
            *whole, rest = buffer.split(b"\0")
            buffer = bytearray(rest)
            for message in whole:
                self._answers.put(json.loads(message))

    def _call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        self._last += 1
        message: dict[str, Any] = {"id": self._last, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        self._commands.write(json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + self._limit_s
        while True:
            answer = self._receive(method, deadline)
            if answer.get("id") == self._last:
                if "error" in answer:
                    raise RuntimeError(f"Chromium refused {method}: {answer['error']['message']}")
                return dict(answer["result"])

    def _receive(self, what: str, deadline: float) -> dict[str, Any]:
        """The next answer or event."""
        try:
            message = self._answers.get(timeout=max(deadline - time.monotonic(), 0.01))
        except Empty:
            raise TimeoutError(f"Chromium did not answer {what} within {self._limit_s:g} s") from None
        self._events.add(message.get("method", ""))
        return message
