"""Progress of long steps on the terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def bar(label: str, total: int | None, show: bool = True, unit: str = "") -> Iterator[Callable[[int], None]]:
    """A progress bar on stderr; yields the function that advances it. Silent when `show` is false.

    `unit` "B" counts bytes in MB.
    """
    if not show:
        yield lambda steps: None
        return
    from tqdm import tqdm

    with tqdm(
        total=total, desc=label, unit=unit or "it", unit_scale=unit == "B", file=sys.stderr, ncols=88
    ) as progress:

        def advance(steps: int) -> None:
            progress.update(steps)

        yield advance
