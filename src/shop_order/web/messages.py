"""The status and the message of each error, in both protocols and languages (docs/errors.md)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any, cast, get_args

import yaml
from grpc import StatusCode

from shop_order.domain.errors import InvalidArgument, Kind, OrderServiceError
from shop_order.domain.problems import Dependency, Problem
from shop_order.domain.status import OrderStatus, PaymentType, RefundState

ERROR_DOMAIN = "order.shop"
INTERNAL_CODE = "INTERNAL"
# HTTP errors that occur before a route is found
ROUTING_CODES: Mapping[int, str] = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}


# ---- statuses ----


@dataclass(frozen=True, slots=True)
class WireStatus:
    """The status of an error in both protocols."""

    grpc: StatusCode
    http: int


STATUS: Mapping[Kind, WireStatus] = {
    Kind.INVALID: WireStatus(StatusCode.INVALID_ARGUMENT, 400),
    Kind.UNAUTHENTICATED: WireStatus(StatusCode.UNAUTHENTICATED, 401),
    Kind.FORBIDDEN: WireStatus(StatusCode.PERMISSION_DENIED, 403),
    Kind.NOT_FOUND: WireStatus(StatusCode.NOT_FOUND, 404),
    Kind.PRECONDITION: WireStatus(StatusCode.FAILED_PRECONDITION, 409),
    Kind.CONFLICT: WireStatus(StatusCode.ABORTED, 409),
    Kind.EXHAUSTED: WireStatus(StatusCode.RESOURCE_EXHAUSTED, 429),
    Kind.UNAVAILABLE: WireStatus(StatusCode.UNAVAILABLE, 503),
    Kind.DEADLINE: WireStatus(StatusCode.DEADLINE_EXCEEDED, 504),
    Kind.UNIMPLEMENTED: WireStatus(StatusCode.UNIMPLEMENTED, 501),
}
INTERNAL = WireStatus(StatusCode.INTERNAL, 500)  # any other exception


def grpc_code(error: OrderServiceError | type[OrderServiceError]) -> StatusCode:
    """The gRPC code of an error."""
    return STATUS[error.kind].grpc


def http_status(error: OrderServiceError | type[OrderServiceError]) -> int:
    """The HTTP status of an error: its own if it has one, otherwise that of its kind."""
    return error.http_status or STATUS[error.kind].http


# ---- texts ----


class Language(StrEnum):
    """Response languages; Chinese unless the caller prefers English."""

    ZH = "zh-CN"
    EN = "en"


@dataclass(frozen=True, slots=True)
class Texts:
    """The texts of one language; placeholders such as `{limit}` are filled from the error's details."""

    join: str
    list: str
    field: str
    errors: Mapping[str, Sequence[str]]  # code or code.problem -> fact, advice
    problems: Mapping[Problem, str]
    details: Mapping[str, Mapping[str, str]]  # name of a detail -> display names of its values
    pages: Mapping[str, Mapping[str, Any]]  # page or document -> its texts

    def message(self, code: str, problem: str, details: Mapping[str, str | int]) -> str:
        """What is wrong, and what to do; of a field, its path and its problem."""
        shown = self._shown(details)
        if code == InvalidArgument.code:
            told = self.problems[cast(Problem, problem)].format_map(shown)
            return self.field.format(field=details["field"], problem=told)
        fact_and_advice = self.errors.get(f"{code}.{problem}") or self.errors[code]
        return self.join.join(fact_and_advice).format_map(shown)

    def _shown(self, details: Mapping[str, str | int]) -> Mapping[str, str | int]:
        """The details with display names in place of codes."""
        found = {name: self.details.get(name, {}).get(str(value), value) for name, value in details.items()}
        if "allowed" in found:
            found["allowed"] = self.list.join(str(found["allowed"]).split(","))
        return found


@cache
def texts() -> Mapping[Language, Texts]:
    """The texts of each language, from `texts/*.yaml`; read once.

    Raises ValueError if a text is missing, or if the languages differ in keys or placeholders.
    """
    folder = files("shop_order.web") / "texts"
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # eight times faster, where there is libyaml
    zh, en = (
        yaml.load((folder / name).read_text("utf-8"), loader)  # noqa: S506 - a SafeLoader
        for name in ("zh.yaml", "en.yaml")
    )
    if differences := set(_leaves(zh)) ^ set(_leaves(en)):
        raise ValueError(f"zh.yaml and en.yaml differ in {sorted(differences)}")
    found = {Language.ZH: Texts(**zh), Language.EN: Texts(**en)}
    chinese = found[Language.ZH]
    missing = {leaf.code for leaf in OrderServiceError.__subclasses__()} - chinese.errors.keys()
    missing |= set(get_args(Problem)) - chinese.problems.keys()
    missing |= set(get_args(Dependency)) - chinese.details["dependency"].keys()
    missing |= {*OrderStatus.__members__, *RefundState.__members__} - chinese.details["state"].keys()
    missing |= {kind.code for kind in PaymentType if kind.code} - chinese.details["channel"].keys()
    if missing:
        raise ValueError(f"there are no texts for {sorted(missing)}")
    return found


def _leaves(node: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """The path of each text, and its placeholders."""
    if isinstance(node, str):
        yield path, " ".join(sorted(set(re.findall(r"\{(\w+)\}", node))))
        return
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        yield from _leaves(value, f"{path}/{key}")


def error_text(error: OrderServiceError, language: Language) -> str:
    """The message of an error in the caller's language."""
    return texts()[language].message(error.code, error.problem, error.details)


def plain_error_text(code: str, language: Language) -> str:
    """The message of an error outside the domain: INTERNAL, NOT_FOUND, METHOD_NOT_ALLOWED."""
    return texts()[language].message(code, "", {})


def operator_text(error: OrderServiceError) -> str:
    """The English message for operators, with the service or address that was called."""
    text = error_text(error, Language.EN)
    return f"{text} ({error.where})" if error.where else text


def status_text(status: OrderStatus, language: Language) -> str:
    """The display name of an order's status."""
    return texts()[language].details["state"][status.name]


def refund_state_text(state: RefundState, language: Language) -> str:
    """The display name of a refund's state."""
    return texts()[language].details["state"][state.name]


def channel_names(language: Language) -> Mapping[str, str]:
    """The display names of the payment channels, by their codes."""
    return texts()[language].details["channel"]


# ---- the caller's language ----


@lru_cache(maxsize=512)
def accepted_language(accept: str) -> Language:
    """The language that an `Accept-Language` header prefers; Chinese by default."""
    best, best_quality = Language.ZH, 0.0
    for part in accept[:256].split(","):
        tag, _, parameter = part.strip().partition(";")
        known = {"zh": Language.ZH, "en": Language.EN}.get(tag.strip().lower().partition("-")[0])
        quality = _quality(parameter)
        if known and quality > best_quality:
            best, best_quality = known, quality
    return best


def _quality(parameter: str) -> float:
    match = re.fullmatch(r"\s*q\s*=\s*([01](?:\.[0-9]{0,3})?)\s*", parameter)
    return float(match[1]) if match else (0.0 if parameter.strip() else 1.0)
