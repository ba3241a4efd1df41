"""What commands use: the settings, an open core beside a running service, one line for a refusal."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, NoReturn

from shop_order.configs import ConfigError, Loaded, load
from shop_order.pkg.url import mask_urls

if TYPE_CHECKING:
    from shop_order.cmd.wiring.core import Core

REFUSED = 2  # the start was refused: one line says why
FOUND = 1  # a check found something


def with_core(look: Callable[[Core], Coroutine[Any, Any, int]]) -> None:
    """Open the database beside a running service, and look at it."""

    async def look_and_close() -> int:
        from shop_order.cmd.wiring.core import Core
        from shop_order.cmd.wiring.from_settings import dev_token

        found = loaded(dev_wiring=True)
        core = Core(found, token=dev_token(found.settings))
        try:
            await core.open(serve=False)
            return await look(core)
        finally:
            await core.close()

    run(look_and_close)


def run(start: Callable[[], Coroutine[Any, Any, int]]) -> NoReturn:
    """Run, and exit with its code; an error that refuses the start becomes one line and exit code 2."""
    from shop_order.cmd.run.bootstrap import refusal, run_loop

    try:
        raise SystemExit(run_loop(start()))
    except Exception as error:
        if (line := refusal(error)) is None:
            raise
        refuse(line)


def loaded(*, dev_wiring: bool = False) -> Loaded:
    """The settings, or one line and exit code 2; `dev_wiring` uses the addresses of a running `make run`."""
    try:
        return load(os.environ, dev_wiring=dev_wiring)
    except ConfigError as bad:
        refuse(str(bad))


def require_usable(found: Loaded) -> Loaded:
    """The same settings, or one line and exit code 2 if files that they name can't be used.

    Outside production a payment channel is then unavailable, and the log says why.
    """
    from shop_order.cmd.run.preflight import channel_problems, file_problems

    wrong = file_problems(found.settings)
    if found.settings.app.env == "production":
        wrong += [text for texts in channel_problems(found.settings).values() for text in texts]
    if wrong:
        refuse("; ".join(wrong))
    return found


def refuse(line: str) -> NoReturn:
    """One line on standard error, and exit code 2."""
    sys.stderr.write(f"shop-order: {mask_urls(' '.join(line.split()))}\n")
    raise SystemExit(REFUSED)
