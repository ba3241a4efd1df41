"""Structured JSON logs: structlog renders them at the call, the standard library's handlers write them."""

from structlog.contextvars import bind_contextvars as bind_fields
from structlog.contextvars import bound_contextvars as with_fields
from structlog.contextvars import get_contextvars as bound_fields

from shop_order.pkg.log.handlers import LogConfig, Logging
from shop_order.pkg.log.logger import RateLimitedLog, current_request_id, get_logger, log_failing, set_level
from shop_order.pkg.log.masking import mask_phone

__all__ = [
    "LogConfig",
    "Logging",
    "RateLimitedLog",
    "bind_fields",
    "bound_fields",
    "current_request_id",
    "get_logger",
    "log_failing",
    "mask_phone",
    "set_level",
    "with_fields",
]
