"""What the benchmarks' command lines have in common."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from dw_core.errors import ConfigError
from dw_core.evaluation.results import finite, text


def add_json(parser: argparse.ArgumentParser) -> None:
    """Options --json and --quiet."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to FILE")
    parser.add_argument("--quiet", action="store_true", help="show no progress")


def refuse_early(args: argparse.Namespace) -> None:
    """That the files of --json and the pictures can be written: now rather than after minutes of work. Raises
    ConfigError."""
    for option in ("json", "results", "plot", "detector-plot"):
        path = getattr(args, option.replace("-", "_"), None)
        if path is not None:
            existed = path.exists()
            _write(option, path, "", "a")
            if not existed:
                path.unlink()  # what fails later leaves no empty file
    plots = getattr(args, "plots", None)
    if plots is not None:
        try:
            plots.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"--plots: {plots} cannot be made ({error.strerror})") from error


def write_json(args: argparse.Namespace, result: dict[str, Any], option: str = "json") -> None:
    """Write the file of --json, or of another option, if there is one. Raises ConfigError."""
    path = getattr(args, option)
    if path is not None:
        _write(option, path, text(finite(result)) + "\n", "w")


def _write(option: str, path: Path, content: str, mode: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open(mode) as file:
            file.write(content)
    except OSError as error:
        raise ConfigError(f"--{option}: {path} cannot be written ({error.strerror})") from error
