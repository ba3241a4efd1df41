"""The sandbox's wallet: each command moves money once, and its answer is kept until somebody took it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from shop_order.api.proto.shop import neighbours_pb2 as pb
from shop_sandbox import users, wallet
from shop_sandbox.answers import Answer, AnswerSender
from shop_sandbox.database import Database
from shop_sandbox.users import DemoUser, Users
from shop_sandbox.wallet import Wallet

NOW_MS = 1_795_000_000_000
START_FEN = 1000


class Desk:
    """A wallet of user 7 with 10 yuan, and a carrier that takes what the test lets it take."""

    def __init__(self, path: Path) -> None:
        self.database = Database(path / "users.db", users.SCHEMA + wallet.SCHEMA)
        self.users = Users(self.database)
        self.now_ms = NOW_MS
        self.wallet = Wallet(self.database, lambda: self.now_ms)
        self.sender = AnswerSender(self.database, self, lambda: self.now_ms, interval_s=1)
        self.sent: list[Answer] = []
        self.takes = True
        self.while_sending: bytes | None = None

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def send(self, answers: Sequence[Answer]) -> set[str]:
        self.sent += answers
        if self.while_sending:
            await self.wallet.take(self.while_sending)
            self.while_sending = None
        return {answer.id for answer in answers} if self.takes else set()

    async def balance(self) -> int:
        return int((await self.users.get_balance(pb.UserId(user_id=7))).balance_fen)

    async def answers(self) -> list[tuple[str, str]]:
        """(type, reason) of what is sent now."""
        self.sent.clear()
        await self.sender.send_once()
        return [(one.type, json.loads(one.body)["data"].get("reason", "")) for one in self.sent]

    async def dead_letters(self) -> int:
        sql = "SELECT count(*) FROM wallet_dead_letter"
        return int(await self.database.run(lambda connection: connection.execute(sql).fetchone()[0]))


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    made = Desk(tmp_path)
    made.database.open()
    await made.users.open([DemoUser(7, "a", balance_fen=START_FEN), DemoUser(8, "b", balance_fen=5)])
    yield made
    await made.database.close()


def command(kind: str = "debit", number: str = "P1", fen: int = 300, **data: Any) -> bytes:
    told = {"payment_sn": number, "user_id": 7, "amount_fen": fen, "version": 2} | data
    event = {"specversion": "1.0", "id": "9/wallet", "subject": "O1", "type": f"wallet.{kind}_requested"}
    return json.dumps(event | {"data": told}).encode()


async def test_a_debit_is_taken_once_and_answered_each_time(desk: Desk) -> None:
    for _ in range(3):
        assert await desk.wallet.take(command()) == "9/wallet"
        assert await desk.answers() == [("wallet.debited", "")]
    assert await desk.balance() == START_FEN - 300
    assert await desk.answers() == [], "an accepted answer is not sent again"


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"fen": START_FEN + 1}, "INSUFFICIENT_BALANCE"),
        ({"user_id": 99}, "UNKNOWN_USER"),
        ({"expire_at_ms": NOW_MS - 1}, "EXPIRED"),
    ],
)
async def test_a_refused_debit_stays_refused(desk: Desk, changed: dict[str, Any], reason: str) -> None:
    for _ in range(2):
        await desk.wallet.take(command(**changed))
        assert await desk.answers() == [("wallet.rejected", reason)]
    assert await desk.balance() == START_FEN
    await desk.wallet.take(command(number="P2", fen=START_FEN, expire_at_ms=NOW_MS))
    assert await desk.answers() == [("wallet.debited", "")], "to the last fen and the last moment"


async def test_a_refund_is_made_once_and_never_above_the_debit(desk: Desk) -> None:
    await desk.wallet.take(command())
    for number, fen, kind in (
        ("R1", 200, "refunded"),
        ("R1", 200, "refunded"),
        ("R2", 101, "rejected"),
        ("R3", 100, "refunded"),
        ("R4", 1, "rejected"),
    ):
        await desk.wallet.take(command("refund", fen=fen, refund_sn=number))
        assert (await desk.answers())[-1][0] == f"wallet.{kind}", number
    assert await desk.balance() == START_FEN
    entries = (await desk.users.list_ledger(pb.LedgerFilter())).entries
    assert [(e.kind, e.amount_fen, e.refund_sn) for e in entries if e.payment_sn] == [
        ("debit", -300, ""),
        ("refund", 200, "R1"),
        ("refund", 100, "R3"),
    ]
    for other in (command("refund", "P9", 1, refund_sn="R5"), command("refund", user_id=8, refund_sn="R6")):
        await desk.wallet.take(other)
        assert await desk.answers() == [("wallet.rejected", "NOT_DEBITED")]


async def test_what_contradicts_or_can_t_be_read_moves_nothing(desk: Desk) -> None:
    await desk.wallet.take(command())
    await desk.wallet.take(command("refund", fen=100, refund_sn="R1"))
    await desk.answers()
    before = await desk.balance()
    bad = [
        command(fen=301),
        command(user_id=8),
        command("refund", fen=99, refund_sn="R1"),
        command("refund", fen=100, refund_sn=""),
        command(fen=0),
        command(fen=-300, number="P3"),
        command(number=""),
        command("gift", "P4"),
        b"{",
    ]
    for body in bad:
        await desk.wallet.take(body)
    assert await desk.balance() == before
    assert await desk.dead_letters() == len(bad)
    assert await desk.answers() == []


async def test_an_answer_that_is_not_taken_comes_again_later(desk: Desk) -> None:
    desk.takes = False
    await desk.wallet.take(command())
    assert len(await desk.answers()) == 1
    assert await desk.answers() == [], "not at once"
    desk.takes, desk.now_ms = True, desk.now_ms + 1_000
    assert len(await desk.answers()) == 1
    desk.now_ms += 3_600_000
    assert await desk.answers() == []


async def test_an_answer_asked_for_while_it_is_sent_is_sent_again(desk: Desk) -> None:
    await desk.wallet.take(command())
    desk.while_sending = command()
    assert len(await desk.answers()) == 1
    assert len(await desk.answers()) == 1
    assert await desk.answers() == []


KILLED = """
import asyncio, sys
from pathlib import Path
from shop_sandbox import users, wallet
from shop_sandbox.database import Database
from shop_sandbox.wallet import Wallet

async def main():
    database = Database(Path(sys.argv[1]), users.SCHEMA + wallet.SCHEMA)
    database.open()
    mine = Wallet(database, lambda: 0)
    print("ready", flush=True)
    for n in range(10_000):
        body = '{"id":"%d","subject":"O","type":"wallet.debit_requested","data":' % n
        body += '{"payment_sn":"K%d","user_id":7,"amount_fen":1}}' % n
        await mine.take(body.encode())

asyncio.run(main())
"""


def killed_after(seconds: float, path: Path) -> None:
    """A wallet of its own process on this file, killed while it works."""
    with subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(seconds)
        process.kill()


async def test_debit_ledger_and_answer_survive_a_kill_together(desk: Desk, tmp_path: Path) -> None:
    sql = "UPDATE user SET balance_fen = 100000 WHERE id = 7"
    await desk.database.run(lambda connection: connection.execute(sql))
    sql = "UPDATE ledger SET amount_fen = 100000 WHERE user_id = 7"
    await desk.database.run(lambda connection: connection.execute(sql))
    await desk.database.close()
    for round in range(4):
        await asyncio.to_thread(killed_after, 0.03 + 0.05 * round, tmp_path / "users.db")
    desk.database.open()
    counts = (
        "SELECT (SELECT count(*) FROM wallet_debit WHERE payment_sn LIKE 'K%'),"
        " (SELECT -sum(amount_fen) FROM ledger WHERE payment_sn LIKE 'K%'),"
        " (SELECT count(*) FROM wallet_answer), 100000 - (SELECT balance_fen FROM user WHERE id = 7)"
    )
    found = await desk.database.run(lambda connection: connection.execute(counts).fetchone())
    assert len(set(found)) == 1
    assert found[0] > 0, "it was killed before its first command: nothing was tried"
