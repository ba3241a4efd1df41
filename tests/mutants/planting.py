"""Find code by its symbol and shape, in whatever module it stands, and change it in a copy of the sources.

A change names a function, method, class or constant (`Order.cancel`, `cancel` or `sqlite:claim`) and a piece
of Python inside it. Pieces are compared as syntax trees, so neither layout nor comments matter. `...` in a
piece stands for any expression, all further arguments or a block: `x or ...`, `refund(...)`, `if x: ...`;
in the new piece, for the same expression or block again. Where several places fit, the word before the colon
chooses: a part of the module's dotted name.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src"
MAX_HINTS = 5
DEFINITIONS = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


class DoesNotFit(Exception):
    """The code no longer has what a fault names; the message says where to look."""


@dataclass(frozen=True)
class Change:
    """In `symbol`, the one piece of code, string constant or named argument `old` becomes `new`."""

    symbol: str
    old: str
    new: str
    kind: Literal["code", "text", "argument"] = "code"


@dataclass(frozen=True)
class Place:
    """A symbol of a module (its path below the sources) that has the piece `count` times."""

    module: str
    qualname: str
    count: int

    def __str__(self) -> str:
        return f"{self.module}: {self.qualname}" + (f" ({self.count} times)" if self.count > 1 else "")


def swap(symbol: str, old: str, new: str) -> Change:
    """Another expression or statement instead of the old one."""
    return Change(symbol, old, new)


def skip(symbol: str, statement: str) -> Change:
    """The statement does not happen."""
    return Change(symbol, statement, "pass")


def never(symbol: str, condition: str) -> Change:
    """The condition never holds."""
    return Change(symbol, condition, "False")


def reword(symbol: str, old: str, new: str) -> Change:
    """Another text in a string constant, such as SQL; white space matches any white space."""
    return Change(symbol, old, new, "text")


def argument(symbol: str, call: str, new: str) -> Change:
    """Another value of the named argument of a call, such as `refund(refund_sn=sn)`."""
    return Change(symbol, call, new, "argument")


def plant(changes: tuple[Change, ...], copy: Path, source: Path = SOURCE) -> None:
    """Change a copy of the sources. Raises DoesNotFit."""
    for change in changes:
        spot = place(change, source)
        path = copy / spot.module
        tree = ast.parse(path.read_text("utf-8"))
        [node] = [node for name, node in _named(tree) if name == spot.qualname]
        _Editor(change, replaces=True).visit(node)
        path.unlink()  # it may be a link
        path.write_text(ast.unparse(ast.fix_missing_locations(tree)) + "\n", "utf-8")


# ---- finding ----


def place(change: Change, source: Path = SOURCE) -> Place:
    """The only place where a change fits. Raises DoesNotFit, which says what to do about it."""
    package, _, symbol = change.symbol.rpartition(":")
    found = _places(change, source, symbol)
    if len(found) > 1 and package:
        found = [spot for spot in found if package in Path(spot.module).with_suffix("").parts]
    if len(found) == 1 and found[0].count == 1:
        return found[0]
    raise DoesNotFit(_advice(change, source, symbol, found))


def _places(change: Change, source: Path, symbol: str) -> list[Place]:
    found = []
    for module, qualname, node in _definitions(source, symbol):
        editor = _Editor(change)
        editor.visit(node)
        found.append(Place(module, qualname, editor.count))
    return [spot for spot in found if spot.count]


def _advice(change: Change, source: Path, symbol: str, found: list[Place]) -> str:
    told = f"{change.symbol!r} with {change.old!r}"
    if found:
        spots = ", and in ".join(map(str, found))
        return f"{told} fits more than once, in {spots}: give it more context, or write `package:symbol`"
    if modules := [module for module, _, _ in _definitions(source, symbol)]:
        problem = f"{symbol} is in {', '.join(modules)}, but has nothing of this shape"
    else:
        problem = "no such symbol in src: it was renamed or deleted"
    hints = [str(spot) for spot in _places(change, source, "")[:MAX_HINTS]]
    hint = f"the shape stands in {', and in '.join(hints)}" if hints else "nothing in src has this shape"
    return f"{told}: {problem}; {hint}. Adapt the fault; delete it only with the behaviour that it breaks"


def _definitions(source: Path, symbol: str) -> Iterator[tuple[str, str, ast.AST]]:
    """Module, full name and tree of whatever has this name or ends with it; without one, all but classes."""
    last = symbol.rpartition(".")[2]
    for module, text in _texts(source):
        if last in text:
            for name, node in _named(_parsed(text)):
                if f".{name}".endswith(f".{symbol}") if symbol else not isinstance(node, ast.ClassDef):
                    yield module, name, node


def _named(node: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.AST]]:
    """Definitions and constants of a module or a class; what stands inside a function belongs to it."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, DEFINITIONS):
            yield prefix + child.name, child
        if isinstance(child, ast.ClassDef):
            yield from _named(child, f"{prefix}{child.name}.")
        elif isinstance(child, ast.Assign | ast.AnnAssign):
            targets = child.targets if isinstance(child, ast.Assign) else [child.target]
            yield from ((prefix + target.id, child) for target in targets if isinstance(target, ast.Name))


@cache
def _texts(source: Path) -> list[tuple[str, str]]:
    files = sorted(path for path in source.rglob("*.py") if "_pb2" not in path.name)
    return [(path.relative_to(source).as_posix(), path.read_text("utf-8")) for path in files]


@cache
def _parsed(text: str) -> ast.Module:
    return ast.parse(text)


# ---- comparing and changing ----


class _Editor(ast.NodeTransformer):
    """Counts the pieces of a tree that a change is about, and replaces them if told to."""

    def __init__(self, change: Change, *, replaces: bool = False) -> None:
        self.count = 0
        self._change = change
        self._replaces = replaces
        self._old, self._new = ([], []) if change.kind == "text" else _pieces(change)

    def visit(self, node: ast.AST) -> Any:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and self._change.kind == "text":
            return self._reworded(node, node.value)
        if isinstance(node, ast.Call) and self._change.kind == "argument":
            self._passed(node)
        kept: list[Any] = []
        if self._change.kind != "code" or not like(self._old[0], node, kept):
            return self.generic_visit(node)
        self.count += 1
        if not self._replaces:
            return node
        made = [_Filled(kept).visit(piece) for piece in self._new]
        return made if isinstance(node, ast.stmt) else made[0]

    def _passed(self, call: ast.Call) -> None:
        [wanted] = self._old
        assert isinstance(wanted, ast.Call)
        name = call.func.attr if isinstance(call.func, ast.Attribute) else ast.unparse(call.func)
        for given in call.keywords:
            if name == ast.unparse(wanted.func) and like(wanted.keywords[0], given, []):
                self.count += 1
                if self._replaces:
                    [given.value] = self._new  # type: ignore[assignment]

    def _reworded(self, node: ast.Constant, text: str) -> ast.Constant:
        pattern = r"\s+".join(map(re.escape, self._change.old.split()))
        new, times = re.subn(pattern, lambda _: self._change.new, text)
        self.count += times
        return ast.Constant(new) if self._replaces else node


class _Filled(ast.NodeTransformer):
    """Puts what `...` stood for in the old piece where the new one has it."""

    def __init__(self, kept: list[Any]) -> None:
        self._kept = kept

    def visit(self, node: ast.AST) -> Any:
        return self._kept.pop(0) if self._kept and _is_anything(node) else self.generic_visit(node)


def _pieces(change: Change) -> tuple[list[ast.AST], list[ast.AST]]:
    """The old piece and the new: one expression each, or one statement and several."""
    before, after = (ast.parse(text).body for text in (change.old, change.new))
    expressions = [piece.value for piece in (*before, *after) if isinstance(piece, ast.Expr)]
    if len(expressions) == len(before) + len(after) == 2:
        return [expressions[0]], [expressions[1]]
    return [*before], [*after]


def like(piece: Any, code: Any, kept: list[Any]) -> bool:
    """Whether code has the shape of a piece; `kept` receives what `...` stood for."""
    if _is_anything(piece) or (isinstance(piece, list) and len(piece) == 1 and _is_anything(piece[0])):
        kept.append(code)
        return True
    if isinstance(piece, list) and isinstance(code, list):
        return len(piece) == len(code) and all(
            like(one, other, kept) for one, other in zip(piece, code, strict=True)
        )
    if not isinstance(piece, ast.AST) or type(piece) is not type(code):
        return bool(piece == code)
    if (
        isinstance(piece, ast.Call)
        and isinstance(code, ast.Call)
        and piece.args
        and _is_anything(piece.args[-1])
    ):
        first = len(piece.args) - 1
        return like([piece.func, *piece.args[:first]], [code.func, *code.args[:first]], kept)
    fields = (name for name in piece._fields if name not in ("ctx", "type_comment", "kind"))
    return all(like(getattr(piece, name), getattr(code, name), kept) for name in fields)


def _is_anything(piece: Any) -> bool:
    value = piece.value if isinstance(piece, ast.Expr) else piece
    return isinstance(value, ast.Constant) and value.value is ...


# ---- the tests that must notice ----


def file_named(name: str, tests: Path = ROOT / "tests") -> Path:
    """The file or folder of the tests of this name, wherever it stands: `test_carts`, `rest/test_orders`.

    Raises DoesNotFit.
    """
    stem = name.rpartition("/")[2]
    found = [
        path
        for path in (*tests.rglob(f"{stem}.py"), *tests.rglob(f"{stem}/"))
        if f"/{path.relative_to(tests).with_suffix('').as_posix()}".endswith(f"/{name}")
    ]
    if not found:
        raise DoesNotFit(f"no tests are called {name!r}: name those that notice the fault")
    if len(found) > 1:
        raise DoesNotFit(f"{name!r} may be any of {', '.join(map(str, found))}: write `folder/name`")
    return found[0]
