"""WeChat Pay's bills: asked for, downloaded with a signature, and as an operator made them differ."""

from __future__ import annotations

import gzip
import hashlib
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from tests.component.sandbox.conftest import Clock
from tests.component.sandbox.wechat_merchant import WechatMerchant

CHINA = timezone(timedelta(hours=8))
HOUR_MS = 3_600_000


@pytest.fixture
def day(clock: Clock) -> date:
    """Yesterday, at noon of which the provider lives now."""
    day = datetime.fromtimestamp(clock() / 1000, CHINA).date() - timedelta(days=1)
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=CHINA)
    clock.ahead_ms += int(noon.timestamp()) * 1000 - clock()
    return day


async def asked(wechat: WechatMerchant, day: object, more: str = "") -> tuple[int, dict[str, Any]]:
    return await wechat.call("GET", f"/v3/bill/tradebill?bill_date={day}{more}")


async def fetched(wechat: WechatMerchant, day: date, more: str = "") -> list[list[str]]:
    """The rows of a bill, without the backticks; the last one has the totals."""
    status, answer = await asked(wechat, day, more)
    assert (status, answer["hash_type"]) == (200, "SHA1"), answer
    reply = await wechat.send("GET", answer["download_url"].removeprefix(wechat.base))
    assert reply.status_code == 200
    content = gzip.decompress(reply.content) if "GZIP" in more else reply.content
    assert hashlib.sha1(content, usedforsecurity=False).hexdigest() == answer["hash_value"]
    return rows_of(content)


def rows_of(content: bytes) -> list[list[str]]:
    text = content.decode("utf-8-sig")
    assert text.endswith("\r\n")
    head, *lines = text.split("\r\n")[:-1]
    names = lines.pop(-2)
    assert names.startswith("总交易单数,")
    rows = [line.removeprefix("`").split(",`") for line in lines]
    assert {len(row) for row in rows[:-1]} <= {len(head.split(","))}
    return rows


async def planted(wechat: WechatMerchant, day: object, change: object) -> int:
    return (await wechat.client.post(f"{wechat.base}/sim/bills/{day}", json=change)).status_code


async def a_day(wechat: WechatMerchant) -> None:
    """Two payments and a refund; one order stays unpaid."""
    for number in ("P000001", "P000002", "P000003"):
        await wechat.open(number, description="一件, `好`货")
    for number in ("P000001", "P000002"):
        await wechat.act("pay", number, "?notice=0")
    await wechat.act("refund_stay")
    await wechat.refund(500)


async def test_a_bill_has_what_moved_on_its_day(wechat: WechatMerchant, clock: Clock, day: date) -> None:
    await a_day(wechat)
    assert (await asked(wechat, day))[1]["code"] == "STATEMENT_CREATING"
    clock.ahead_ms += 22 * HOUR_MS
    paid, other, refund, totals = await fetched(wechat, day)
    assert (paid[6], paid[8:12]) == ("P000001", ["NATIVE", "SUCCESS", "OTHERS", "CNY"])
    assert paid[12:20] == ["19.99", "0.00", "0", "0", "0.00", "0.00", "", ""]
    assert paid[20:] == ["一件,  好 货", paid[21], "0.12000", "0.60%", "19.99", "0.00", ""]
    assert other[6] == "P000002"
    assert refund[9] == "REFUND"
    assert refund[12:20] == ["0.00", "0.00", refund[14], "R1", "5.00", "0.00", "ORIGINAL", "PROCESSING"]
    assert refund[22:] == ["-0.03000", "0.60%", "0.00", "5.00", ""]
    assert totals == ["3", "39.98", "5.00", "0.00", "0.21000", "39.98", "5.00"]
    assert sum(Decimal(row[22]) for row in (paid, other, refund)) == Decimal(totals[4])


async def test_parts_of_a_bill_and_a_packed_one(wechat: WechatMerchant, clock: Clock, day: date) -> None:
    await a_day(wechat)
    clock.ahead_ms += 22 * HOUR_MS
    assert await fetched(wechat, day, "&tar_type=GZIP") == await fetched(wechat, day)
    success = await fetched(wechat, day, "&bill_type=SUCCESS")
    assert [row[6] for row in success[:-1]] == ["P000001", "P000002"]
    (refund, _) = await fetched(wechat, day, "&bill_type=REFUND")
    assert refund[17] == "R1"


async def test_what_cannot_be_asked_for(wechat: WechatMerchant, clock: Clock, day: date) -> None:
    for more, code in (
        ("", "STATEMENT_CREATING"),
        ("&bill_type=ALL&x=1", "PARAM_ERROR"),
        ("&bill_type=MINE", "PARAM_ERROR"),
        ("&tar_type=ZIP", "PARAM_ERROR"),
    ):
        assert (await asked(wechat, day, more))[1]["code"] == code, more
    assert (await asked(wechat, "20261121"))[1]["code"] == "INVALID_REQUEST"
    assert (await asked(wechat, "x"))[1]["code"] == "PARAM_ERROR"
    assert (await asked(wechat, day + timedelta(days=1)))[1]["code"] == "INVALID_REQUEST"
    assert (await asked(wechat, day - timedelta(days=93)))[1]["code"] == "INVALID_REQUEST"
    assert (await asked(wechat, day - timedelta(days=9)))[1]["code"] == "NO_STATEMENT_EXIST"
    await a_day(wechat)
    await planted(wechat, day, {"out": True})
    _, answer = await asked(wechat, day)
    target = answer["download_url"].removeprefix(wechat.base)
    unsigned = await wechat.client.get(answer["download_url"], headers={"accept": "*/*"})
    assert unsigned.json()["code"] == "SIGN_ERROR"
    clock.ahead_ms += 30_000
    assert (await wechat.call("GET", target))[1]["code"] == "INVALID_REQUEST", "the address lives for 30 s"


async def test_a_bill_can_be_made_to_differ(wechat: WechatMerchant, day: date) -> None:
    await a_day(wechat)
    changes: list[dict[str, object]] = [
        {"out": True},
        {"missing": "P000001"},
        {"amount": "P000002", "fen": 1998},
        {"fee": "R1", "fen": -4},
        {"stranger": 77},
        {"stranger_refund": 88},
    ]
    for change in changes:
        assert await planted(wechat, day, change) == 200
    for nonsense in ({}, {"missing": 1}, {"amount": "P000002", "fen": 0}, {"fee": "R1"}):
        assert await planted(wechat, day, nonsense) == 400
    rows = await fetched(wechat, day)
    found = {(row[6], row[15]): (row[12], row[16], row[22]) for row in rows[:-1]}
    assert found == {
        ("P000002", "0"): ("19.98", "0.00", "0.12000"),
        ("P000001", "R1"): ("0.00", "5.00", "-0.04000"),
        ("STRANGER77", "0"): ("0.77", "0.00", "0.00000"),
        ("STRANGER88", "STRANGERR88"): ("0.00", "0.88", "-0.01000"),
    }
    assert rows[-1][0] == "4"


async def test_differences_by_a_seed_are_the_same_each_time(wechat: WechatMerchant, day: date) -> None:
    await a_day(wechat)
    await planted(wechat, day, {"out": True})
    before = await fetched(wechat, day)
    await planted(wechat, day, {"seed": 7})
    after = await fetched(wechat, day)
    assert after == await fetched(wechat, day)
    assert len(after) == len(before), "one is missing, one is new"
    assert sum(row in before for row in after) == 0
    hand = await wechat.client.get(f"{wechat.base}/sim/bills/{day}")
    assert rows_of(hand.content) == after
