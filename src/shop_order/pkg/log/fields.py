"""Fields that every line of a request carries, such as request_id and order_sn."""

from collections.abc import Mapping
from contextvars import ContextVar, Token
from types import MappingProxyType
from typing import Any

_NONE: Mapping[str, Any] = MappingProxyType({})
_fields: ContextVar[Mapping[str, Any]] = ContextVar("log_fields", default=_NONE)


def bind_fields(**fields: Any) -> Token[Mapping[str, Any]]:
    """Adds fields to all lines of this task; hand the token to reset_fields."""
    return _fields.set({**_fields.get(), **fields})


def reset_fields(token: Token[Mapping[str, Any]]) -> None:
    """Takes back what bind_fields added."""
    _fields.reset(token)


def bound_fields() -> Mapping[str, Any]:
    """The fields of this task."""
    return _fields.get()


def current_request_id() -> str:
    """The request id bound in this task, or an empty text outside a request."""
    return str(_fields.get().get("request_id", ""))
