"""Prints each step and whether it succeeded."""

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
WAIT_TIMEOUT_S = 15.0
POLL_INTERVAL_S = 0.1


class UnexpectedResult(Exception):
    """A step had another result than expected."""


class StepFailed(Exception):
    """A step failed and was reported; the rest of its chapter is skipped."""


@dataclass(slots=True)
class Step:
    """The results of a step, printed below it."""

    results: list[tuple[str, str]] = field(default_factory=list)

    def result(self, zh: str, en: str) -> None:
        """Add a result."""
        self.results.append((zh, en))


class Narrator:
    """Prints in Chinese, English or both; counts steps and failures."""

    def __init__(self, language: str, out: TextIO | None = None) -> None:
        self._language = language
        self._out = out or sys.stdout
        self._colours = self._out.isatty()
        self.steps = 0
        self.failures = 0

    def title(self, zh: str, en: str) -> None:
        """Print the title of a chapter."""
        self._write("")
        for text in self._localized(zh, en, separator="  "):
            self._write(self._styled("1", text))

    def say(self, zh: str, en: str) -> None:
        """Print a remark."""
        for text in self._localized(zh, en):
            self._write(f"  {text}")

    @contextmanager
    def step(self, zh: str, en: str) -> Iterator[Step]:
        """Run a step and report success, or failure if the block raises. Raises StepFailed."""
        self.steps += 1
        step = Step()
        try:
            yield step
        except (UnexpectedResult, OrderApiError, httpx.HTTPError, LookupError, ValueError) as error:
            self.failures += 1
            self._write_step(self._styled("31", "✗"), zh, en)
            self._write(f"      {type(error).__name__}: {error}")
            raise StepFailed from error
        self._write_step(self._styled("32", "✓"), zh, en)
        for line in step.results:
            for text in self._localized(*line, separator="  ·  "):
                for one in text.splitlines():  # a command's output may have several
                    self._write(self._styled("2", f"      {one}"))

    def _write_step(self, mark: str, zh: str, en: str) -> None:
        first, *rest = self._localized(zh, en)
        self._write(f"  {mark} {first}")
        for text in rest:
            self._write(f"    {text}")

    def _localized(self, zh: str, en: str, separator: str = "") -> list[str]:
        if zh == en:
            return [zh]
        if self._language == "both":
            return [f"{zh}{separator}{en}"] if separator else [zh, en]
        return [en if self._language == "en" else zh]

    def _styled(self, style: str, text: str) -> str:
        return f"\033[{style}m{text}\033[0m" if self._colours else text

    def _write(self, line: str) -> None:
        self._out.write(f"{line}\n")
        self._out.flush()


def expect(found: T, wanted: T, what: str) -> None:
    """Compare a value with the expected one. Raises UnexpectedResult."""
    if found != wanted:
        raise UnexpectedResult(f"{what}: {found!r}, expected {wanted!r}")


async def wait_until(query: Callable[[], Awaitable[T]], wanted: T, what: str) -> None:
    """Query until the value is as wanted. Raises UnexpectedResult after 15 s."""
    end = time.monotonic() + WAIT_TIMEOUT_S
    while (found := await query()) != wanted:
        if time.monotonic() > end:
            raise UnexpectedResult(
                f"{what}: still {found!r} after {WAIT_TIMEOUT_S:.0f} s, expected {wanted!r}"
            )
        await asyncio.sleep(POLL_INTERVAL_S)


def yuan(fen: int) -> str:
    """An amount such as ¥19.99."""
    return f"¥{fen // 100}.{fen % 100:02d}"
