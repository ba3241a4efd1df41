"""Writes down each kind of statement that the service's own code sends to MySQL, in whatever process it runs.

Switched on by RECORD_STATEMENTS=<folder>. Stands alone: `sitecustomize` beside it takes it into processes
that tests start.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

FOLDER = "RECORD_STATEMENTS"
HERE = Path(__file__).resolve().parent
SOURCES = HERE.parents[1] / "src"
SAMPLES = 3  # of one kind: the values decide which way a server goes
WATCHED = ("shop_order.repository.dao.engine.mysql_session", "shop_order.repository.history")
_SENDERS = (f"{os.sep}engine{os.sep}mysql_session.py", f"{os.sep}repository{os.sep}history.py")
_seen: Counter[str] = Counter()
_LIST = re.compile(r"\?(, \?)+")
_AGAIN = re.compile(r"(\((?:[^()]|\([^()]*\))*\))((, | OR )\1)+")


def child_path() -> str:
    """PYTHONPATH of a process of the service that a test starts."""
    return os.pathsep.join([str(SOURCES), str(HERE)])


@lru_cache(maxsize=4096)
def shape(sql: str) -> str:
    """A statement whatever the length of its lists."""
    return _AGAIN.sub(r"\1", _LIST.sub("?", sql))


def record(sql: str, values: Sequence[Any]) -> None:
    """Keep it, unless its kind was seen often enough, or a test sent it."""
    kind = shape(sql)
    if _seen[kind] >= SAMPLES or not (folder := os.environ.get(FOLDER)) or not _is_ours(sys._getframe(1)):
        return
    _seen[kind] += 1
    line = json.dumps({"sql": sql, "values": [_plain(value) for value in values]})
    with open(Path(folder) / f"{os.getpid()}.jsonl", "a", encoding="utf-8") as file:
        file.write(line + "\n")


def recorded(folder: str) -> dict[str, list[tuple[str, list[Any]]]]:
    """What every process sent so far, by kind."""
    found: dict[str, list[tuple[str, list[Any]]]] = {}
    for path in sorted(Path(folder).glob("*.jsonl")):
        *whole, _ = path.read_text("utf-8").split("\n")  # the last line of a killed process may be cut
        for line in whole:
            kept = json.loads(line)
            values = [bytes.fromhex(v["hex"]) if isinstance(v, dict) else v for v in kept["values"]]
            samples = found.setdefault(shape(kept["sql"]), [])
            if len(samples) < SAMPLES:
                samples.append((kept["sql"], values))
    return found


def watch(module: Any) -> None:
    """Record what is sent by this module, which is one of WATCHED."""
    session = getattr(module, "MysqlSession", None)
    owner, name = (session, "_execute") if session else (module._Server, "execute")
    execute = getattr(owner, name)

    def and_record(self: Any, sql: str, values: Sequence[Any] = ()) -> Any:
        record(sql, values)
        return execute(self, sql, values)

    setattr(owner, name, and_record)


def watch_when_imported() -> None:
    """The same in a process that has not come to it yet."""
    if os.environ.get(FOLDER):
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    """Finds modules as they are found without us, and watches them once they are loaded."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if name not in WATCHED:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec and spec.loader:
            spec.loader = _Watching(spec.loader)
        return spec


class _Watching(Loader):
    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        watch(module)


def _is_ours(frame: FrameType | None) -> bool:
    """Whether the service's code asked the session for it, not a test."""
    for caller in _callers(frame):
        path = caller.f_code.co_filename
        if path != __file__ and not path.endswith(_SENDERS):
            return path.startswith(str(SOURCES))
    return False


def _callers(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _plain(value: Any) -> Any:
    if isinstance(value, bytes | bytearray | memoryview):
        return {"hex": bytes(value).hex()}
    return value if isinstance(value, str | int | float | None) else str(value)
