"""The order log: every engine keeps entries once, moves facts only forward, and counts alike."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shop_order.domain.errors import DependencyDown
from shop_order.domain.order_log import COMPLETE, Backfill, Figures, LogEntry, LogUpdate, OrderSummary
from shop_order.repository.oplog import open_order_log
from tests.contract.oplog import Log

SN = "261121080000000000000000001"
AT_MS = 1_795_219_200_123


def entry(version: int, *, order_sn: str = SN, at_ms: int = AT_MS, **changed: object) -> LogEntry:
    """What happened as the order's `version`."""
    plain = LogEntry(
        id=7_398_511_212_347_392 + version + int(order_sn[-4:]) * 100,
        order_sn=order_sn,
        version=version,
        user_id=7,
        action="create",
        old_status=0,
        new_status=1,
        operator="user",
        operator_id=7,
        reason="",
        at_ms=at_ms,
        details={"pay_fen": 1999, "lines": [{"goods_id": 1, "nums": 2}]},
    )
    return replace(plain, **changed)  # type: ignore[arg-type]


def summary(version: int, *, order_sn: str = SN, **changed: object) -> OrderSummary:
    """The order as of `version`."""
    plain = OrderSummary(order_sn, version, 7, "2026-11-21", 1, "", "", 1999, 0, 0)
    return replace(plain, **changed)  # type: ignore[arg-type]


def update(since: int, to: int, **changed: Any) -> LogUpdate:
    """From one version to another."""
    return LogUpdate(since, [entry(version) for version in range(since + 1, to + 1)], summary(to, **changed))


async def versions(log: Log, order_sn: str = SN) -> Sequence[int]:
    return [found.version for found in await log.store.entries(order_sn, 100)]


async def test_an_entry_comes_back_as_it_was_told(log: Log) -> None:
    told = entry(1, reason="TIMEOUT", operator="system", operator_id=0, details={"trade_no": "号"})
    bare = entry(2, details={})
    await log.store.append([LogUpdate(0, [told, bare], summary(2))])
    assert list(await log.store.entries(SN, 100)) == [told, bare]
    assert await log.store.summaries([SN, "9" * 27]) == {SN: summary(2)}


async def test_telling_it_again_changes_nothing(log: Log) -> None:
    for _ in range(2):
        await log.store.append([update(0, 2, status=2, channel="alipay", paid_fen=1999)])
    assert await versions(log) == [1, 2]
    assert (await log.store.figures("2026-11-21", "2026-11-21"))[0].orders == 1


async def test_facts_only_move_from_the_version_that_was_read(log: Log) -> None:
    await log.store.append([update(0, 3, status=3)])
    await log.store.append([update(0, 1)])  # somebody who read nothing was slower
    await log.store.append([update(1, 2, status=2)])
    assert (await log.store.summaries([SN]))[SN] == summary(3, status=3)
    await log.store.append([update(3, 4, status=4)])
    assert (await log.store.summaries([SN]))[SN] == summary(4, status=4)


async def test_it_names_only_what_surely_is_stored(log: Log) -> None:
    await log.store.append([update(0, 1)])
    assert SN not in await log.store.append([update(2, 3)])  # its version is not the one that was read
    surely = await log.store.append([update(1, 2)])
    assert set(surely) == (set() if log.store.durable_after_s else {SN})


async def test_figures_are_grouped_by_day_channel_and_status(log: Log) -> None:
    def one(n: int, **about: Any) -> LogUpdate:
        sn = f"26112108000000000000000{n:04d}"
        return LogUpdate(0, [entry(1, order_sn=sn)], summary(1, order_sn=sn, **about))

    await log.store.append(
        [
            one(1),
            one(2),
            one(3, status=2, channel="alipay", paid_fen=1999),
            one(4, status=2, channel="alipay", paid_fen=1999, refunded_fen=999),
            one(5, day="2026-11-22", pay_fen=1_000_000_000_000),
            one(6, day="2026-11-20"),
            one(7, day="2026-11-23"),
        ]
    )
    assert list(await log.store.figures("2026-11-21", "2026-11-22")) == [
        Figures("2026-11-21", "", 1, 2, 3998, 0, 0),
        Figures("2026-11-21", "alipay", 2, 2, 3998, 3998, 999),
        Figures("2026-11-22", "", 1, 1, 1_000_000_000_000, 0, 0),
    ]


async def test_retention_takes_the_oldest_entries_and_no_figures(log: Log) -> None:
    entries = [entry(version, at_ms=AT_MS + version) for version in (1, 2, 3, 4)]
    await log.store.append([LogUpdate(0, entries, summary(4))])
    assert await log.store.purge(AT_MS + 4, 2) == 2
    assert await versions(log) == [3, 4]
    assert await log.store.purge(AT_MS + 4, 2) == 1
    assert await log.store.purge(AT_MS + 4, 2) == 0
    assert await versions(log) == [4]
    assert (await log.store.summaries([SN]))[SN].version == 4


async def test_the_mark_is_kept_until_everything_is_thrown_away(log: Log) -> None:
    assert await log.store.backfill() == Backfill()
    await log.store.advance_backfill(Backfill(), SN)
    await log.store.advance_backfill(await log.store.backfill(), COMPLETE)
    await log.store.append([update(0, 1)])
    await log.reopen()
    assert (await log.store.backfill()).position == COMPLETE
    assert await versions(log) == [1]
    await log.store.clear()
    assert (await log.store.backfill()).position == ""
    assert await versions(log) == []
    assert await log.store.summaries([SN]) == {}
    await log.store.append([update(0, 1)])
    assert await versions(log) == [1]


async def test_counting_again_throws_away_the_facts_alone(log: Log) -> None:
    await log.store.advance_backfill(Backfill(), COMPLETE)
    old = await log.store.backfill()
    await log.store.append([update(0, 2)])
    await log.store.reset_summaries(old)
    new = await log.store.backfill()
    assert (new.position, new.is_current, old.is_current) == ("", True, False)
    assert await versions(log) == [1, 2]
    assert await log.store.summaries([SN]) == {}
    await log.store.advance_backfill(old, COMPLETE)  # who walked before
    assert await log.store.backfill() == new
    for read in (old, Backfill()):  # who was slower
        await log.store.reset_summaries(read)
        assert await log.store.backfill() == new
    await log.store.append([update(0, 2)])
    assert await log.store.summaries([SN]) == {SN: summary(2)}
    assert await versions(log) == [1, 2]
    await log.store.advance_backfill(new, COMPLETE)
    assert (await log.store.backfill()).is_complete


async def test_a_log_without_a_mark_is_counted_from_its_beginning(log: Log) -> None:
    await log.store.append([update(0, 2)])
    await log.store.reset_summaries(Backfill())
    begun = await log.store.backfill()
    assert (begun.position, begun.is_current) == ("", True)
    assert await log.store.summaries([SN]) == {}
    await log.store.append([update(0, 2)])
    await log.store.reset_summaries(Backfill())
    assert await log.store.backfill() == begun
    assert await log.store.summaries([SN]) == {SN: summary(2)}


async def test_a_mark_is_moved_only_from_where_it_was_read(log: Log) -> None:
    await log.store.advance_backfill(Backfill(), SN)
    first = await log.store.backfill()
    await log.store.advance_backfill(Backfill(), COMPLETE)
    await log.store.advance_backfill(replace(first, position="0"), COMPLETE)
    assert await log.store.backfill() == first
    await log.store.clear()
    begun = await log.store.backfill()
    await log.store.advance_backfill(first, COMPLETE)
    await log.store.advance_backfill(Backfill(), COMPLETE)
    assert await log.store.backfill() == begun
    await log.store.advance_backfill(begun, SN)
    assert await log.store.backfill() == replace(begun, position=SN)
    assert begun.run != first.run


@pytest.mark.engine("sqlite")
async def test_a_file_whose_tables_were_dropped_gets_new_ones(tmp_path: Path) -> None:
    log = open_order_log(f"sqlite:///{tmp_path / 'log.db'}")
    assert await log.append([update(0, 1)]) == {SN}
    with closing(sqlite3.connect(tmp_path / "log.db")) as other:
        other.executescript("DROP TABLE order_logs; DROP TABLE order_stats; DROP TABLE log_mark")
    with pytest.raises(DependencyDown):
        await log.append([update(0, 1)])
    assert await log.append([update(0, 1)]) == {SN}  # the next call connects again
    await log.close()
