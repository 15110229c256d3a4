"""For `pip install .` alone; `make build` and `colcon build` use CMakeLists.txt, which adds the messages."""

from pathlib import Path
from xml.etree import ElementTree

from setuptools import find_packages, setup

HERE = Path(__file__).parent
NODES = sorted(file.stem for file in (HERE / "dw_ros/nodes").glob("[!_]*.py"))  # one file per node


def requirements(name: str) -> list[str]:
    """The pinned lines of requirements/<name>.txt."""
    lines = (HERE / "requirements" / f"{name}.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


setup(
    name="dw_ros",
    version=ElementTree.parse(HERE / "package.xml").findtext("version"),
    description="Live 3D human skeletons from staggered cameras, over ROS 2",
    license="Apache-2.0",
    python_requires=">=3.10,<3.14",
    packages=find_packages(include=["dw_core*", "dw_ros*"]),
    package_data={"dw_core": ["**/*.json", "**/*.yaml", "**/*.npz", "**/*.safetensors"]},
    install_requires=requirements("base"),
    extras_require={
        "train": requirements("train"),
        "gpu": requirements("train"),
        "view": requirements("view"),
    },
    entry_points={
        "console_scripts": [
            "dw = dw_core.cli.main:main",
            *(f"dw-{node.replace('_', '-')} = dw_ros.nodes.{node}:main" for node in NODES),
        ]
    },
)
