"""dw_core stands alone: no ROS anywhere in it, and no torch until somebody asks for a Warper."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "dw_core").rglob("*.py"))
# The Warpers as they are trained are torch modules, as are the paper's 2D network and the second run time.
NEEDS_TORCH = {f"dw_core.fusion.{name}" for name in ("fast_warper", "paper_warper", "torch_weights")}
NEEDS_TORCH |= {"dw_core.backends.simple_baseline"}
NEEDS_TORCH |= {f"dw_core.benchmarks.{name}" for name in ("gpu", "gpu_parity", "gpu_scene")}
NEEDS_TORCH |= {f"dw_core.tensor.{path.stem}" for path in ROOT.glob("dw_core/tensor/[!_]*.py")}
NEEDS_TORCH |= {f"dw_core.training.{path.stem}" for path in ROOT.glob("dw_core/training/[!_]*.py")}
# The rerun viewer is optional.
NEEDS_RERUN = {f"dw_core.viewing.{name}" for name in ("layout", "recording", "sinks")}
ROS = ("rclpy", "rcl_interfaces", "rosidl_runtime_py", "ament_index_python", "builtin_interfaces", "dw_ros")


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(source: str) -> Iterator[str]:
    """Every module that is imported anywhere in a source, also inside of functions."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")


def is_ros(module: str) -> bool:
    package = module.partition(".")[0]
    return package in ROS or package.endswith(("_msgs", "_srvs"))


def test_imports_are_found_wherever_they_stand() -> None:
    source = "import a.b, c\ndef f():\n    from d.e import g\n    from . import h\n"
    assert list(imports(source)) == ["a.b", "c", "d.e", "."]
    assert is_ros("sensor_msgs.msg") and is_ros("dw_ros.qos") and is_ros("std_srvs") and is_ros("rclpy")
    assert not is_ros("rosbags.typesys") and not is_ros("dw_core.data.messages")


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_dw_core_imports_no_ros(path: Path) -> None:
    assert [module for module in imports(path.read_text()) if is_ros(module)] == []


def test_only_the_command_imports_training() -> None:
    """What runs does not depend on what trains."""
    others = [path for path in FILES if not module_name(path).startswith("dw_core.training")]
    others += sorted((ROOT / "dw_ros").rglob("*.py"))
    found = {
        str(path.relative_to(ROOT)) for path in others
        if any(name.startswith("dw_core.training") for name in imports(path.read_text()))
    }  # fmt: skip
    assert found == {"dw_core/cli/train.py"}


def test_all_of_dw_core_loads_without_torch_and_without_ros() -> None:
    """In a process of its own, which has imported nothing yet."""
    names = [module_name(path) for path in FILES if module_name(path) not in NEEDS_TORCH | NEEDS_RERUN]
    assert "dw_core.pipeline" in names and "dw_core.fusion.warper" in names
    script = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]: importlib.import_module(name)\n"
        "print(*sorted({module.partition('.')[0] for module in sys.modules}))"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, *names], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr
    loaded = set(result.stdout.split())
    assert "dw_core" in loaded and "numpy" in loaded
    assert {name for name in loaded if name in ("torch", "torchvision", "rerun") or is_ros(name)} == set()
