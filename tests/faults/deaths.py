"""Stories of money in which a process dies at an exact point, and what must be true afterwards."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import grpc.aio
import httpx

from shop_order.api.proto.shop import neighbours_pb2 as pb
from shop_order.api.proto.shop.neighbours_pb2_grpc import InventoryStub, UsersStub
from shop_order.cmd.wiring.core import Core
from shop_order.cmd.wiring.from_settings import dev_token
from shop_order.configs import load
from shop_order.domain.valueobject.parties import Role
from tests.faults.mortal import REACHED
from tests.faults.processes import GOODS, SERVICE, Processes
from tests.shop import ADDRESS

BUYER, ADMIN = 7, 1
ROOT = Path(__file__).resolve().parents[2]
ONE, NUMS, FEN = GOODS[0], 2, 100  # what is bought, and the price of one
PAID, SHIPPED, CANCELLED = 2, 3, 5
TICK_S = 10  # the shop's clock moves so far while something is waited for,
MAX_TICKS = 40  # but not past the time in which an order must be paid
NOT_NOW = frozenset({409, 429, 500, 502, 503, 504})


class Mortals(Processes):
    """Processes that die at a point, and are started again at once."""

    start_s = 90.0
    patience_s = 120.0  # half a minute each for a start on a busy machine and for a broker to miss a consumer

    def __init__(self, folder: Path, **environ: str) -> None:
        super().__init__(folder, **environ)
        self._point = folder / "dies-at"
        self.deaths: Counter[str] = Counter()

    def _command(self, name: str, *words: str) -> list[str]:
        return [sys.executable, "-m", "tests.faults.mortal", self._modules[name], *words]

    def _env(self, name: str) -> dict[str, str]:
        env = super()._env(name)
        return env | {"DIES_AT": str(self._point), "PYTHONPATH": f"{env['PYTHONPATH']}:{ROOT}"}

    def arm(self, point: str) -> None:
        """Whoever reaches this point dies."""
        self._reached().unlink(missing_ok=True)
        self._point.write_text(point)

    def disarm(self) -> None:
        """Nobody dies any more."""
        self._point.unlink(missing_ok=True)

    def has_died(self) -> bool:
        """Whether the point was reached."""
        return self._reached().exists()

    def _reached(self) -> Path:
        return self._point.with_name(self._point.name + REACHED)

    @asynccontextmanager
    async def supervised(self) -> AsyncIterator[None]:
        """Start again whoever ends, as a supervisor does."""

        async def watch() -> None:
            while True:
                for name in [name for name, one in self._running.items() if one.poll() is not None]:
                    assert self._running[name].returncode == -9, self.said(name)[-3000:]
                    self.deaths[name] += 1
                    await self.start(name)
                await asyncio.sleep(0.02)

        async with asyncio.TaskGroup() as group:
            watching = group.create_task(watch())
            yield
            watching.cancel()

    @asynccontextmanager
    async def core(self) -> AsyncIterator[Core]:
        """Our own view of the books, beside the running service as the commands have it."""
        with patch.dict("os.environ", self._env(SERVICE), clear=True):
            loaded = load(self._env(SERVICE))
            core = Core(loaded, token=dev_token(loaded.settings))
            await core.open(serve=False)
        try:
            yield core
        finally:
            await core.close()


@dataclass(slots=True)
class Told:
    """What a story did, and how its order ends: `back` pieces are returned, and their money."""

    order_sn: str
    payment_sn: str
    channel: str
    back: int = 0
    status: int = PAID


@dataclass(slots=True)
class Person:
    """Buyer, admin and provider; whatever is not answered is asked again, until it is."""

    town: Mortals
    key: str
    http: httpx.AsyncClient
    provider: httpx.AsyncClient
    tries: Counter[str] = field(default_factory=Counter)

    async def ask(
        self, method: str, path: str, body: Any = None, *, key: str = "", admin: bool = False
    ) -> Any:
        """The data of the answer. Raises AssertionError for a refusal, or after the town's patience."""
        role, user = (Role.ADMIN, ADMIN) if admin else (Role.USER, BUYER)
        headers = {"Authorization": f"Bearer {self.town.token(user, role=role)}"}
        if key:
            headers["Idempotency-Key"] = f"{self.key}-{key}"
        end, said = time.monotonic() + self.town.patience_s, "nothing"
        while time.monotonic() < end:
            try:
                answer = await self.http.request(method, f"/api/v1{path}", json=body, headers=headers)
            except httpx.TransportError as lost:
                said = repr(lost)
            else:
                if answer.status_code == 200:
                    return answer.json()["data"]
                said = answer.text
                assert answer.status_code in NOT_NOW, said
            self.tries[path] += 1
            await asyncio.sleep(0.1)
        raise AssertionError(f"{method} {path}: {said}")

    async def pays(self, channel: str, payment_sn: str) -> None:
        """At the provider; refused, if it has the money since a try whose answer was lost."""
        end = time.monotonic() + self.town.patience_s
        while time.monotonic() < end:
            try:
                answer = await self.provider.post(f"/{channel}/sim/{payment_sn}/pay")
            except httpx.TransportError:
                await asyncio.sleep(0.1)
                continue
            assert answer.status_code in (200, 409), answer.text
            return
        raise AssertionError("the provider is away")

    async def page(self, url: str) -> None:
        """Follow the link to the provider."""
        for _ in range(100):
            try:
                assert (await self.provider.get(url)).status_code == 200
                return
            except httpx.TransportError:
                await asyncio.sleep(0.1)
        raise AssertionError("the provider is away")

    async def until(self, true: Callable[[], Awaitable[bool]]) -> None:
        """Wait, while the shop's clock goes on."""
        end, ticks = time.monotonic() + self.town.patience_s, 0
        while not await true():
            assert time.monotonic() < end, f"not in time; deaths so far: {dict(self.town.deaths)}"
            await asyncio.sleep(0.3)
            if (ticks := ticks + 1) <= MAX_TICKS:
                await self.ask("POST", "/admin/clock", {"advance_s": TICK_S}, admin=True)

    async def until_status(self, order_sn: str, status: int) -> None:
        """The order is in this state."""

        async def there() -> bool:
            return bool((await self.ask("GET", f"/orders/{order_sn}"))["status"] == status)

        await self.until(there)

    async def until_refunded(self, refund_sn: str) -> None:
        """The money is back."""

        async def there() -> bool:
            return bool((await self.ask("GET", f"/refunds/{refund_sn}"))["state"] == "succeeded")

        await self.until(there)


Story = Callable[[Person, str], Awaitable[Told]]


async def pay(person: Person, channel: str) -> Told:
    """An order is placed and paid."""
    items = [{"goods_id": ONE, "nums": NUMS}]
    order_sn = (await person.ask("POST", "/orders", {"items": items, "address": ADDRESS}, key="place"))[
        "order_sn"
    ]
    attempt = await person.ask("POST", f"/orders/{order_sn}/pay", {"payment_type": channel}, key="pay")
    if channel == "alipay":
        await person.page(attempt["payment_url"])
    if channel != "balance":
        await person.pays(channel, attempt["payment_sn"])
    await person.until_status(order_sn, PAID)
    return Told(order_sn, attempt["payment_sn"], channel)


async def refund(person: Person, channel: str) -> Told:
    """One of two pieces is refunded before shipping."""
    told = await pay(person, channel)
    wish = {"items": [{"goods_id": ONE, "nums": 1}]}
    asked = await person.ask("POST", f"/orders/{told.order_sn}/refunds", wish, key="refund")
    await person.ask("POST", f"/admin/refunds/{asked['refund_sn']}/approve", admin=True)
    await person.until_refunded(asked["refund_sn"])
    told.back = 1
    return told


async def send_back(person: Person, channel: str) -> Told:
    """One of two pieces comes back by parcel."""
    told = await pay(person, channel)
    parcel = {"logistics_company": "SF", "logistics_no": "SF1"}
    await shipped(person, told.order_sn, parcel)
    wish = {"type": "return", "items": [{"goods_id": ONE, "nums": 1}]}
    sn = (await person.ask("POST", f"/orders/{told.order_sn}/refunds", wish, key="refund"))["refund_sn"]
    await person.ask("POST", f"/admin/refunds/{sn}/approve", admin=True)
    await person.ask("POST", f"/refunds/{sn}/parcel", parcel)
    await person.ask("POST", f"/admin/refunds/{sn}/received", admin=True)
    await person.until_refunded(sn)
    told.back, told.status = 1, SHIPPED
    return told


async def shipped(person: Person, order_sn: str, parcel: Mapping[str, str]) -> None:
    await person.ask("POST", f"/admin/orders/{order_sn}/ship", parcel, admin=True)


async def cancel(person: Person, channel: str) -> Told:
    """An admin cancels the paid order: all money is refunded."""
    told = await pay(person, channel)
    await person.ask("POST", f"/admin/orders/{told.order_sn}/cancel", admin=True)
    await person.until_status(told.order_sn, CANCELLED)
    told.back, told.status = NUMS, CANCELLED
    return told


STORIES: Mapping[str, Story] = {"pay": pay, "refund": refund, "return": send_back, "cancel": cancel}


async def play(town: Mortals, channel: str, story: str, point: str) -> None:
    """Play the story, let a process die at the point, and compare everything afterwards."""
    plain: dict[str, Any] = {"trust_env": False, "timeout": 5}
    coming_back = httpx.AsyncHTTPTransport(verify=False, trust_env=False, retries=8)  # it may be starting
    key = f"{channel} {story} {point}"
    async with (
        httpx.AsyncClient(base_url=town.url, verify=False, **plain) as http,
        httpx.AsyncClient(base_url=town.sandbox_url, transport=coming_back, **plain) as provider,
        grpc.aio.insecure_channel(town.neighbours_address) as neighbours,
        town.supervised(),
    ):
        person = Person(town, key, http, provider)
        stock, money = await stock_of(neighbours), await balance_of(neighbours)
        town.arm(point)
        try:
            told = await STORIES[story](person, channel)

            async def died() -> bool:
                return town.has_died()

            await person.until(died)
        finally:
            town.disarm()
        async with town.core() as core:
            await person.until(lambda: is_at_rest(core))
            await books_are_right(core, told)
            await money_is_right(provider, neighbours, told, money)
            sold = NUMS - told.back

            async def stock_is_right() -> bool:
                return await stock_of(neighbours) == (stock[0] - sold, stock[1], stock[2] + sold)

            await person.until(stock_is_right)
            report = await core.doctor.examine()
            assert report.clean, sorted(report.findings, key=str)
            assert report.in_flight == 0
            assert (await core.audit.verify(None))[1] == []
            assert not (await core.root_audit.verify()).broken
        assert (await provider.get("/admin/dead-letters")).json() == []


async def is_at_rest(core: Core) -> bool:
    """Nothing is to be published or sent."""
    waiting = (await core.store.outbox.lag())[0]
    due = await core.store.payments.due_refunds(core.clock() + 10**9, 1)
    return not waiting and not due


async def books_are_right(core: Core, told: Told) -> None:
    """One attempt was paid; the order ended as told, and each step is in its history once."""
    order = await core.store.orders.get(told.order_sn)
    assert int(order.status) == told.status
    (payment,) = order.payments.values()
    assert (payment.payment_sn, payment.amount_fen) == (told.payment_sn, NUMS * FEN)
    refunds = [one for one in order.refunds.values() if one.is_refunded]
    assert len(order.refunds) == len(refunds) == bool(told.back)
    assert sum(one.amount_fen for one in refunds) == told.back * FEN
    types = Counter(event.type for event in await core.store.orders.history(told.order_sn))
    once = ["order.created", "payment.opened", "order.paid"]
    once += ["refund.requested", "refund.approved", "refund.sent", "refund.succeeded"] if told.back else []
    assert {kind: types[kind] for kind in once} == dict.fromkeys(once, 1), types


async def money_is_right(provider: httpx.AsyncClient, neighbours: Any, told: Told, before: int) -> None:
    """The provider, or the wallet, took the money once and gave back what we say, once."""
    back = [told.back * FEN] if told.back else []
    if told.channel == "balance":
        entries = await ledger_of(neighbours, told.payment_sn)
        assert entries == [-NUMS * FEN, *back]
        assert await balance_of(neighbours) == before + sum(entries)
        return
    trade = (await provider.get(f"/{told.channel}/sim/{told.payment_sn}")).json()
    assert trade["amount_fen"] == NUMS * FEN
    assert [one["amount_fen"] for one in trade["refunds"]] == back


async def stock_of(neighbours: Any) -> tuple[int, int, int]:
    """(available, reserved, sold) of the goods."""
    (one,) = (await InventoryStub(neighbours).GetStock(pb.GoodsIds(ids=[ONE]), wait_for_ready=True)).stocks
    return one.available, one.reserved, one.sold


async def balance_of(neighbours: Any) -> int:
    """The buyer's balance in fen."""
    return int(
        (await UsersStub(neighbours).GetBalance(pb.UserId(user_id=BUYER), wait_for_ready=True)).balance_fen
    )


async def ledger_of(neighbours: Any, payment_sn: str) -> list[int]:
    """What the wallet took and gave for a payment."""
    entries = (
        await UsersStub(neighbours).ListLedger(pb.LedgerFilter(limit=1000), wait_for_ready=True)
    ).entries
    return [one.amount_fen for one in entries if one.payment_sn == payment_sn]
