"""The order log: every engine keeps entries once, moves facts only forward, and counts alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from shop_order.domain.order_log import WHOLE, Chapter, Facts, Figures, LogEntry, Mark
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


def facts(version: int, *, order_sn: str = SN, **changed: object) -> Facts:
    """The order as of `version`."""
    plain = Facts(order_sn, version, 7, "2026-11-21", 1, "", "", 1999, 0, 0)
    return replace(plain, **changed)  # type: ignore[arg-type]


def chapter(since: int, to: int, **changed: Any) -> Chapter:
    """From one version to another."""
    return Chapter(since, [entry(version) for version in range(since + 1, to + 1)], facts(to, **changed))


async def versions(log: Log, order_sn: str = SN) -> Sequence[int]:
    return [found.version for found in await log.store.entries(order_sn, 100)]


async def test_an_entry_comes_back_as_it_was_told(log: Log) -> None:
    told = entry(1, reason="TIMEOUT", operator="system", operator_id=0, details={"trade_no": "号"})
    bare = entry(2, details={})
    await log.store.append([Chapter(0, [told, bare], facts(2))])
    assert list(await log.store.entries(SN, 100)) == [told, bare]
    assert await log.store.facts([SN, "9" * 27]) == {SN: facts(2)}


async def test_telling_it_again_changes_nothing(log: Log) -> None:
    for _ in range(2):
        await log.store.append([chapter(0, 2, status=2, channel="alipay", paid_fen=1999)])
    assert await versions(log) == [1, 2]
    assert (await log.store.figures("2026-11-21", "2026-11-21"))[0].orders == 1


async def test_facts_only_move_from_the_version_that_was_read(log: Log) -> None:
    await log.store.append([chapter(0, 3, status=3)])
    await log.store.append([chapter(0, 1)])  # somebody who read nothing was slower
    await log.store.append([chapter(1, 2, status=2)])
    assert (await log.store.facts([SN]))[SN] == facts(3, status=3)
    await log.store.append([chapter(3, 4, status=4)])
    assert (await log.store.facts([SN]))[SN] == facts(4, status=4)


async def test_it_names_only_what_surely_is_stored(log: Log) -> None:
    await log.store.append([chapter(0, 1)])
    assert SN not in await log.store.append([chapter(2, 3)])  # its version is not the one that was read
    surely = await log.store.append([chapter(1, 2)])
    assert set(surely) == (set() if log.store.settle_s else {SN})


async def test_figures_are_grouped_by_day_channel_and_status(log: Log) -> None:
    def one(n: int, **about: Any) -> Chapter:
        sn = f"26112108000000000000000{n:04d}"
        return Chapter(0, [entry(1, order_sn=sn)], facts(1, order_sn=sn, **about))

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
    await log.store.append([Chapter(0, entries, facts(4))])
    assert await log.store.forget(AT_MS + 4, 2) == 2
    assert await versions(log) == [3, 4]
    assert await log.store.forget(AT_MS + 4, 2) == 1
    assert await log.store.forget(AT_MS + 4, 2) == 0
    assert await versions(log) == [4]
    assert (await log.store.facts([SN]))[SN].version == 4


async def test_the_mark_is_kept_until_everything_is_thrown_away(log: Log) -> None:
    assert await log.store.mark() == Mark()
    await log.store.move_mark(Mark(), SN)
    await log.store.move_mark(await log.store.mark(), WHOLE)
    await log.store.append([chapter(0, 1)])
    await log.reopen()
    assert (await log.store.mark()).at == WHOLE
    assert await versions(log) == [1]
    await log.store.clear()
    assert (await log.store.mark()).at == ""
    assert await versions(log) == []
    assert await log.store.facts([SN]) == {}
    await log.store.append([chapter(0, 1)])
    assert await versions(log) == [1]


async def test_counting_again_throws_away_the_facts_alone(log: Log) -> None:
    await log.store.move_mark(Mark(), WHOLE)
    old = await log.store.mark()
    await log.store.append([chapter(0, 2)])
    await log.store.recount(old)
    new = await log.store.mark()
    assert (new.at, new.is_of_today, old.is_of_today) == ("", True, False)
    assert await versions(log) == [1, 2]
    assert await log.store.facts([SN]) == {}
    await log.store.move_mark(old, WHOLE)  # who walked before
    assert await log.store.mark() == new
    for read in (old, Mark()):  # who was slower
        await log.store.recount(read)
        assert await log.store.mark() == new
    await log.store.append([chapter(0, 2)])
    assert await log.store.facts([SN]) == {SN: facts(2)}
    assert await versions(log) == [1, 2]
    await log.store.move_mark(new, WHOLE)
    assert (await log.store.mark()).is_whole


async def test_a_log_without_a_mark_is_counted_from_its_beginning(log: Log) -> None:
    await log.store.append([chapter(0, 2)])
    await log.store.recount(Mark())
    begun = await log.store.mark()
    assert (begun.at, begun.is_of_today) == ("", True)
    assert await log.store.facts([SN]) == {}
    await log.store.append([chapter(0, 2)])
    await log.store.recount(Mark())
    assert await log.store.mark() == begun
    assert await log.store.facts([SN]) == {SN: facts(2)}


async def test_a_mark_is_moved_only_from_where_it_was_read(log: Log) -> None:
    await log.store.move_mark(Mark(), SN)
    first = await log.store.mark()
    await log.store.move_mark(Mark(), WHOLE)
    await log.store.move_mark(replace(first, at="0"), WHOLE)
    assert await log.store.mark() == first
    await log.store.clear()
    begun = await log.store.mark()
    await log.store.move_mark(first, WHOLE)
    await log.store.move_mark(Mark(), WHOLE)
    assert await log.store.mark() == begun
    await log.store.move_mark(begun, SN)
    assert await log.store.mark() == replace(begun, at=SN)
    assert begun.walk != first.walk
