"""What every error has."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import ClassVar


class Kind(StrEnum):
    """The families of errors; each has one gRPC code and one usual HTTP status."""

    INVALID = "INVALID"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    FORBIDDEN = "FORBIDDEN"
    NOT_FOUND = "NOT_FOUND"
    PRECONDITION = "PRECONDITION"
    CONFLICT = "CONFLICT"
    EXHAUSTED = "EXHAUSTED"
    UNAVAILABLE = "UNAVAILABLE"
    DEADLINE = "DEADLINE"
    UNIMPLEMENTED = "UNIMPLEMENTED"


class OrderServiceError(Exception):
    """A refusal the caller can act on.

    `code` is the leaf's name in UPPER_SNAKE, `details` what it is about (text to text),
    `retry_after_s` set where a retry makes sense. `http_status` None means the kind's usual one.
    `text` is the message of a leaf that always says the same. `where` is what was called, for our own log and
    commands: no caller is told an address of ours.
    """

    kind: ClassVar[Kind]
    http_status: ClassVar[int | None] = None
    retry_after_s: float | None = None
    text: ClassVar[str] = ""
    where: str = ""

    def __init__(self, message: str = "", **details: object) -> None:
        self.message = message or self.text
        super().__init__(self.message)
        self.details: Mapping[str, str] = {k: str(v) for k, v in details.items()}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.told!r})"

    @property
    def told(self) -> str:
        """The message with `where`, for operators."""
        return f"{self.message} ({self.where})" if self.where else self.message

    @property
    def code(self) -> str:
        """The machine-readable name: `OutOfStock` is `OUT_OF_STOCK`."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(self).__name__).upper()


class Unreadable(ValueError):
    """A row that is not what we write: somebody altered it, or a newer version wrote it. No caller's fault.

    `number` is its order's, attempt's or refund's.
    """

    def __init__(self, number: object, why: object) -> None:
        super().__init__(f"{number}: {why!r}")
        self.number = str(number)
