"""`dw bench`: what the system costs on this machine, and how well it tracks."""

from __future__ import annotations

import argparse
import os

from dw_core.cli import (
    bench_footage,
    bench_gpu,
    bench_models,
    bench_motion,
    bench_nodes,
    bench_render,
    bench_rendered,
    bench_speed,
)

BENCHMARKS = {
    "speed": bench_speed,
    "nodes": bench_nodes,
    "gpu": bench_gpu,
    "motion": bench_motion,
    "models": bench_models,
    "footage": bench_footage,
    "rendered": bench_rendered,
    "render": bench_render,
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of `dw bench`."""
    benchmarks = parser.add_subparsers(
        title="benchmarks", dest="benchmark", metavar="BENCHMARK", required=True
    )
    for name, module in BENCHMARKS.items():
        summary = module.SUMMARY
        description = f"{summary[0].upper()}{summary[1:]}."
        module.configure(benchmarks.add_parser(name, help=summary, description=description))


def run(args: argparse.Namespace) -> int:
    """Run one benchmark. Raises DwError for bad input."""
    # As in the nodes (see dw_ros/__init__.py): it is read when numpy is first imported.
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    code: int = BENCHMARKS[args.benchmark].run(args)
    return code
