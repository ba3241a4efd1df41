"""CSV whose cells no spreadsheet runs."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shop_order.pkg.csv_text import csv_text, safe_cell

STARTS = st.sampled_from(["", "=", "+", "-", "@", "\t", "\r", "\n", " =", "-1"])
CELLS = st.builds(str.__add__, STARTS, st.text(st.characters(exclude_categories=["Cs"]), max_size=8))


@given(st.lists(st.lists(CELLS, min_size=1, max_size=3), max_size=4))
def test_no_cell_runs_and_nothing_is_lost(rows: list[list[str]]) -> None:
    read = list(csv.reader(io.StringIO(csv_text(rows), newline="")))
    assert [[cell.removeprefix("'") for cell in row] for row in read] == [
        [cell.removeprefix("'") for cell in row] if row != [""] else [""] for row in rows
    ]
    for cell in (cell for row in read for cell in row):
        runs = cell.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
        assert not runs or cell.lstrip("-").replace(".", "").isdigit()


@pytest.mark.parametrize("number", ["-12.50", "0.00", "19.99", "-7"])
def test_a_number_stays_one(number: str) -> None:
    assert safe_cell(number) == number


@pytest.mark.parametrize("text", ["-1+1", "-", "=1", "+1", "@a", "-1.", "--1", " =1", "-１"])
def test_what_looks_like_a_formula_is_text(text: str) -> None:
    assert safe_cell(text) == f"'{text}"
