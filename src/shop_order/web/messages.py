"""Messages for callers in Chinese and English: errors by code and parameters, and names of statuses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from types import ModuleType

from shop_order.domain.errors import InvalidArgument, OrderServiceError
from shop_order.domain.problems import Problem
from shop_order.domain.status import OrderStatus
from shop_order.web import texts_en, texts_zh


class Language(StrEnum):
    """Response languages; Chinese unless the caller prefers English."""

    ZH = "zh-CN"
    EN = "en"


@dataclass(frozen=True, slots=True)
class Texts:
    """The texts of one language; placeholders such as `{limit}` are filled from the error's details."""

    errors: Mapping[str, tuple[str, str]]  # code or code.problem -> fact, advice
    problems: Mapping[Problem, str]
    words: Mapping[str, Mapping[str, str]]  # name of a detail -> display names of its values
    field: str
    join: str
    list: str

    def fact_and_advice(self, code: str, problem: str = "") -> tuple[str, str]:
        """The templates for what is wrong and what to do about it."""
        return self.errors.get(f"{code}.{problem}") or self.errors[code]

    def shown(self, details: Mapping[str, str | int]) -> Mapping[str, str | int]:
        """The details with display names in place of codes."""
        found = {name: self.words.get(name, {}).get(str(value), value) for name, value in details.items()}
        if "allowed" in found:
            found["allowed"] = self.list.join(str(found["allowed"]).split(","))
        return found


def _table(of: ModuleType) -> Texts:
    states = {"state": of.STATUSES, "wanted": of.STATUSES}
    words = {**states, "dependency": of.DEPENDENCIES, "channel": of.CHANNELS}
    return Texts(of.ERRORS, of.PROBLEMS, words, of.FIELD, of.JOIN, of.LIST)


TEXTS: Mapping[Language, Texts] = {Language.ZH: _table(texts_zh), Language.EN: _table(texts_en)}


def error_text(error: OrderServiceError, language: Language) -> str:
    """The message of an error in the caller's language: what is wrong, and what to do."""
    texts = TEXTS[language]
    details = texts.shown(error.details)
    if isinstance(error, InvalidArgument):
        problem = texts.problems[error.problem].format_map(details)
        return texts.field.format(field=error.field, problem=problem)
    return texts.join.join(texts.fact_and_advice(error.code, error.problem)).format_map(details)


def plain_error_text(code: str, language: Language) -> str:
    """The message of an error outside the domain: INTERNAL, NOT_FOUND, METHOD_NOT_ALLOWED."""
    texts = TEXTS[language]
    return texts.join.join(texts.errors[code])


def operator_text(error: OrderServiceError) -> str:
    """The English message for operators, with the service or address that was called."""
    text = error_text(error, Language.EN)
    return f"{text} ({error.where})" if error.where else text


def status_text(status: OrderStatus, language: Language) -> str:
    """The display name of an order's status."""
    return TEXTS[language].words["state"][status.name]


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
