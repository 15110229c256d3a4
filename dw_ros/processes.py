"""Children that never outlive us: start several processes, start again those that die, stop them all in good
order."""

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
# A process that dies is started again after a pause, but not for ever.
RESTART_DELAY_S = 1.0
MAX_RESTARTS, RESTARTS_WITHIN_S = 5, 60.0
_PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    """In the child, before exec: the kernel ends it when the parent is gone, even by SIGKILL (Linux)."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class Restarts:
    """How often a process may be started again: MAX_RESTARTS times within RESTARTS_WITHIN_S."""

    def __init__(self) -> None:
        self._at_s: list[float] = []
        self.used_up = False

    def allow(self, now_s: float) -> bool:
        """Whether a process that ended now may be started once more, which then counts."""
        self._at_s = [s for s in self._at_s if now_s - s < RESTARTS_WITHIN_S]
        self.used_up = len(self._at_s) >= MAX_RESTARTS
        if not self.used_up:
            self._at_s.append(now_s)
        return not self.used_up

    def complaint(self) -> str:
        """How often that was, where it was too often."""
        return f", {MAX_RESTARTS + 1} times within {RESTARTS_WITHIN_S:.0f} s" if self.used_up else ""


class _Child:
    """One child: its process, and when it was started again."""

    def __init__(self, name: str, command: Sequence[str], restart: bool) -> None:
        self.name = name
        self._command = list(command)
        self._restart = restart
        self._restarts = Restarts()
        self.due_s: float | None = None  # when a child that died is started again
        self._run()

    def _run(self) -> None:
        preexec = _die_with_parent if sys.platform == "linux" else None
        self.process = subprocess.Popen(self._command, start_new_session=True, preexec_fn=preexec)

    def ended(self) -> bool:
        """Whether it has ended for good: by itself, when it is not to be started again, or too often."""
        code, now_s = self.process.poll(), time.monotonic()
        if code is None:
            return False
        if self.due_s is None:
            if not self._restart or code == EXIT_BAD_INPUT or not self._restarts.allow(now_s):
                return True
            self.due_s = now_s + RESTART_DELAY_S
            print(f"dw: {self.name} ended with code {code} and is started again", file=sys.stderr)
        elif now_s >= self.due_s:
            self.due_s = None
            self._run()
        return False

    def complaint(self) -> str:
        """How it ended, and how often."""
        return f"{self.name} ended with code {self.process.returncode}{self._restarts.complaint()}"


class Processes:
    """A group of child processes. As a context manager it stops them on the way out.

    Children live in sessions of their own, so Ctrl-C in a terminal reaches only us and we pass it on.
    """

    def __init__(self) -> None:
        self._children: list[_Child] = []

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        if self._children:
            self.stop()

    def start(self, name: str, command: Sequence[str], restart: bool = False) -> int:
        """Start a child; its process id. `restart`: when it ends, it is started again, unless it refused its
        input (code 2) or it would be more than MAX_RESTARTS times within RESTARTS_WITHIN_S."""
        self._children.append(_Child(name, command, restart))
        return self._children[-1].process.pid

    def wait(self, duration_s: float | None = None) -> bool:
        """Wait until one child has ended for good (True) or the time is over (False)."""
        deadline = None if duration_s is None else time.monotonic() + duration_s
        while deadline is None or time.monotonic() < deadline:
            if any([child.ended() for child in self._children]):
                return True
            self._pause()
        return False

    def _pause(self) -> None:
        """Until a child may have ended; waiting on one that lives costs no CPU."""
        alive = next((child for child in self._children if child.process.poll() is None), None)
        if alive is None:
            time.sleep(POLL_S)
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            alive.process.wait(POLL_S)

    def stop(self) -> int:
        """SIGTERM to all, then SIGKILL to those that do not listen; the exit code of it all.

        Not SIGINT, which Python answers with a traceback where a process is still importing; SIGTERM ends it
        silently there. 0 when all were running, or about to be started again, and ended well; 2 when one had
        refused its input; else 1, and which process ended how is said on stderr.
        """
        children = [child for child in self._children if child.due_s is None]
        by_itself = [child.process.poll() is not None for child in children]
        for order in (signal.SIGTERM, signal.SIGKILL):
            for child in children:
                if child.process.poll() is None:
                    child.process.send_signal(order)
            deadline = time.monotonic() + GRACE_S
            for child in children:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.process.wait(max(deadline - time.monotonic(), 0.01))
        self._children = []
        if EXIT_BAD_INPUT in [child.process.returncode for child in children]:
            return EXIT_BAD_INPUT
        bad = [
            child.complaint()
            for child, early in zip(children, by_itself, strict=True)
            if child.process.returncode not in (0, -signal.SIGTERM) or early
        ]
        if bad:
            print("dw: " + ", ".join(bad), file=sys.stderr)
        return 1 if bad else 0
