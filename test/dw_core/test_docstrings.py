"""Every public function says what it does, the shapes of its arrays, and what it raises."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "dw_core").rglob("*.py"))
ARRAY = re.compile(r"\b\w*(Array|NDArray|Tensor)\b")
# (J, 3), (N,), (...), (..., 2): capitals are counts, h w n numbers of cells
SHAPE = re.compile(r"\((\.\.\.|[A-Zhwna-z0-9 *+/-]+,)[^()]*\)|\([A-Za-z\d ]+\)")


@dataclass(frozen=True)
class Public:
    """A public function with the docstring of its own, and that of its class or ''."""

    name: str
    node: ast.FunctionDef
    doc: str
    class_doc: str

    @property
    def both(self) -> str:
        return f"{self.doc}\n{self.class_doc}"


def public_functions(tree: ast.Module) -> Iterator[Public]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield Public(node.name, node, ast.get_docstring(node) or "", "")
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            class_doc = ast.get_docstring(node) or ""
            for method in node.body:
                if isinstance(method, ast.FunctionDef):
                    name = f"{node.name}.{method.name}"
                    yield Public(name, method, ast.get_docstring(method) or "", class_doc)


def is_public(function: Public) -> bool:
    return not function.node.name.startswith("_")


def signature(node: ast.FunctionDef) -> str:
    arguments = [a.annotation for a in (*node.args.args, *node.args.kwonlyargs) if a.annotation]
    return " ".join(ast.unparse(a) for a in [*arguments, *([node.returns] if node.returns else [])])


def raised(node: ast.FunctionDef) -> set[str]:
    """Names of the project's own errors that the body raises itself."""
    found = (n.exc for n in ast.walk(node) if isinstance(n, ast.Raise) and n.exc is not None)
    names = {ast.unparse(e.func if isinstance(e, ast.Call) else e) for e in found}
    return {
        name
        for name in names
        if name.endswith("Error") and name not in ("RuntimeError", "ValueError", "FileNotFoundError")
    }


def findings(source: str) -> list[str]:
    tree = ast.parse(source)
    out = []
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and not ast.get_docstring(node):
            out.append(f"class {node.name} has no docstring")
    for function in filter(is_public, public_functions(tree)):
        decorators = [ast.unparse(d) for d in function.node.decorator_list]
        if any(d.endswith(".setter") for d in decorators):
            continue  # the property tells
        is_property = "property" in decorators
        if not function.doc and not is_property and len(function.node.body) > 1:
            out.append(f"{function.name} has no docstring")
        elif ARRAY.search(signature(function.node)) and not SHAPE.search(function.both):
            out.append(f"{function.name} does not tell the shapes of its arrays")
        for error in sorted(raised(function.node)):
            if error not in function.both and "Raises" not in function.both:
                out.append(f"{function.name} does not tell that it raises {error}")
    return out


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_public_functions_say_what_they_do(path: Path) -> None:
    assert findings(path.read_text()) == []


def test_what_is_missing_is_found() -> None:
    source = '''
def silent(a):
    b = a
    return b

def shapeless(points: Array) -> Array:
    """Moves points."""
    return points

def good(points: Array) -> Array:
    """Moves points (..., 3) in metres. Raises ConfigError when there are none."""
    raise ConfigError("none")

def quiet(a: int) -> None:
    """Refuses."""
    raise ConfigError("no")

class Bare:
    pass
'''
    assert findings(source) == [
        "class Bare has no docstring",
        "silent has no docstring",
        "shapeless does not tell the shapes of its arrays",
        "quiet does not tell that it raises ConfigError",
    ]
