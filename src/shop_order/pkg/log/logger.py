"""The logger that the rooms use: structlog's bound logger over one outlet for the process."""

import logging
import sys
from collections.abc import Mapping
from typing import Any, Protocol

import structlog

from shop_order.pkg.log.fields import bound_fields
from shop_order.pkg.log.rendering import ExcInfo, Renderer, short_place, stack_of

LEVELS: Mapping[str, int] = {"debug": 10, "info": 20, "warn": 30, "error": 40, "fatal": 50}


class Sink(Protocol):
    """Where finished lines go."""

    def put(self, line: bytes, level: int) -> None:
        """Takes a line without waiting for the disk."""
        ...


class Stderr:
    """Before logging has started: warnings and errors of commands and tests, at once."""

    def put(self, line: bytes, level: int) -> None:
        """Writes warnings and worse."""
        if level >= LEVELS["warn"]:
            sys.stderr.write(line.decode())


class Outlet:
    """The process's threshold, renderer and sink; exchanged as a whole when logging starts or stops."""

    def __init__(self) -> None:
        self.threshold = LEVELS["info"]
        self.renderer = Renderer()
        self.sink: Sink = Stderr()


outlet = Outlet()  # one per process, as in the standard library: loggers are made before it is opened


class Logger(structlog.BoundLoggerBase):
    """debug, info, warning, error, exception; fields by keyword, bind() for fields that stay."""

    def debug(self, msg: str, /, **fields: Any) -> None:
        """For who looks for an error."""
        if outlet.threshold <= 10:
            self._emit(10, "debug", msg, fields)

    def info(self, msg: str, /, **fields: Any) -> None:
        """What happened."""
        if outlet.threshold <= 20:
            self._emit(20, "info", msg, fields)

    def warning(self, msg: str, /, **fields: Any) -> None:
        """What somebody should look at some day."""
        if outlet.threshold <= 30:
            self._emit(30, "warn", msg, fields)

    def error(self, msg: str, /, **fields: Any) -> None:
        """What somebody must look at."""
        if outlet.threshold <= 40:
            self._emit(40, "error", msg, fields)

    def exception(self, msg: str, /, **fields: Any) -> None:
        """An error with the traceback of the exception that is being handled."""
        fields.setdefault("exc_info", True)
        self._emit(40, "error", msg, fields)

    def critical(self, msg: str, /, **fields: Any) -> None:
        """What ends the process."""
        self._emit(50, "fatal", msg, fields)

    def _emit(self, level: int, name: str, msg: str, fields: dict[str, Any]) -> None:
        frame = sys._getframe(2)
        bound = self._context
        logger = str(bound.get("logger", ""))
        merged = {**bound_fields(), **bound, **fields}
        merged.pop("logger", None)
        exc_info = merged.pop("exc_info", None)
        renderer = outlet.renderer
        line = renderer.render(
            name,
            logger,
            renderer.caller(frame.f_code, frame.f_lineno),
            msg,
            merged,
            stack_of(_exc_info(exc_info)) if exc_info else "",
        )
        outlet.sink.put(line, level)


class StandardLibrary(logging.Handler):
    """Brings the lines of uvicorn, grpc, alembic and others into the same stream."""

    def emit(self, record: logging.LogRecord) -> None:
        """Renders a record with the same keys."""
        level, name = _level_of(record.levelno)
        if level < outlet.threshold:
            return
        try:
            msg = record.getMessage()
        except (TypeError, ValueError, KeyError):  # arguments that do not fit the text
            msg = f"{record.msg} {record.args}"
        stack = stack_of(_exc_info(record.exc_info)) if record.exc_info and record.exc_info[0] else ""
        place = short_place(record.pathname, record.lineno)
        outlet.sink.put(outlet.renderer.render(name, record.name, place, msg, bound_fields(), stack), level)


def get_logger(name: str) -> Logger:
    """A logger for a module; may be called before logging has started."""
    short = name.removeprefix("shop_order.")
    return Logger(None, (), {"logger": short})


def _level_of(number: int) -> tuple[int, str]:
    for name, level in reversed(list(LEVELS.items())):
        if number >= level:
            return level, name
    return LEVELS["debug"], "debug"


def _exc_info(given: Any) -> ExcInfo:
    if isinstance(given, BaseException):
        return type(given), given, given.__traceback__
    if isinstance(given, tuple):
        return given
    return sys.exc_info()  # type: ignore[return-value]
