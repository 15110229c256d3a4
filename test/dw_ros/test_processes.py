"""Children end with us, however we end, and their ends are reported."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dw_ros.processes import MAX_RESTARTS, RESTARTS_WITHIN_S, Processes, Restarts

WAITS = [sys.executable, "-c", "import signal,sys; signal.signal(15, lambda *_: sys.exit(0)); signal.pause()"]


def fails(code: int) -> list[str]:
    return [sys.executable, "-c", f"raise SystemExit({code})"]


def until(condition: Callable[[], bool], limit_s: float = 10.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline
        os.sched_yield()


def test_children_that_end_well_when_asked_give_zero(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    waits = [*WAITS[:2], f"open({str(ready)!r}, 'w'); {WAITS[2]}"]
    with Processes() as processes:
        processes.start("waits", waits)
        until(ready.exists)
        assert not processes.wait(0.2)
        assert processes.stop() == 0


def test_a_child_that_does_not_listen_yet_ends_silently(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A node that is still importing."""
    ready = tmp_path / "ready"
    with Processes() as processes:
        code = f"import signal; open({str(ready)!r}, 'w'); signal.pause()"
        processes.start("/dw/node", [sys.executable, "-c", code])
        until(ready.exists)
        assert processes.stop() == 0
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("code", "expected"), [(2, 2), (1, 1), (0, 1), (-9, 1)])
def test_a_child_that_ends_by_itself_is_reported(
    code: int, expected: int, capfd: pytest.CaptureFixture[str]
) -> None:
    command = fails(code) if code >= 0 else [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]
    with Processes() as processes:
        processes.start("/dw/node", command)
        assert processes.wait(20)
        assert processes.stop() == expected
    said = capfd.readouterr().err
    assert (f"/dw/node ended with code {code}" in said) == (expected == 1)


def test_a_child_that_does_not_listen_is_ended_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dw_ros.processes.GRACE_S", 0.3)
    ready = tmp_path / "ready"
    deaf = "import signal; signal.signal(2, signal.SIG_IGN); signal.signal(15, signal.SIG_IGN)"
    with Processes() as processes:
        processes.start("deaf", [sys.executable, "-c", f"{deaf}; open({str(ready)!r}, 'w'); signal.pause()"])
        until(ready.exists)
        assert processes.stop() == 1


def test_a_child_that_dies_is_started_again_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("dw_ros.processes.RESTART_DELAY_S", 0.05)
    first, second = tmp_path / "first", tmp_path / "second"
    code = f"import os, pathlib; first = pathlib.Path({str(first)!r})\n"
    code += "if not first.exists(): first.touch(); os.kill(os.getpid(), 9)\n"
    code += f"pathlib.Path({str(second)!r}).touch(); {WAITS[2]}"
    with Processes() as processes:
        processes.start("/dw/node", [*WAITS[:2], code], restart=True)
        deadline = time.monotonic() + 20
        while not second.exists():
            assert time.monotonic() < deadline and not processes.wait(0.05)
        assert processes.stop() == 0
    assert "/dw/node ended with code -9 and is started again" in capfd.readouterr().err


def test_a_child_that_dies_too_often_is_given_up(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("dw_ros.processes.RESTART_DELAY_S", 0.01)
    monkeypatch.setattr("dw_ros.processes.MAX_RESTARTS", 2)
    with Processes() as processes:
        processes.start("/dw/node", fails(3), restart=True)
        assert processes.wait(20)
        assert processes.stop() == 1
    said = capfd.readouterr().err
    assert said.count("is started again") == 2
    assert "/dw/node ended with code 3, 3 times within 60 s" in said


def test_restarts_are_counted_within_a_minute() -> None:
    restarts = Restarts()
    assert all(restarts.allow(10.0 * k) for k in range(MAX_RESTARTS))
    assert restarts.complaint() == ""
    assert not restarts.allow(RESTARTS_WITHIN_S - 1) and not restarts.allow(RESTARTS_WITHIN_S - 0.5)
    assert restarts.complaint() == f", {MAX_RESTARTS + 1} times within 60 s"
    assert restarts.allow(RESTARTS_WITHIN_S + 1), "the first is forgotten"
    assert not restarts.allow(RESTARTS_WITHIN_S + 2)


def test_a_child_that_refused_its_input_is_not_started_again() -> None:
    with Processes() as processes:
        processes.start("/dw/node", fails(2), restart=True)
        assert processes.wait(20)
        assert processes.stop() == 2


def test_children_die_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    child = f"import os,signal; open({str(file)!r}, 'w').write(str(os.getpid())); signal.pause()"
    parent = (
        "import sys; from dw_ros.processes import Processes; p = Processes(); "
        f"p.start('child', [sys.executable, '-c', {child!r}]); p.wait()"
    )
    process = subprocess.Popen([sys.executable, "-c", parent], cwd=Path(__file__).parents[2])
    until(lambda: file.exists() and file.read_text() != "")
    pid = int(file.read_text())
    process.send_signal(signal.SIGKILL)
    process.wait()
    until(lambda: not alive(pid))
    assert not alive(pid)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
