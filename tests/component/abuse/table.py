"""The table: what bad input and abuse get, in both protocols; one row a case of the list in tests/baseline"""

from __future__ import annotations

from tests.component.abuse import callers, edge, payments, requests, spellings

TABLE = tuple(
    sorted(
        (
            *requests.BUYING,
            *requests.LOOKING,
            *requests.WIRE,
            *callers.WHO,
            *callers.STATES,
            *payments.ROWS,
            *spellings.ROWS,
            *edge.EDGE,
        ),
        key=lambda row: row.number,
    )
)
