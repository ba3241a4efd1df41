"""Says each step in plain words, and whether it went as told."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TextIO, TypeVar

import httpx

from shop_order.api.client import OrderApiError

T = TypeVar("T")

LANGUAGES = ("zh", "en", "both")
PATIENCE_S = 15.0
LOOK_EVERY_S = 0.1


class NotAsTold(Exception):
    """A step did something else than it says."""


class StoryBroken(Exception):
    """A step failed, which has been told; what builds on it is left out."""


@dataclass(slots=True)
class Step:
    """What is seen while a step runs, told under it."""

    seen: list[tuple[str, str]] = field(default_factory=list)

    def sees(self, zh: str, en: str) -> None:
        """Tell what came of it."""
        self.seen.append((zh, en))


class Teller:
    """Writes in Chinese, English, or Chinese with English; counts the steps and the failures."""

    def __init__(self, language: str, out: TextIO | None = None) -> None:
        self._language = language
        self._out = out or sys.stdout
        self._colours = self._out.isatty()
        self.steps = 0
        self.failures = 0

    def title(self, zh: str, en: str) -> None:
        """A new chapter."""
        self._write("")
        for text in self._in(zh, en, joint="  "):
            self._write(self._painted("1", text))

    def say(self, zh: str, en: str) -> None:
        """A remark."""
        for text in self._in(zh, en):
            self._write(f"  {text}")

    @contextmanager
    def step(self, zh: str, en: str) -> Iterator[Step]:
        """A step: told as done when the block ends, as failed when it raises. Raises StoryBroken."""
        self.steps += 1
        step = Step()
        try:
            yield step
        except (NotAsTold, OrderApiError, httpx.HTTPError, LookupError, ValueError) as trouble:
            self.failures += 1
            self._tell(self._painted("31", "✗"), zh, en)
            self._write(f"      {type(trouble).__name__}: {trouble}")
            raise StoryBroken from trouble
        self._tell(self._painted("32", "✓"), zh, en)
        for line in step.seen:
            for text in self._in(*line, joint="  ·  "):
                self._write(self._painted("2", f"      {text}"))

    def _tell(self, mark: str, zh: str, en: str) -> None:
        first, *rest = self._in(zh, en)
        self._write(f"  {mark} {first}")
        for text in rest:
            self._write(f"    {text}")

    def _in(self, zh: str, en: str, joint: str = "") -> list[str]:
        if zh == en:
            return [zh]
        if self._language == "both":
            return [f"{zh}{joint}{en}"] if joint else [zh, en]
        return [en if self._language == "en" else zh]

    def _painted(self, style: str, text: str) -> str:
        return f"\033[{style}m{text}\033[0m" if self._colours else text

    def _write(self, line: str) -> None:
        self._out.write(f"{line}\n")
        self._out.flush()


def expect(found: T, wanted: T, what: str) -> None:
    """Raises NotAsTold."""
    if found != wanted:
        raise NotAsTold(f"{what}: {found!r}, expected {wanted!r}")


async def until(look: Callable[[], Awaitable[T]], wanted: T, what: str) -> None:
    """Wait until it is so. Raises NotAsTold after 15 s."""
    end = time.monotonic() + PATIENCE_S
    while (found := await look()) != wanted:
        if time.monotonic() > end:
            raise NotAsTold(f"{what}: still {found!r} after {PATIENCE_S:.0f} s, expected {wanted!r}")
        await asyncio.sleep(LOOK_EVERY_S)


def yuan(fen: int) -> str:
    """How people write it."""
    return f"¥{fen // 100}.{fen % 100:02d}"
