"""`dw doctor`: what this machine has, what it lacks, and the command that mends it.

Also asked by `make build` before anything is installed, so this module needs the standard library only.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from dw_core.errors import ConfigError

OK, MISSING, OPTIONAL = "ok", "missing", "optional"

PYTHON_VERSIONS = ((3, 10), (3, 13))
"""First and last version that the ROS wheels and every pinned wheel are built for."""

DISTRO_OF_RCLPY = {"7": "jazzy", "9": "kilted"}
"""Distribution by the major version of rclpy."""

MODULES = (
    "numpy", "scipy", "cv2", "onnxruntime", "onnx", "safetensors", "yaml", "rosbags", "matplotlib", "tqdm",
)  # fmt: skip
"""What requirements/base.txt installs, as Python imports it."""

SHARED_MEMORY_MIB = 64
"""Room for the segments of a dozen Fast DDS participants with 0.3 MB heatmaps."""

LAST_DOMAIN = 101
"""Highest ROS domain id whose ports lie outside Linux's ephemeral range."""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. `state`: ok, missing (needed), or optional (absent, can do without)."""

    name: str
    state: str
    detail: str
    remedy: str = ""


def _needed(name: str, present: bool, detail: str, remedy: str) -> Check:
    return Check(name, OK, detail) if present else Check(name, MISSING, detail, remedy)


def _wanted(name: str, present: bool, detail: str, remedy: str) -> Check:
    return Check(name, OK, detail) if present else Check(name, OPTIONAL, detail, remedy)


def python() -> Check:
    """An interpreter that there are wheels for."""
    first, last = PYTHON_VERSIONS
    present = first <= sys.version_info[:2] <= last
    wanted = "" if present else f"; {first[0]}.{first[1]} to {last[0]}.{last[1]} is needed"
    detail = f"{platform.python_version()} at {sys.executable}{wanted}"
    return _needed("Python", present, detail, "make build PYTHON=python3.11")


def platform_() -> Check:
    """Linux on x86_64: the ROS wheels exist for nothing else (a distribution is not bound to it)."""
    here = f"{platform.system()} {platform.machine()}"
    present = here == "Linux x86_64" or _installed("rclpy")
    detail = here if present else f"{here}; the ROS wheels are for Linux x86_64 only"
    return _needed("platform", present, detail, "use a ROS distribution and colcon build")


def compiler() -> Check:
    """A C and a C++ compiler, as CMake would find them; needed to build the messages."""
    found = [_first_program(os.environ.get("CC"), "cc", "gcc", "clang")]
    found += [_first_program(os.environ.get("CXX"), "c++", "g++", "clang++")]
    present = all(found)
    detail = " and ".join(map(str, found)) if present else "no C and C++ compiler on the PATH"
    return _needed("compiler", present, detail, "sudo apt install g++")


def _first_program(chosen: str | None, *usual: str) -> str | None:
    candidates = [chosen] if chosen else usual
    return next((path for path in map(shutil.which, candidates) if path), None)


def python_headers() -> Check:
    """Python.h of this interpreter; needed to build the messages."""
    header = Path(sysconfig.get_paths()["include"], "Python.h")
    present = header.is_file()
    detail = str(header) if present else f"no {header}"
    return _needed("Python headers", present, detail, "sudo apt install python3-dev")


def venv_module() -> Check:
    """The standard library's venv with pip, which Debian and Ubuntu ship apart."""
    present = _installed("venv") and _installed("ensurepip")
    detail = "venv and ensurepip" if present else "this Python cannot make environments"
    return _needed("venv", present, detail, "sudo apt install python3-venv")


def packages() -> Check:
    """The Python packages of requirements/base.txt."""
    absent = [name for name in MODULES if not _installed(name)]
    detail = f"no {', '.join(absent)}" if absent else f"{len(MODULES)} of {len(MODULES)}"
    remedy = "make build, or pip install -r requirements/base.txt"
    return _needed("Python packages", not absent, detail, remedy)


def ros() -> Check:
    """rclpy, of which distribution and from where."""
    spec = importlib.util.find_spec("rclpy")
    if spec is None or spec.origin is None:
        return Check("ROS", MISSING, "no rclpy", "make build, or source /opt/ros/jazzy/setup.bash")
    origin = Path(spec.origin)
    wheels = origin.is_relative_to(sys.prefix)
    place = f"wheels in {sys.prefix}" if wheels else f"distribution, {origin.parent}"
    return Check("ROS", OK, f"{distribution()}, {place}")


def distribution() -> str:
    """Name of the ROS distribution in use: what was sourced, or what the wheels were made from."""
    spec = importlib.util.find_spec("rclpy")
    sourced = os.environ.get("ROS_DISTRO")
    if sourced and spec is not None and not Path(str(spec.origin)).is_relative_to(sys.prefix):
        return sourced
    try:
        version = metadata.version("rclpy")
    except metadata.PackageNotFoundError:
        return "unknown distribution"
    return DISTRO_OF_RCLPY.get(version.partition(".")[0], f"rclpy {version}")


def messages() -> Check:
    """The generated messages, with the libraries behind them."""
    remedy = "make build, or colcon build in a workspace"
    try:
        generated = importlib.import_module("dw_ros.msg")
        importlib.import_module("rosidl_generator_py").import_type_support("dw_ros")
    except Exception as error:  # whatever a broken build raises is the finding
        return Check("messages", MISSING, f"dw_ros.msg does not load ({error})", remedy)
    return Check("messages", OK, str(Path(str(generated.__file__)).parent))


def assets() -> list[Check]:
    """Footage and weights, as dw_core.data.assets knows them."""
    try:
        status = importlib.import_module("dw_core.data.assets").status()
    except ModuleNotFoundError as error:
        absent = f"cannot look: no Python module {error.name}"
        return [Check("footage and weights", MISSING, absent, "make build")]
    return [_needed(item.name, item.present, f"{item.detail}, {item.path}", "dw fetch") for item in status]


def gpu() -> Check:
    """An NVIDIA driver that answers; torch is asked for its version only, never imported."""
    program = shutil.which("nvidia-smi")
    query = [program or "", "--query-gpu=name", "--format=csv,noheader"]
    answer = subprocess.run(query, capture_output=True, text=True) if program else None
    if answer is None or answer.returncode:
        return Check("GPU", OPTIONAL, "none; the pipeline runs on the CPU", "install the NVIDIA driver")
    torch = f"torch {metadata.version('torch')}" if _installed("torch") else "no torch"
    return Check("GPU", OK, "; ".join([*answer.stdout.splitlines(), torch]))


def shared_memory(folder: Path = Path("/dev/shm")) -> Check:
    """Room for Fast DDS's shared-memory transport; without it messages go over loopback."""
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        absent = f"{folder} is absent or read-only"
        return Check("shared memory", OPTIONAL, absent, f"sudo mount -t tmpfs tmpfs {folder}")
    free = shutil.disk_usage(folder).free >> 20
    remedy = f"more room in {folder} (docker run --shm-size=256m)"
    return _wanted("shared memory", free >= SHARED_MEMORY_MIB, f"{free} MiB free in {folder}", remedy)


def display() -> Check:
    """A screen and RViz to look at the skeletons with."""
    screen = os.environ.get("WAYLAND_DISPLAY") or os.environ.get("DISPLAY")
    viewer = shutil.which("rviz2")
    detail = f"{'display ' + screen if screen else 'no display'}, {viewer or 'no rviz2'}"
    remedy = "sudo apt install ros-jazzy-rviz2 (in a distribution)"
    return _wanted("RViz", bool(screen and viewer), detail, remedy)


def rerun() -> Check:
    """The viewer of `dw view`."""
    present = _installed("rerun")
    detail = f"rerun {metadata.version('rerun-sdk')}" if present else "no rerun"
    return _wanted("rerun", present, detail, "make view, or pip install -r requirements/view.txt")


def discovery() -> Check:
    """Who would see our topics: the discovery range and the domain."""
    reach = os.environ.get("ROS_AUTOMATIC_DISCOVERY_RANGE") or "SUBNET (the default)"
    domain = os.environ.get("ROS_DOMAIN_ID") or "0 (the default)"
    detail = f"ROS_AUTOMATIC_DISCOVERY_RANGE {reach}, ROS_DOMAIN_ID {domain}"
    number = domain.partition(" ")[0]
    valid = number.isdecimal() and int(number) <= LAST_DOMAIN
    remedy = f"export ROS_DOMAIN_ID=42 (0 to {LAST_DOMAIN})"
    return _needed("discovery", valid, detail, remedy)


def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def build_checks() -> list[Check]:
    """What `make build` needs before it starts."""
    return [platform_(), python(), venv_module(), compiler(), python_headers()]


def all_checks() -> list[Check]:
    """Everything, needed things first."""
    needed = [python(), compiler(), python_headers(), packages(), ros(), messages(), *assets(), discovery()]
    return [*needed, shared_memory(), gpu(), display(), rerun()]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    parser.add_argument("--build", action="store_true", help="look only at what `make build` needs to start")


def run(args: argparse.Namespace) -> int:
    """Print the findings; 0 if everything needed is there, else 1. --build raises ConfigError instead."""
    if args.build:
        return _run_build()
    checks = all_checks()
    complete = all(check.state != MISSING for check in checks)
    if args.json:
        report = {"ok": complete, "checks": [dataclasses.asdict(check) for check in checks]}
        print(json.dumps(report, indent=2))
    else:
        width = max(len(check.name) for check in checks)
        for check in checks:
            remedy = f"  -> {check.remedy}" if check.remedy else ""
            print(f"{check.state:<8}  {check.name:<{width}}  {check.detail}{remedy}")
    return 0 if complete else 1


def _run_build() -> int:
    absent = [check for check in build_checks() if check.state == MISSING]
    if absent:
        findings = (f"{check.name}: {check.detail}, mend it with: {check.remedy}" for check in absent)
        raise ConfigError("; ".join(findings))
    return 0
