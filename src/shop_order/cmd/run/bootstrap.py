"""Steps of every start: event loop, log, history of settings, and the error line of a refused start."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Coroutine
from typing import Any

from shop_order.configs import ConfigError, Loaded, Settings
from shop_order.configs.history import record
from shop_order.pkg.log import LogConfig, Logging
from shop_order.repository.history import open_history


def run_loop(work: Coroutine[Any, Any, int]) -> int:
    """Run on uvloop if it is installed; return the exit code."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)
    return uvloop.run(work)


def refusal(error: Exception) -> str | None:
    """Return the line for an error that refuses a start; None if the error is unexpected."""
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
        case StoreInUse() | CannotListen() | ConfigError() | OSError():
            return str(error)
        case _:
            return None


def record_settings(loaded: Loaded) -> None:
    """Add accepted settings to the history in the order database. Raises OSError if it can't be written."""
    try:
        with open_history(loaded.settings.db.url, writes=True) as records:
            record(records, loaded, time.time_ns() // 1_000_000)
    except OSError as full:
        raise OSError(f"the order database can't be written: {full}") from full


def open_log(settings: Settings) -> Logging:
    """Open the log of the process (specification 6.6). Raises OSError."""
    s = settings.log
    return Logging(
        LogConfig(
            s.level,
            s.filename,
            s.stdout,
            s.max_size,
            s.max_backups,
            s.max_age,
            s.compress,
            settings.limit.log_queue,
        )
    )
