"""A database that can not be used is away, whichever statement finds out: nothing is stored half."""

from __future__ import annotations

import asyncio

import pytest

from shop_order.domain.errors import DependencyDown, OrderNotFound, OrderServiceError, UnreadableRow
from tests.contract.engine import NOW_MS, Engine, FileEngine, add, added, order, sn


def spoil(engine: FileEngine, first_byte: int) -> None:
    """Overwrite the file from there on, as a failing disk would."""
    for log in engine.path.parent.glob(f"{engine.path.name}-*"):
        if not log.name.endswith(".lock"):
            log.unlink()
    content = engine.path.read_bytes()
    engine.path.write_bytes(content[:first_byte] + b"Z" * (len(content) - first_byte))


async def test_a_table_that_can_not_be_read_is_a_database_that_is_down(engine: Engine) -> None:
    new = await added(engine.store)
    engine.sql("ALTER TABLE idempotency_key RENAME TO elsewhere")
    with pytest.raises(DependencyDown):
        await engine.store.orders.key("7:place", "k", NOW_MS)
    with pytest.raises(DependencyDown):
        await engine.store.orders.purge_keys(NOW_MS)
    assert (await engine.store.orders.get(new.order_sn)).id == new.id


async def test_a_row_that_can_not_be_read_hides_no_other(engine: Engine) -> None:
    many = [await added(engine.store) for _ in range(4)]
    engine.sql("UPDATE order_info SET pay_type = 'shells' WHERE order_sn = ?", many[2].order_sn)
    asked = [*(one.order_sn for one in many), sn()]
    got = await asyncio.gather(*map(engine.store.orders.get, asked), return_exceptions=True)
    assert [one.id for one in got if isinstance(one, type(many[0]))] == [many[n].id for n in (0, 1, 3)]
    assert [type(got[n]) for n in (2, 4)] == [UnreadableRow, OrderNotFound]


@pytest.mark.parametrize("first_byte", [0, 4096])
async def test_a_damaged_file_refuses_the_start(file_engine: FileEngine, first_byte: int) -> None:
    engine = file_engine
    await added(engine.store)
    await engine.opened.pop().close()
    spoil(engine, first_byte)
    with pytest.raises(DependencyDown):
        await engine.open()


async def test_a_full_disk_refuses_every_order_of_the_batch_and_stores_none(file_engine: FileEngine) -> None:
    engine = file_engine
    await added(engine.store)
    writer = engine.store._db.writer
    ((pages,),) = await writer.submit(lambda session: session.all("PRAGMA page_count"))
    await writer.submit(lambda session: session.first(f"PRAGMA max_page_count={pages}"))
    many = [order((1, 1), (2, 1), (3, 1)) for _ in range(200)]
    answers = await asyncio.gather(*(add(engine.store, new) for new in many), return_exceptions=True)
    refused = [new for new, answer in zip(many, answers, strict=True) if isinstance(answer, Exception)]
    assert refused
    assert {type(answer) for answer in answers if isinstance(answer, Exception)} == {DependencyDown}
    await writer.submit(lambda session: session.first("PRAGMA max_page_count=100000"))
    for new in refused:
        with pytest.raises(OrderServiceError):
            await engine.store.orders.get(new.order_sn)
    await add(engine.store, refused[0])
    assert engine.count("order_info") == 1 + len(many) - len(refused) + 1
