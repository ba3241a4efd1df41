"""A lease of the database as a fence: who was paused, and wakes up when another has it, writes nothing."""

from __future__ import annotations

import asyncio

import pytest

from shop_order.domain.ports import Fence, LeaseLost
from shop_order.repository.dao.engine.base import Session
from shop_order.repository.dao.leases import SharedJobLeases, require_fence
from shop_order.repository.dao.store import Store
from tests.contract.engine import Engine, added
from tests.contract.sealing import FIRST_DAY, Sealing
from tests.contract.servers import connected, cut_commits

JOB = "daily_root"


async def write(store: Store, fence: Fence) -> None:
    """One row, under a lease."""

    async def job(session: Session) -> None:
        await require_fence(session, fence)
        await session.run("INSERT INTO shop_time (id, offset_ms) VALUES (?, 1)", (fence.number,))

    await store._db.writer.submit(job)


async def taken_over(server: Engine, name: str = JOB) -> SharedJobLeases:
    """Another process has it now, though ours never noticed that its time was over."""
    server.sql("UPDATE job_lease SET until_ms = 1 WHERE name = ?", name)
    other: SharedJobLeases = (await server.open()).leases  # type: ignore[assignment]
    assert await other.hold(name)
    return other


async def test_every_change_of_the_holder_has_a_larger_number(server: Engine) -> None:
    ours = server.store.leases
    assert await ours.hold(JOB)
    first = ours.fence(JOB)
    assert await ours.hold(JOB)
    assert ours.fence(JOB) == first == Fence(JOB, 1)
    other = await taken_over(server)
    assert other.fence(JOB) == Fence(JOB, 2)
    with pytest.raises(LookupError):
        ours.fence("never asked for")


async def test_what_is_written_late_is_refused_by_the_database(server: Engine) -> None:
    ours = server.store
    assert await ours.leases.hold(JOB)
    held = ours.leases.fence(JOB)
    await write(ours, held)
    other = await taken_over(server)
    assert await ours.leases.hold(JOB), "it believes that it has it still, as after a pause"
    server.sql("DELETE FROM shop_time")
    with pytest.raises(LeaseLost):
        await write(ours, held)
    assert server.count("shop_time") == 0
    await write(server.store, other.fence(JOB))
    assert server.count("shop_time") == 1


async def test_a_refused_write_costs_its_neighbours_in_the_batch_nothing(server: Engine) -> None:
    ours = server.store
    assert await ours.leases.hold(JOB)
    held = ours.leases.fence(JOB)
    await taken_over(server)
    got = await asyncio.gather(write(ours, held), *(added(ours) for _ in range(5)), return_exceptions=True)
    assert [type(one) for one in got if isinstance(one, BaseException)] == [LeaseLost]
    assert server.count("order_info") == 5


async def test_nobody_is_given_the_lease_between_the_look_and_the_commit(server: Engine) -> None:
    assert await server.store.leases.hold(JOB)
    held = server.store.leases.fence(JOB)
    looked, go_on = asyncio.Event(), asyncio.Event()

    async def slow(session: Session) -> None:
        await require_fence(session, held)
        looked.set()
        await go_on.wait()

    writing = asyncio.create_task(server.store._db.writer.submit(slow))
    await looked.wait()
    ends = "UPDATE job_lease SET until_ms = 1 WHERE name = %s"
    with connected(server.url) as connection, connection.cursor() as cursor:
        cursor.execute("SET innodb_lock_wait_timeout = 1")
        with pytest.raises(Exception, match="1205"):
            cursor.execute(ends, (JOB,))
        connection.rollback()
    go_on.set()
    await writing


async def test_a_root_of_who_was_paused_is_refused_though_nobody_sealed_the_day_meanwhile(
    server: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealing = await Sealing(server).open()
    await sealing.story()
    sealing.is_after(FIRST_DAY)
    ours, reading, go_on = sealing.store, asyncio.Event(), asyncio.Event()
    leaves = ours.roots.leaves

    async def slow(*window: int) -> object:
        found = await leaves(*window)
        reading.set()
        await go_on.wait()
        return found

    monkeypatch.setattr(ours.roots, "leaves", slow)
    holder = asyncio.ensure_future(sealing.sealer().step(await sealing.fence()))
    await asyncio.wait_for(reading.wait(), 5)
    await taken_over(server)
    go_on.set()
    with pytest.raises(LeaseLost):
        await holder
    assert server.count("history_root") == 0
    await sealing.seal()  # the other one
    assert server.sql("SELECT day, events, fence FROM history_root") == [(FIRST_DAY, 4, 2)]


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_root_whose_commit_has_no_answer_is_stored_once(
    server: Engine, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    sealing = await Sealing(server).open()
    await sealing.story()
    sealing.is_after(FIRST_DAY)
    fence = await sealing.fence()
    cut = [when]
    cut_commits(monkeypatch, cut)
    await sealing.sealer().step(fence)
    assert cut == []
    assert server.sql("SELECT day, events, fence FROM history_root") == [(FIRST_DAY, 4, 1)]
    await sealing.seal()
    assert (await sealing.verified()).what == ""
