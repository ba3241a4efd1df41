"""CSV for spreadsheets, which run a cell that begins like a formula."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_NUMBER = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,4})?", re.ASCII)


def csv_text(rows: Iterable[Sequence[str | int]]) -> str:
    """Return the rows as CSV (RFC 4180); a text that a spreadsheet would run begins with an apostrophe."""
    target = io.StringIO()
    csv.writer(target).writerows([safe_cell(str(value)) for value in row] for row in rows)
    return target.getvalue()


def safe_cell(text: str) -> str:
    """Return the text of a cell; numbers stay as they are, also below 0."""
    runs = text.lstrip(" ").startswith(_FORMULA) and not _NUMBER.fullmatch(text)
    return f"'{text}" if runs else text
