"""The table: what bad input and abuse get, in both protocols; one row a case of the list in tests/baseline"""

from __future__ import annotations

from tests.component.abuse import callers, edge, occupying, payments, requests, spellings

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
            *occupying.ROWS,
        ),
        key=lambda row: row.number,
    )
)
