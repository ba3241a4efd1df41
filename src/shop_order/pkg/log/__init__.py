"""Structured JSON logs, written off the request's path. What others use is named here."""

from shop_order.pkg.log.fields import bind_fields, bound_fields, current_request_id, reset_fields
from shop_order.pkg.log.logger import Logger, get_logger
from shop_order.pkg.log.masking import mask_phone
from shop_order.pkg.log.setup import LogConfig, Logging, log_failing, set_level, start_logging

__all__ = [
    "LogConfig",
    "Logger",
    "Logging",
    "bind_fields",
    "bound_fields",
    "current_request_id",
    "get_logger",
    "log_failing",
    "mask_phone",
    "reset_fields",
    "set_level",
    "start_logging",
]
