"""`dw doctor` as a user meets it: a real process on a machine with something taken away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dw_core.cli import doctor


def run_doctor(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dw_core.cli.main", "doctor", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=os.environ | environment)


def findings(*arguments: str, **environment: str) -> dict[str, Any]:
    """The checks by name."""
    report = json.loads(run_doctor("--json", *arguments, **environment).stdout)
    return {check["name"]: check for check in report["checks"]}


def test_this_environment_has_what_the_build_made() -> None:
    checks = findings()
    for name in ("Python", "compiler", "Python headers", "Python packages", "ROS", "messages", "discovery"):
        assert checks[name]["state"] == "ok", checks[name]
    assert checks["ROS"]["detail"].startswith(("jazzy", "kilted"))
    assert sys.prefix in checks["messages"]["detail"]


def test_text_and_json_say_the_same_and_agree_with_the_exit_code() -> None:
    text, machine = run_doctor(), run_doctor("--json")
    report = json.loads(machine.stdout)
    lines = text.stdout.splitlines()
    assert [line.split()[0] for line in lines] == [check["state"] for check in report["checks"]]
    complete = all(check["state"] != "missing" for check in report["checks"])
    assert report["ok"] == complete
    assert text.returncode == machine.returncode == (0 if complete else 1)


def test_without_a_path_the_compiler_is_missing_and_the_line_says_what_installs_it(tmp_path: Path) -> None:
    result = run_doctor(PATH=str(tmp_path))
    assert result.returncode == 1
    line = next(line for line in result.stdout.splitlines() if " compiler " in line)
    assert line.startswith("missing") and line.endswith("-> sudo apt install g++")


def test_a_compiler_named_in_the_environment_is_the_one_that_counts(tmp_path: Path) -> None:
    own = tmp_path / "own-c++"
    own.write_text("#!/bin/sh\n")
    own.chmod(0o755)
    assert str(own) in findings(CXX=str(own))["compiler"]["detail"]
    assert findings(CXX=f"{own}-absent")["compiler"]["state"] == "missing"


@pytest.mark.parametrize("domain", ["-1", "102", "five"])
def test_impossible_domain_is_refused_with_an_example(domain: str) -> None:
    check = findings(ROS_DOMAIN_ID=domain)["discovery"]
    assert check["state"] == "missing"
    assert domain in check["detail"] and "export ROS_DOMAIN_ID=" in check["remedy"]


def test_discovery_shows_range_and_domain() -> None:
    check = findings(ROS_DOMAIN_ID="42", ROS_AUTOMATIC_DISCOVERY_RANGE="LOCALHOST")["discovery"]
    assert check["state"] == "ok"
    assert "LOCALHOST" in check["detail"] and "42" in check["detail"]


def test_a_gpu_is_named_when_the_driver_answers(tmp_path: Path) -> None:
    driver = tmp_path / "nvidia-smi"
    driver.write_text("#!/bin/sh\necho Test GPU\n")
    driver.chmod(0o755)
    assert findings(PATH=str(tmp_path))["GPU"]["detail"].startswith("Test GPU")
    driver.write_text("#!/bin/sh\nexit 9\n")
    assert findings(PATH=str(tmp_path))["GPU"]["state"] == "optional"


def test_no_screen_is_optional() -> None:
    assert findings(DISPLAY="", WAYLAND_DISPLAY="")["RViz"]["state"] == "optional"


def test_shared_memory_that_is_absent_is_optional_with_a_remedy(tmp_path: Path) -> None:
    check = doctor.shared_memory(tmp_path / "absent")
    assert check.state == "optional" and str(tmp_path / "absent") in check.remedy
    assert doctor.shared_memory(tmp_path).state == "ok"


def test_without_ros_the_remedy_is_one_command() -> None:
    """The interpreter without this environment's packages: what a user meets before `make build`."""
    command = [sys.executable, "-I", "-S", "-c"]
    script = f"import sys; sys.path.insert(0, {str(Path.cwd())!r}); from dw_core.cli.main import main; "
    script += "sys.exit(main(['doctor']))"
    result = subprocess.run([*command, script], capture_output=True, text=True, timeout=60)
    assert result.returncode == 1
    states = {line[10:25].strip(): line for line in result.stdout.splitlines()}
    assert states["ROS"].startswith("missing") and "make build" in states["ROS"]
    assert states["messages"].startswith("missing")
    assert "Traceback" not in result.stderr


def test_build_check_is_one_sentence_or_nothing(tmp_path: Path) -> None:
    fine, broken = run_doctor("--build"), run_doctor("--build", PATH=str(tmp_path))
    assert (fine.returncode, fine.stdout, fine.stderr) == (0, "", "")
    assert broken.returncode == 2
    assert broken.stderr.startswith("dw: compiler") and len(broken.stderr.splitlines()) == 1


def test_a_reader_that_leaves_causes_no_trace() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "dw_core.cli.main", "doctor"]
    result = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(writer)
    assert (result.returncode, result.stderr) == (141, "")
