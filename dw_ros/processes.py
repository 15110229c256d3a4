"""Children that never outlive us: start several processes, stop them all in good order."""

from __future__ import annotations

import contextlib
import ctypes
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from dw_core.errors import EXIT_BAD_INPUT

GRACE_S = 5.0
POLL_S = 0.05
_PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    """In the child, before exec: the kernel ends it when the parent is gone, even by SIGKILL (Linux)."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class Processes:
    """A group of child processes. As a context manager it stops them on the way out.

    Children live in sessions of their own, so Ctrl-C in a terminal reaches only us and we pass it on.
    """

    def __init__(self) -> None:
        self._children: list[subprocess.Popen[bytes]] = []
        self._names: list[str] = []

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        if self._children:
            self.stop()

    def start(self, name: str, command: Sequence[str]) -> int:
        """Start a child; its process id."""
        preexec = _die_with_parent if sys.platform == "linux" else None
        child = subprocess.Popen(list(command), start_new_session=True, preexec_fn=preexec)
        self._children.append(child)
        self._names.append(name)
        return child.pid

    def wait(self, duration_s: float | None = None) -> bool:
        """Wait until one child ends by itself (True) or the time is over (False)."""
        deadline = None if duration_s is None else time.monotonic() + duration_s
        while deadline is None or time.monotonic() < deadline:
            if any(child.poll() is not None for child in self._children):
                return True
            self._pause()
        return False

    def _pause(self) -> None:
        """Until a child may have ended; waiting on the first costs no CPU."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._children[0].wait(POLL_S)

    def stop(self) -> int:
        """SIGINT to all, then SIGTERM, then SIGKILL to those that do not listen; the exit code of it all.

        0 when all were running and ended well; 2 when one had refused its input; else 1, and which
        process ended how is said on stderr.
        """
        by_itself = [child.poll() is not None for child in self._children]
        for order in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            for child in self._children:
                if child.poll() is None:
                    child.send_signal(order)
            deadline = time.monotonic() + GRACE_S
            for child in self._children:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(max(deadline - time.monotonic(), 0.01))
        codes = [child.returncode for child in self._children]
        self._children = []
        if EXIT_BAD_INPUT in codes:
            return EXIT_BAD_INPUT
        bad = [
            f"{name} ended with code {code}"
            for name, code, early in zip(self._names, codes, by_itself, strict=True)
            if code != 0 or early
        ]
        if bad:
            print("dw: " + ", ".join(bad), file=sys.stderr)
        return 1 if bad else 0
