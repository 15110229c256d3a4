"""The constants of a network's errors, fitted to rendered scenes with exact truth.

    python -m dw_core.detector.fit out/training/?? --json dw_core/detector/movenet.json

Indirect inference (Gourieroux, Monfort, Renault, 1993): the same robust statistics are taken of the network's
errors and of simulated ones, and the constants are moved until both agree.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from dw_core.cli.bench_output import add_json, refuse_early, write_json
from dw_core.detector.estimate import GIVEN, estimate
from dw_core.detector.model import KINDS, RANGES, DetectorModel, from_json
from dw_core.detector.sample import Sample, simulated
from dw_core.errors import EXIT_BAD_INPUT, DwError
from dw_core.progress import bar

ROUNDS, REPEATS, SEED, GAIN = 8, 6, 0, 0.7


def fit(sample: Sample, progress: bool = False) -> DetectorModel:
    """The model that, at the places of a sample, errs as the sample does. What too few observations would
    make is as in the middle of the other kinds of joints."""
    wanted = estimate(sample)
    tree = _filled(wanted)
    with bar("rounds of the fit", ROUNDS, progress) as advance:
        for _ in range(ROUNDS):
            again = simulated(from_json(tree), sample, np.random.default_rng(SEED), REPEATS)
            tree = _moved(tree, wanted, estimate(again, tree))
            advance(1)
    return from_json(_rounded(tree))


def _filled(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The tree of an estimate without NaN."""

    def fill(one: Mapping[str, Any], others: list[Mapping[str, Any]]) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for name, value in one.items():
            same = [other[name] for other in others]
            if isinstance(value, Mapping):
                out[name] = fill(value, same)
            elif isinstance(value, float) and np.isnan(value):
                known = [number for number in same if np.isfinite(number)]
                out[name] = float(np.median(known)) if known else max(RANGES.get(name, (0.0, 0.0))[0], 0.0)
            else:
                out[name] = value
        return out

    kinds = [tree["kinds"][name] for name in KINDS]
    return dict(tree) | {"kinds": {name: fill(tree["kinds"][name], kinds) for name in KINDS}}


def _moved(tree: Mapping[str, Any], wanted: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """The constants of a tree, each moved by a part of what is wanted less what was found, where both are
    known."""
    out: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            out[name] = _moved(value, wanted[name], found[name])
            continue
        step = GAIN * np.subtract(wanted[name], found[name])
        if name in GIVEN or not np.isfinite(step).all():
            out[name] = value
        elif isinstance(value, tuple):
            parts = np.maximum(np.array(value) + step, 0)
            out[name] = tuple((parts / parts.sum()).tolist())
        else:
            out[name] = float(np.clip(value + step, *_reach(name, wanted[name])))
    return out


def _reach(name: str, wanted: float) -> tuple[float, float]:
    """How far a constant may go from its first estimate: within its range, and a positive one by a factor of
    three, for what hardly shows in the statistics would wander."""
    low, high = RANGES.get(name, (-np.inf, np.inf))
    if low < 0:
        return wanted - 1.5, wanted + 1.5
    return (0.0 if high == 1.0 else max(low, wanted / 3)), min(high, 3 * wanted)


def _rounded(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The tree with numbers of four digits, finer than anything is known; parts still sum to 1."""
    out: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            out[name] = _rounded(value)
        elif isinstance(value, tuple):
            first, second, _ = (round(part, 4) for part in value)
            out[name] = first, second, max(round(1 - first - second, 4), 0.0)
        else:
            out[name] = float(f"{value:.4g}")
    return out


def main(words: Sequence[str] | None = None) -> int:
    """Fit to some scenes, compare on the others, write constants, figures and a picture."""
    parser = argparse.ArgumentParser(prog="python -m dw_core.detector.fit", description=main.__doc__)
    parser.add_argument("folders", type=Path, nargs="+", help="folders that `dw render` wrote, of one rate")
    parser.add_argument(
        "--held-out",
        type=int,
        default=4,
        metavar="N",
        help="one folder in N is not fitted to (default %(default)s)",
    )
    parser.add_argument("--results", type=Path, metavar="FILE", help="write all figures to FILE")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="picture of real beside simulated errors")
    add_json(parser)
    args = parser.parse_args(words)
    from dw_core.detector.report import plot, text
    from dw_core.detector.run import measure
    from dw_core.evaluation.results import rounded

    try:
        refuse_early(args)
        model, result = measure(args.folders, args.held_out, progress=not args.quiet)
        print(text(result))
        write_json(args, asdict(model))
        write_json(args, rounded(result), "results")
        if args.plot is not None:
            plot(result, args.plot)
    except DwError as error:
        print(f"dw: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    return 0


if __name__ == "__main__":
    sys.exit(main())
