"""Rows that can't be read are told of: often enough to be seen, never so often that nothing else is."""

from __future__ import annotations

import pytest

from shop_order.domain.errors import UnreadableRow
from shop_order.service import alerts
from shop_order.service.alerts import REPEAT_MS, UnreadableRowAlerts


class Told:
    """What was told, at a clock of ours."""

    def __init__(self) -> None:
        self.numbers: list[str] = []
        self.now_ms = 1_000_000
        self.unreadables = UnreadableRowAlerts(self._alert, lambda: self.now_ms)

    def _alert(self, name: str, **about: object) -> None:
        assert name == "row_unreadable"
        self.numbers.append(str(about["number"]))

    def met(self, *numbers: int) -> list[str]:
        """What is told when these are met."""
        self.numbers = []
        for number in numbers:
            self.unreadables.report(UnreadableRow(number, "broken"))
        return self.numbers


def test_a_row_is_told_of_again_after_half_an_hour() -> None:
    told = Told()
    assert told.met(1, 1, 2) == ["1", "2"]
    told.now_ms += REPEAT_MS - 1
    assert told.met(1, 2, 3) == ["3"]
    told.now_ms += 1
    assert told.met(1, 2, 3) == ["1", "2"]


def test_however_many_rows_there_are_half_an_hour_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerts, "MAX_ROWS", 10)
    told = Told()
    assert told.met(*range(25)) == [str(n) for n in range(10)]
    for _ in range(5):
        told.now_ms += REPEAT_MS // 10
        assert told.met(*range(25)) == []
    told.now_ms += REPEAT_MS // 2
    assert len(told.met(*range(25))) == 10
