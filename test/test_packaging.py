"""The package as it is installed: one version, and the right files in the right places."""

from __future__ import annotations

import ast
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from catkin_pkg.package import parse_package

ROOT = Path(__file__).parent.parent
PREFIX = Path(sys.prefix)
SITE = PREFIX / f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
NODES = sorted(path.stem for path in (ROOT / "dw_ros/nodes").glob("[!_]*.py"))
MESSAGES = sorted(path.stem for path in (ROOT / "msg").glob("*.msg"))


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A real process, with its output as text; not a part of the make that may have started the tests."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, env=environment)


def sources(package: str) -> list[Path]:
    return sorted(path.relative_to(ROOT) for path in (ROOT / package).rglob("*.py"))


def imported_packages(source: str) -> set[str]:
    """Top-level names of all absolute imports, wherever in the module they stand."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(str(node.module).partition(".")[0])
    return names


def test_package_xml_is_valid_and_names_what_the_messages_use() -> None:
    warnings: list[str] = []
    package = parse_package(str(ROOT / "package.xml"), warnings=warnings)
    package.validate(warnings=warnings)
    assert warnings == []
    assert [group.name for group in package.member_of_groups] == ["rosidl_interface_packages"]
    text = "\n".join((ROOT / f"msg/{name}.msg").read_text() for name in MESSAGES)
    used = set(re.findall(r"^(\w+)/\w+", text, flags=re.MULTILINE))
    assert used <= {dependency.name for dependency in package.build_depends}


def test_setup_py_has_the_version_of_package_xml_and_every_node(tmp_path: Path) -> None:
    version = parse_package(str(ROOT / "package.xml")).version
    result = run(sys.executable, "setup.py", "-q", "egg_info", "--egg-base", tmp_path, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    info = tmp_path / "dw_ros.egg-info"
    assert f"\nVersion: {version}\n" in (info / "PKG-INFO").read_text()
    scripts = (info / "entry_points.txt").read_text()
    assert "dw = dw_core.cli.main:main" in scripts
    for node in NODES:
        assert f"dw-{node.replace('_', '-')} = dw_ros.nodes.{node}:main" in scripts


@pytest.mark.parametrize("file", sorted((ROOT / "requirements").glob("*.txt")), ids=lambda file: file.name)
def test_requirements_are_exact_pins(file: Path) -> None:
    lines = [line for line in file.read_text().splitlines() if line and not line.startswith("#")]
    marker = r'python_version [<>]=? "3\.11"|sys_platform != "linux" or platform_machine == "x86_64"'
    pattern = re.compile(rf"[a-z0-9.-]+(\[[a-z]+\])?==[0-9][0-9a-z.]*(; ({marker}))?")
    assert lines and [line for line in lines if not pattern.fullmatch(line)] == []
    names = {re.split(r"[=\[]", line)[0] for line in lines}
    assert "launch" not in names, "launch on PyPI is not the launch of ROS"
    assert ("torch" in names) == (file.name in ("train.txt", "bake.txt"))


@pytest.mark.parametrize("path", [*sources("dw_core"), *sources("dw_ros")], ids=str)
def test_installed_source_is_this_source(path: Path) -> None:
    assert (SITE / path).read_bytes() == (ROOT / path).read_bytes(), "run `make build`"


@pytest.mark.parametrize("cwd", [ROOT, Path("/")], ids=["source tree", "elsewhere"])
def test_every_message_loads_its_libraries(cwd: Path) -> None:
    script = "import sys, dw_ros.msg\nfrom rclpy.serialization import serialize_message as s\n"
    script += "print(*(len(s(getattr(dw_ros.msg, name)())) for name in sys.argv[1:]))"
    result = run(sys.executable, "-c", script, *MESSAGES, cwd=cwd)
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.split()) == len(MESSAGES) > 0


@pytest.mark.parametrize("node", NODES)
def test_every_node_has_a_main_and_a_launcher_with_this_interpreter(node: str) -> None:
    assert callable(importlib.import_module(f"dw_ros.nodes.{node}").main)
    launcher = PREFIX / "lib/dw_ros" / node
    assert launcher.stat().st_mode & 0o111
    interpreter = Path(launcher.read_text().splitlines()[0].removeprefix("#!"))
    assert interpreter.parent == PREFIX / "bin"


def test_launch_files_and_parameters_are_installed() -> None:
    for folder in ("launch", "config"):
        here = {path.relative_to(ROOT) for path in (ROOT / folder).rglob("*") if path.is_file()}
        here = {path for path in here if "__pycache__" not in path.parts}
        assert here and all((PREFIX / "share/dw_ros" / path).is_file() for path in here)


def test_dw_help_names_every_command_and_imports_nothing_heavy() -> None:
    result = run(sys.executable, "-X", "importtime", PREFIX / "bin/dw", "--help", cwd=Path("/"))
    assert result.returncode == 0
    assert all(command in result.stdout for command in ("doctor", "fetch", "up", "demo"))
    imported = set(re.findall(r"\|\s+(\w+)$", result.stderr, flags=re.MULTILINE))
    assert "dw_core" in imported
    assert imported & {"numpy", "cv2", "rclpy", "torch", "onnxruntime", "dw_ros"} == set()


def test_unknown_command_lists_the_known_ones() -> None:
    result = run(PREFIX / "bin/dw", "no-such-command", cwd=Path("/"))
    assert result.returncode == 2
    assert "'no-such-command' (choose from" in result.stderr


def test_without_ros_a_ros_command_says_what_installs_it() -> None:
    hide = "import sys; sys.modules['rclpy'] = None; sys.argv = ['dw', 'up', '--help']\n"
    script = hide + "from dw_core.cli.main import main; sys.exit(main())"
    result = run(sys.executable, "-c", script, cwd=ROOT)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("dw: up needs ROS 2") and "make build" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        ("dw_core.errors.MediaError('no video')", 2, "dw: no video\n"),
        ("KeyboardInterrupt()", 130, ""),
    ],
)
def test_bad_input_and_interrupts_end_without_a_trace(raised: str, code: int, said: str) -> None:
    script = f"""
import sys, dw_core.errors
from dw_core.cli import doctor, main
def run(args): raise {raised}
doctor.run = run
sys.exit(main.main(["doctor"]))
"""
    result = run(sys.executable, "-c", script, cwd=ROOT)
    assert (result.returncode, result.stderr) == (code, said)


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    return run("make", *arguments, cwd=ROOT)


def test_make_without_a_goal_lists_the_goals() -> None:
    result = make()
    assert result.returncode == 0
    assert all(f"make {goal} " in result.stdout for goal in ("build", "demo", "test", "clean"))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["CXX=no-such-c++"], "no C and C++ compiler on the PATH, mend it with: sudo apt install g++"),
        (["PYTHON=no-such-python"], "no-such-python is not a Python 3.10 to 3.13"),
        (["ROS_DISTRO=melodic"], "ROS_DISTRO is 'melodic', but there are wheels for jazzy and kilted only"),
    ],
)
def test_make_build_stops_with_one_sentence(tmp_path: Path, arguments: list[str], sentence: str) -> None:
    result = make("build", f"VENV={tmp_path}/venv", f"BUILD={tmp_path}/build", *arguments)
    assert result.returncode == 2
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr and not (tmp_path / "venv").exists()


def test_make_build_has_nothing_to_do_after_itself() -> None:
    result = make("build", "ROS_DISTRO=jazzy")
    assert (result.returncode, result.stdout) == (0, "ready: .venv/bin/dw\n")
