"""What callers read, in Chinese and English: errors, by code and parameters, and the words of states."""

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
    """The languages we answer in; Chinese unless the caller prefers English."""

    ZH = "zh-CN"
    EN = "en"


@dataclass(frozen=True, slots=True)
class Texts:
    """The table of one language; what `{…}` stands for are the error's details."""

    errors: Mapping[str, tuple[str, str]]  # what is the case, what to do
    problems: Mapping[Problem, str]
    words: Mapping[str, Mapping[str, str]]  # name of a detail -> its values in words
    field: str
    join: str
    list: str

    def fact_and_advice(self, code: str, problem: str = "") -> tuple[str, str]:
        """What is the case and what to do, as templates."""
        return self.errors.get(f"{code}.{problem}") or self.errors[code]

    def shown(self, details: Mapping[str, str | int]) -> Mapping[str, str | int]:
        """The details in words."""
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
    """The message of a refusal in the caller's language: what is the case, and what to do."""
    texts = TEXTS[language]
    details = texts.shown(error.details)
    if isinstance(error, InvalidArgument):
        problem = texts.problems[error.problem].format_map(details)
        return texts.field.format(field=error.field, problem=problem)
    return texts.join.join(texts.fact_and_advice(error.code, error.problem)).format_map(details)


def plain_error_text(code: str, language: Language) -> str:
    """The message of what is no refusal of ours: INTERNAL, NOT_FOUND, METHOD_NOT_ALLOWED."""
    texts = TEXTS[language]
    return texts.join.join(texts.errors[code])


def operator_text(error: OrderServiceError) -> str:
    """The English message with what was called, for the one who runs the service."""
    text = error_text(error, Language.EN)
    return f"{text} ({error.where})" if error.where else text


def status_text(status: OrderStatus, language: Language) -> str:
    """The word for an order's state."""
    return TEXTS[language].words["state"][status.name]


@lru_cache(maxsize=512)
def accepted_language(accept: str) -> Language:
    """The language an `Accept-Language` asks for; Chinese when it names neither."""
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
