"""Blocks of Markdown documents that are made from results, so that no figure is typed by hand.

A block stands between two comments, `<!-- NAME: who makes it -->` and `<!-- end of NAME -->`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from dw_core.errors import ConfigError


def block(path: Path, name: str) -> str:
    """The text of a block, without the blank lines around it. Raises ConfigError when there is no such
    block in the document, or more than one."""
    text: str = _find(path, name)[2].strip("\n")
    return text


def fill(path: Path, name: str, text: str) -> None:
    """Put `text` into a block of a document. Raises ConfigError as `block` does."""
    whole, opening, inside = _find(path, name)
    start = whole.index(opening) + len(opening)
    path.write_text(f"{whole[:start]}\n{text.strip()}\n\n{whole[start + len(inside) :]}")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose first column is text and whose others are figures."""
    lines = [header, ["---", *["--:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def asked(most: Mapping[str, float], found: Mapping[str, float]) -> str:
    """What was asked of some figures at most, what was found, and whether that is met."""
    return "; ".join(
        f"{name} at most {limit:g}, found {found[name]:.3f}: {'met' if found[name] <= limit else 'not met'}"
        for name, limit in most.items()
    )


def outside_of_blocks(text: str) -> str:
    """A document's text without its blocks: what people wrote."""
    return re.sub(_pattern(r"(?P<name>[\w-]+)", r"(?P=name)"), "", text)


def _pattern(opening: str, closing: str) -> str:
    return rf"(?ms)(^<!-- {opening}: [^\n]*-->\n)(.*?)^<!-- end of {closing} -->$"


def _find(path: Path, name: str) -> tuple[str, str, str]:
    """The whole document, the line that opens the block, and what is inside."""
    whole = path.read_text()
    found = re.findall(_pattern(name, name), whole)
    if len(found) != 1:
        raise ConfigError(
            f"{path} has {len(found)} blocks '{name}', expected one between the lines "
            f"'<!-- {name}: ... -->' and '<!-- end of {name} -->'"
        )
    opening, inside = found[0]
    return whole, opening, inside
