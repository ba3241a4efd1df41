"""Response shapes: one declaration per field defines both its schema and its value.

By default a field shows the attribute of the same name. Empty text becomes null where null is allowed.
Responses are plain dicts; no model instances are created (docs/decisions/rest-shapes.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

from shop_order.pkg.money import yuan_of_fen
from shop_order.web.dto.wire import rfc3339
from shop_order.web.messages import Language

Read = Callable[[Any], Any]
Compute = Callable[[Any, Language], Any]
Write = Callable[[Any, Language, Mapping[str, Any]], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class _Source:
    """The source of a field's value; `suffixes` map the field's name to the attribute's name."""

    read: str | Read = ""  # an attribute path such as `line.id`, or a function of the object
    convert: Read | None = None
    suffixes: tuple[str, str] = ("", "")
    compute: Compute | None = None
    given: bool = False


def attribute(words: str = "", example: Any = None, *, source: str | Read = "") -> Any:
    """An attribute, unchanged."""
    return _field(_Source(source), words, example)


def id_text(example: str | None = None, *, words: str = "", source: str = "") -> Any:
    """An id as a string, because JavaScript numbers are exact only up to 2**53."""
    return _field(_Source(source, str), words, example)


def yuan(words: str, example: str = "19.99", *, source: str | Read = "") -> Any:
    """An amount in yuan as a string; field `x_amount` shows attribute `x_fen`."""
    found = _Source(source, yuan_of_fen, ("_amount", "_fen"))
    pattern = r"^-?[0-9]+\.[0-9]{2}$"
    return _field(found, f"{words}，元 / yuan, two decimals", example, pattern=pattern)


def fen(words: str, example: int = 1999, *, source: str | Read = "") -> Any:
    """An amount in fen."""
    return _field(_Source(source), f"{words}，分 / fen", example)


def timestamp(words: str, *, source: str | Read = "") -> Any:
    """A time; field `x_at` shows attribute `x_ms`."""
    found = _Source(source, rfc3339, ("_at", "_ms"))
    return _field(found, words, "2026-11-23T13:45:00.000+08:00", json_schema_extra={"format": "date-time"})


def computed(compute: Compute, words: str = "", example: Any = None) -> Any:
    """A value computed from the object and the caller's language."""
    return _field(_Source(compute=compute), words, example)


def argument(words: str = "", example: Any = None) -> Any:
    """A value that is passed to `Answer.of` as a keyword argument."""
    return _field(_Source(given=True), words, example)


def _field(source: _Source, words: str, example: Any, **more: Any) -> FieldInfo:
    examples = None if example is None else [example]
    field: FieldInfo = Field(description=words or None, examples=examples, **more)
    field.metadata.append(source)
    return field


class Answer(BaseModel):
    """A response with exactly the declared fields."""

    model_config = ConfigDict(extra="forbid")

    _write: ClassVar[Write]

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Compile the fields to one function, which is as fast as a handwritten dict."""
        names: dict[str, Any] = {}
        fields = [f"{name!r}: {_expression(name, field, names)}" for name, field in cls.model_fields.items()]
        # The code consists only of declarations in this package.
        cls._write = eval(f"lambda it, language, given: {{{', '.join(fields)}}}", names)  # noqa: S307

    @classmethod
    def of(cls, it: Any, language: Language = Language.ZH, /, **given: Any) -> dict[str, Any]:
        """The response that shows `it`; `given` has the values of argument fields, and overrides others.

        Raises KeyError if an argument field is missing.
        """
        data = cls._write(it, language, given)
        data.update(given)
        return data


def _expression(name: str, field: FieldInfo, names: dict[str, Any]) -> str:
    """The code of a field's value; functions that it calls are added to `names`."""
    source = next((each for each in field.metadata if isinstance(each, _Source)), _Source())
    if source.given:
        return f"given[{name!r}]"
    if source.compute:
        names[f"compute_{name}"] = source.compute
        return f"compute_{name}(it, language)"
    if callable(source.read):
        names[f"read_{name}"] = source.read
        value = f"read_{name}(it)"
    else:
        value = f"it.{source.read or name.removesuffix(source.suffixes[0]) + source.suffixes[1]}"
    kinds = (field.annotation, *get_args(field.annotation))
    if shape := next((each for each in kinds if isinstance(each, type) and issubclass(each, Answer)), None):
        names[f"write_{name}"] = shape._write
        if get_origin(field.annotation) is list:
            return f"[write_{name}(each, language, {{}}) for each in {value}]"
        return f"None if (found := {value}) is None else write_{name}(found, language, {{}})"
    if source.convert:
        names[source.convert.__name__] = source.convert
        value = f"{source.convert.__name__}({value})"
    return f"{value} or None" if {str, type(None)} <= set(kinds) else value
