"""Shared steps of commands: load settings, open the core, exit with an error line."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from shop_order.configs import ConfigError, Loaded, load
from shop_order.pkg.url import mask_urls

if TYPE_CHECKING:
    from shop_order.cmd.wiring.core import Core

REFUSED = 2  # with one line that says why
FOUND = 1  # a check found something


def with_core(work: Callable[[Core], Coroutine[Any, Any, int]]) -> None:
    """Run `work` on an open core, also while the service runs; exit with its code."""

    async def work_and_close() -> int:
        from shop_order.cmd.wiring.core import Core
        from shop_order.cmd.wiring.from_settings import dev_token

        found = load_settings(dev_wiring=True)
        core = Core(found, token=dev_token(found.settings))
        try:
            await core.open(serve=False)
            return await work(core)
        finally:
            await core.close()

    run(work_and_close)


def run(start: Callable[[], Coroutine[Any, Any, int]]) -> NoReturn:
    """Run and exit with the returned code; an expected error becomes one line and exit code 2."""
    import uvloop

    with refusing():
        raise SystemExit(uvloop.run(start()))


@contextmanager
def refusing() -> Iterator[None]:
    """Turn an expected error into one line and exit code 2."""
    try:
        yield
    except Exception as error:
        if (line := _explain(error)) is None:
            raise
        refuse(line)


def _explain(error: Exception) -> str | None:
    """Return the line for an error that refuses a start; None if the error is unexpected."""
    if isinstance(error, ConfigError | OSError):
        return str(error)
    from shop_order.domain.errors import OrderServiceError
    from shop_order.pkg.grpc.server import CannotListen
    from shop_order.repository.dao.store import SchemaMismatch, StoreInUse
    from shop_order.web.messages import operator_text

    match error:
        case OrderServiceError():
            damaged = isinstance(error.__cause__, sqlite3.Error)
            text = operator_text(error)
            return f"{text} ({error.__cause__})" if damaged else text
        case SchemaMismatch():
            return f"{error}; run `shop-order migrate`"
        case StoreInUse() | CannotListen():
            return str(error)
        case _:
            return None


def load_settings(*, dev_wiring: bool = False) -> Loaded:
    """Return the settings, or exit with one line; `dev_wiring` uses the addresses of a running `make run`."""
    with refusing():
        return load(os.environ, dev_wiring=dev_wiring)


def require_usable(found: Loaded) -> Loaded:
    """Return the settings, or exit with one line and code 2 if a file that they name is unusable.

    Outside production, a payment channel with such a file is only unavailable, and the log says why.
    """
    from shop_order.cmd.run.preflight import channel_problems, file_problems

    wrong = file_problems(found.settings)
    if found.settings.app.env == "production":
        wrong += [text for texts in channel_problems(found.settings).values() for text in texts]
    if wrong:
        refuse("; ".join(wrong))
    return found


def pluralize(number: int, what: str) -> str:
    """Return `1 payment`, `2 payments`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def refuse(line: str) -> NoReturn:
    """Print one line to standard error and exit with code 2."""
    sys.stderr.write(f"shop-order: {mask_urls(' '.join(line.split()))}\n")
    raise SystemExit(REFUSED)
