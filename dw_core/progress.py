"""Progress of long steps on the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Advance(Protocol):
    """Moves a bar on by some steps; a note stands behind it."""

    def __call__(self, steps: int, note: str = "") -> None: ...


@contextmanager
def bar(label: str, total: int | None, show: bool = True, unit: str = "") -> Iterator[Advance]:
    """A progress bar on stderr; yields the function that advances it. Silent when `show` is false.

    `unit` "B" counts bytes in MB.
    """
    if not show:
        yield lambda steps, note="": None
        return
    from tqdm import tqdm

    with tqdm(
        total=total, desc=label, unit=unit or "it", unit_scale=unit == "B", file=sys.stderr, ncols=88
    ) as progress:

        def advance(steps: int, note: str = "") -> None:
            if note:
                progress.set_postfix_str(note, refresh=False)
            progress.update(steps)

        yield advance
