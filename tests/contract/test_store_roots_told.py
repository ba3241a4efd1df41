"""The daily roots as they are told outside, over every order database: who removes them all is seen there."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from shop_order.domain.history_root import SealedDay
from shop_order.domain.ports import LeaseLost
from shop_order.pkg.ed25519 import Ed25519Keys
from shop_order.pkg.log.masking import mask
from shop_order.service.upkeep import daily_root
from tests.contract.sealing import (
    FIRST_DAY,
    HOUR_MS,
    SECOND_DAY,
    THIRD_DAY,
    Beside,
    Sealing,
    days_of,
    three_days,
)


async def test_each_root_is_told_outside_with_all_that_its_signature_needs(sealing: Sealing) -> None:
    beside = Beside()
    await three_days(sealing, beside)
    assert list(beside.documents) == [FIRST_DAY, SECOND_DAY, THIRD_DAY]
    told = json.loads(beside.documents[SECOND_DAY])
    sealed = SealedDay(
        told["day"],
        told["last_id"],
        told["events"],
        bytes.fromhex(told["digest"]),
        bytes.fromhex(told["prev_root"]),
    )
    assert sealed.root.hex() == told["root"]
    message = b"shop-order history root 1\n" + sealed.root
    assert Ed25519Keys(sealing.pem).verify(told["key_id"], message, bytes.fromhex(told["signature"]))


async def test_each_root_is_told_to_the_log_with_nothing_masked(
    sealing: Sealing, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[dict[str, object]] = []
    monkeypatch.setattr(daily_root, "log", SimpleNamespace(info=lambda event, **fields: said.append(fields)))
    await sealing.story()
    sealing.is_after(FIRST_DAY)
    await sealing.seal()
    (line,) = [{name: mask(name, value) for name, value in fields.items()} for fields in said]
    root = await sealing.store.roots.last()
    assert root is not None
    assert (line["day"], line["events"], line["root"]) == (FIRST_DAY, 4, root.root.hex())
    assert (line["signed_by"], line["proof"]) == (root.key_id, root.signature.hex())


async def test_rows_that_were_removed_with_their_roots_are_seen_from_outside(sealing: Sealing) -> None:
    beside = Beside()
    numbers = await three_days(sealing, beside)
    sealing.unguard()
    sealing.engine.sql(f"DELETE FROM history_root WHERE day = '{THIRD_DAY}'")
    for table in ("order_event", "order_info"):
        sealing.engine.sql(f"DELETE FROM {table} WHERE order_sn = ?", numbers[2])
    assert (await sealing.verified()).what == "", "the database alone can't tell"
    found = await sealing.verified(beside)
    assert (found.broken_day, "the registry has" in found.what) == (THIRD_DAY, True)
    await sealing.seal(beside)
    assert (await days_of(sealing))[-1][0] == SECOND_DAY, "the key signs no second root of a day"
    assert set(sealing.alerts) == {"root_contradicted"}
    await sealing.seal()  # as while the witness is away
    assert (await sealing.verified()).what == ""
    found = await sealing.verified(beside)
    assert (found.broken_day, "another root" in found.what) == (THIRD_DAY, True)


async def test_a_history_that_begins_anew_is_seen_from_outside(sealing: Sealing) -> None:
    beside = Beside()
    numbers = await three_days(sealing, beside)
    sealing.unguard()
    sealing.engine.sql("DELETE FROM history_root")
    for table in ("order_event", "order_info"):
        sealing.engine.sql(f"DELETE FROM {table} WHERE order_sn = ?", numbers[2])
    sealing.is_after("2026-11-21")  # of which nobody was told anything yet
    found = await sealing.verified(beside)
    assert (found.broken_day, "the registry has" in found.what) == (FIRST_DAY, True)
    await sealing.seal(beside)
    assert await days_of(sealing) == [], "no first root of a history that had some"
    assert set(sealing.alerts) == {"root_contradicted"}
    await sealing.seal()  # as while the witness is away
    assert await days_of(sealing) == [("2026-11-21", 8)]
    found = await sealing.verified(beside)
    assert (found.days, found.broken_day, "the registry has" in found.what) == (0, FIRST_DAY, True)


async def test_a_witness_that_was_away_is_told_later(sealing: Sealing) -> None:
    beside = Beside(away=True)
    await three_days(sealing, beside)
    assert (len(await days_of(sealing)), beside.documents) == (3, {})
    found = await sealing.verified(beside)
    assert (found.what, found.not_compared) == ("", "nobody answers")
    beside.away = False
    await sealing.seal(beside)
    assert list(beside.documents) == [FIRST_DAY, SECOND_DAY, THIRD_DAY]


async def test_a_witness_that_lost_its_memory_is_told_all_with_the_next_day(sealing: Sealing) -> None:
    beside = Beside()
    await three_days(sealing, beside)
    sealer, fence = sealing.sealer(), await sealing.fence()
    for _ in range(3):
        await sealer.step(fence, beside)
    beside.documents.clear()
    sealing.is_after("2026-11-21")
    for _ in range(3):
        await sealer.step(fence, beside)
    assert list(beside.documents) == [FIRST_DAY, SECOND_DAY, THIRD_DAY, "2026-11-21"]


async def test_a_root_that_was_made_anew_while_the_witness_was_away_is_told_of_when_it_is_back(
    sealing: Sealing,
) -> None:
    beside = Beside()
    numbers = await three_days(sealing, beside)
    sealing.unguard()
    sealing.engine.sql(f"DELETE FROM history_root WHERE day = '{THIRD_DAY}'")
    sealing.engine.sql("DELETE FROM order_event WHERE order_sn = ? AND version > 1", numbers[2])
    beside.away = True
    await sealing.seal(beside)
    assert ([day for day, _ in await days_of(sealing)][-1], sealing.alerts) == (THIRD_DAY, [])
    told = beside.documents[THIRD_DAY]
    beside.away = False
    await sealing.seal(beside)
    assert sealing.alerts == ["root_contradicted"]
    assert beside.documents[THIRD_DAY] == told, "the first account stays"


async def test_days_that_a_witness_was_not_told_of_are_counted_once_they_are_late(sealing: Sealing) -> None:
    beside = Beside()
    await three_days(sealing, beside)
    assert (await sealing.verified(beside)).not_compared == ""
    del beside.documents[FIRST_DAY], beside.documents[THIRD_DAY]
    found = await sealing.verified(beside)
    assert (found.what, found.not_compared) == ("", "the registry lacks the roots of 1 day"), (
        "not of the last"
    )
    sealing.is_after(THIRD_DAY, 24 * HOUR_MS)
    assert (await sealing.verified(beside)).not_compared == "the registry lacks the roots of 2 days"
    assert (await sealing.verified()).not_compared == "", "there is none"


async def test_who_lost_the_witness_s_lock_tells_it_nothing(sealing: Sealing) -> None:
    beside = Beside(locked=False)
    await sealing.story()
    sealing.is_after(FIRST_DAY)
    sealer, fence = sealing.sealer(), await sealing.fence()
    assert await sealer.step(fence, beside) == 4
    with pytest.raises(LeaseLost):
        await sealer.step(fence, beside)
    assert beside.documents == {}


async def test_a_witness_is_not_asked_about_all_days_again_and_again(sealing: Sealing) -> None:
    beside = Beside()
    await three_days(sealing, beside)
    sealer, fence = sealing.sealer(), await sealing.fence()
    for _ in range(3):
        await sealer.step(fence, beside)
    asked = beside.asked
    for _ in range(20):
        await sealer.step(fence, beside)
    assert beside.asked == asked
