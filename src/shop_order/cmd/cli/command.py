"""Shared steps of commands: load settings, open the core, exit with an error line."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Coroutine
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

        found = loaded(dev_wiring=True)
        core = Core(found, token=dev_token(found.settings))
        try:
            await core.open(serve=False)
            return await work(core)
        finally:
            await core.close()

    run(work_and_close)


def run(start: Callable[[], Coroutine[Any, Any, int]]) -> NoReturn:
    """Run and exit with the returned code; an expected error becomes one line and exit code 2."""
    from shop_order.cmd.run.bootstrap import refusal, run_loop

    try:
        raise SystemExit(run_loop(start()))
    except Exception as error:
        if (line := refusal(error)) is None:
            raise
        refuse(line)


def loaded(*, dev_wiring: bool = False) -> Loaded:
    """Return the settings, or exit with one line and code 2;

    `dev_wiring` uses the addresses of a running `make run`.
    """
    try:
        return load(os.environ, dev_wiring=dev_wiring)
    except ConfigError as bad:
        refuse(str(bad))


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


def refuse(line: str) -> NoReturn:
    """Print one line to standard error and exit with code 2."""
    sys.stderr.write(f"shop-order: {mask_urls(' '.join(line.split()))}\n")
    raise SystemExit(REFUSED)
