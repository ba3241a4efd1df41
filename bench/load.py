"""The load generator: `python -m bench.load ADDRESS ANSWERS`, commands on standard input, results on output.

Closed loop: each caller sends its next call once the last one is answered. Messages are built before the run
and answers are parsed after it, so that the generator uses little CPU. What providers sign is prepared by a
command of its own, so that the signing is not measured.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import secrets
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count, cycle, islice
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import uvloop

from bench.notices import SIGNED, NotTaken, Poster, accepted, signer
from bench.shop import SEEDED_GOODS
from shop_order.api.proto import order_pb2 as pb
from shop_order.api.proto.shop.neighbours_pb2 import OrderSns
from shop_order.configs import load
from shop_order.domain.valueobject.parties import Role
from shop_order.service.notice import GatewaySecret
from shop_order.web.auth.tokens import mint_token
from shop_sandbox.seed import BENCH_FIRST_ID

USERS = 200
FIRST_USER = 1_000_000
BODIES = 499  # coprime to USERS, so that all combinations of user and body occur
DEADLINE_S = 10.0
CHANNELS = {"alipay": 1, "wechat": 2, "balance": 3}  # to `payment_type`

UNCACHED_ORDERS = 20_000  # orders that GetOrder reads before it repeats one
CACHED_ORDERS = 200  # orders that stay in the cache
OTHER_SERVICES = {
    "CheckReservations": "shop.neighbours.ReservationCheck",
    "Deliver": "shop.neighbours.EventInbox",
}
LEASES_PER_CALL = 100  # order numbers in one CheckReservations call

Metadata = tuple[tuple[str, str], ...]
Call = tuple[bytes, Metadata]


@dataclass(slots=True)
class Tally:
    """The results of a run. Latencies in seconds, of calls answered within the window."""

    latencies: list[float] = field(default_factory=list)
    answers: list[tuple[int, bytes]] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    last: float = 0.0


class Callers:
    """Many users with their own tokens on one connection."""

    def __init__(self, address: str, answers: Path) -> None:
        own = [("grpc.use_local_subchannel_pool", 1)]
        self._channel = grpc.aio.insecure_channel(address, options=own)
        self._answers = answers
        self._users = [FIRST_USER + n for n in range(USERS)]
        self._tokens = [f"Bearer {token}" for token in tokens(self._users)]
        self._prefix = secrets.token_hex(6)
        self._number = count()
        self._placed: list[tuple[int, int, str]] = []  # index of the user, id, order number
        self._unpaid: list[tuple[int, str]] = []  # of these the ones without an attempt
        self._attempts: list[tuple[int, pb.PaymentInfo]] = []
        self._signed: dict[str, list[tuple[int, Call]]] = {}  # by the kind of run that sends them
        self._gateway = GatewaySecret([secret().encode()])

    async def run(self, kind: str, callers: int, warm_up_s: float, window_s: float) -> None:
        """Do one run; emits `begin` and `end` of the window, then the result."""
        makers: dict[str, Callable[[], Iterator[tuple[int, Call]]]] = {
            "CreateOrder": self._orders,
            "GetOrder": lambda: self._gets(UNCACHED_ORDERS),
            "GetOrder (cached)": lambda: self._gets(CACHED_ORDERS),
            "ListOrders": self._lists,
            **{f"PayOrder ({name})": partial(self._payments, type) for name, type in CHANNELS.items()},
            **{f"NotifyPayment ({name})": partial(self._notices, type) for name, type in CHANNELS.items()},
            "CheckReservations": self._checks,
            **{name: partial(self._prepared, name) for name in SIGNED},
        }
        calls, method = makers[kind](), kind.partition(" ")[0]
        poster = Poster(int(os.environ["SHOP_ORDER_SERVER__HTTP_PORT"]))
        call = poster.post if method == "POST" else self._method(method)
        tally = Tally()
        begin = time.perf_counter() + warm_up_s
        end = begin + window_s
        tasks = [asyncio.create_task(drive(call, calls, tally, begin, end)) for _ in range(callers)]
        await asyncio.sleep(begin - time.perf_counter())
        emit(event="begin")
        await asyncio.sleep(end - time.perf_counter())
        emit(event="end")
        await asyncio.gather(*tasks)
        poster.close()
        if method == "CreateOrder":
            self._record(tally.answers)
        if method == "PayOrder":
            self._attempts += [(who, pb.PaymentInfo.FromString(raw)) for who, raw in tally.answers]
        latencies = sorted(tally.latencies)
        emit(
            event="result",
            calls=len(latencies),
            seconds=min(max(tally.last - begin, 0.001), window_s),  # shorter if the calls ran out
            p50_ms=percentile(latencies, 0.50) * 1000,
            p99_ms=percentile(latencies, 0.99) * 1000,
            errors=dict(tally.errors),
            answered=len(tally.answers),
        )

    async def prepare(self, kind: str, orders: int, callers: int) -> None:
        """Have so many orders to pay, or with a payment and its signed notice; emits `prepared`."""
        missing = max(0, orders - len(self._unpaid))
        placed = await self._all("CreateOrder", islice(self._orders(), missing), callers)
        self._record(placed.answers)
        errors = placed.errors + (await self._sign(kind, orders, callers) if kind in SIGNED else Counter())
        emit(event="prepared", errors=dict(errors))

    async def _sign(self, kind: str, orders: int, callers: int) -> Counter[str]:
        """Begin to pay orders, and sign a notice for each; return the errors."""
        payment_type = SIGNED[kind]
        if payment_type == CHANNELS["balance"]:
            self._silence_wallet()
        paid = await self._all("PayOrder", islice(self._payments(payment_type), orders), callers)
        attempts = [(who, pb.PaymentInfo.FromString(raw)) for who, raw in paid.answers]
        sign = signer(kind, Path(os.environ["SHOP_SANDBOX_KEYS_DIR"]))
        (token,) = tokens(["wallet"], Role.SERVICE)
        metadata = (("authorization", f"Bearer {token}"),)  # ignored by HTTP
        self._signed[kind] = [(who, (sign(FIRST_USER + who, one), metadata)) for who, one in attempts]
        return paid.errors

    async def close(self) -> None:
        """Close the connection."""
        await self._channel.close()

    def _method(self, method: str) -> Callable[..., Any]:
        path = f"/{OTHER_SERVICES.get(method, 'order.OrderService')}/{method}"
        call: Callable[..., Any] = self._channel.unary_unary(path)
        return accepted(call) if method == "Deliver" else call

    async def _all(self, method: str, calls: Iterator[tuple[int, Call]], callers: int) -> Tally:
        """Make all the calls, however long they take."""
        tally, call = Tally(), self._method(method)
        await asyncio.gather(*(drive(call, calls, tally, 0.0, math.inf) for _ in range(callers)))
        return tally

    @staticmethod
    def _silence_wallet() -> None:
        """Take the sandbox's wallet its right to answer: it would refuse our users, who have no balance."""
        (token,) = tokens(["inventory"], Role.SERVICE)
        (Path(os.environ["SHOP_SANDBOX_DATA_DIR"]) / "wallet.token").write_text(token)

    def _orders(self) -> Iterator[tuple[int, Call]]:
        bodies = cycle([body(n) for n in range(BODIES)])
        for who, message in zip(cycle(range(USERS)), bodies, strict=False):
            key = ("idempotency-key", f"{self._prefix}-{next(self._number)}")
            yield who, (message, (("authorization", self._tokens[who]), key))

    def _gets(self, orders: int) -> Iterator[tuple[int, Call]]:
        for who, id, _ in cycle(self._placed[-orders:]):
            yield who, (pb.GetOrderRequest(id=id).SerializeToString(), self._authorized(who))

    def _lists(self) -> Iterator[tuple[int, Call]]:
        message = pb.ListOrdersRequest(page=1, page_size=20).SerializeToString()
        for who in cycle(range(USERS)):
            yield who, (message, self._authorized(who))

    def _payments(self, payment_type: int) -> Iterator[tuple[int, Call]]:
        """First attempts: no order is paid in two ways."""
        while self._unpaid:
            who, order_sn = self._unpaid.pop()
            request = pb.PayOrderRequest(order_sn=order_sn, payment_type=payment_type)
            yield who, (request.SerializeToString(), self._authorized(who))

    def _notices(self, payment_type: int) -> Iterator[tuple[int, Call]]:
        """A success notice for each attempt, as our own payment gateway sends it."""
        for who, attempt in self._attempts:
            if attempt.payment_type != payment_type:
                continue
            notice = pb.NotifyPaymentRequest(
                order_sn=attempt.order_sn,
                payment_sn=attempt.payment_sn,
                trade_no=f"2026{attempt.payment_sn[1:]}",
                payment_type=payment_type,
                amount_fen=attempt.amount_fen,
            )
            signed = {field.name: str(value) for field, value in notice.ListFields()}
            notice.sign = self._gateway.sign(signed)
            yield who, (notice.SerializeToString(), ())

    def _prepared(self, kind: str) -> Iterator[tuple[int, Call]]:
        yield from self._signed.pop(kind)

    def _checks(self) -> Iterator[tuple[int, Call]]:
        """Calls that ask about unpaid orders, as the inventory does for expired leases."""
        numbers = [order_sn for _, _, order_sn in self._placed]
        (token,) = tokens(["inventory"], Role.SERVICE)
        for at in cycle(range(0, len(numbers), LEASES_PER_CALL)):
            asked = OrderSns(order_sns=numbers[at : at + LEASES_PER_CALL])
            yield 0, (asked.SerializeToString(), (("authorization", f"Bearer {token}"),))

    def _authorized(self, who: int) -> Metadata:
        return (("authorization", self._tokens[who]),)

    def _record(self, answers: Sequence[tuple[int, bytes]]) -> None:
        placed = [(who, pb.OrderInfo.FromString(raw)) for who, raw in answers]
        with self._answers.open("a") as file:
            file.writelines(f"{info.order_sn}\n" for _, info in placed)
        self._placed.extend((who, info.id, info.order_sn) for who, info in placed)
        self._unpaid.extend((who, info.order_sn) for who, info in placed)


async def drive(
    call: Callable[..., Any], calls: Iterator[tuple[int, Call]], tally: Tally, begin: float, end: float
) -> None:
    """Run one caller until the window ends."""
    clock = time.perf_counter
    for who, (message, metadata) in calls:
        started = clock()
        if started >= end:
            return
        try:
            answer = await call(message, metadata=metadata, timeout=DEADLINE_S)
        except grpc.aio.AioRpcError as error:
            tally.errors[error.code().name] += 1
            continue
        except NotTaken as error:
            tally.errors[str(error)] += 1
            continue
        ended = clock()
        tally.answers.append((who, answer))
        if begin <= ended <= end:
            tally.latencies.append(ended - started)
            tally.last = ended


def secret() -> str:
    """The secret of our payment gateway."""
    found = load(os.environ).settings.pay.gateway_secret
    assert found is not None
    return found.get_secret_value()


def tokens(subjects: Sequence[object], role: Role = Role.USER) -> list[str]:
    """A token for each subject, signed with the service's development key."""
    secret = load(os.environ).settings.auth.hs256_key
    assert secret is not None
    return [mint_token(secret.get_secret_value(), subject=str(one), role=role) for one in subjects]


def body(n: int) -> bytes:
    """The message of a CreateOrder call with two goods."""
    goods = [n * 2 % SEEDED_GOODS, (n * 2 + 1) % SEEDED_GOODS]
    request = pb.CreateOrderRequest(
        items=[pb.OrderItemRequest(product_id=BENCH_FIRST_ID + g, quantity=1 + n % 3) for g in goods],
        address=pb.AddressInfo(
            name="张三",
            phone=f"138{n:08d}",
            province="浙江省",
            city="杭州市",
            district="西湖区",
            detail=f"文三路 {n} 号",
        ),
    )
    return request.SerializeToString()


def percentile(ordered: Sequence[float], part: float) -> float:
    """The value below which so much of the ordered values lies; 0 of none."""
    return ordered[min(int(len(ordered) * part), len(ordered) - 1)] if ordered else 0.0


def emit(**what: object) -> None:
    """Write a message for the benchmark."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def run_commands(address: str, answers: Path) -> None:
    """Run the commands on standard input until it ends."""
    callers = Callers(address, answers)
    loop = asyncio.get_running_loop()
    emit(event="ready")
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        command = json.loads(line)
        act = callers.prepare if "orders" in command else callers.run
        await act(**command)
    await callers.close()


if __name__ == "__main__":
    uvloop.run(run_commands(sys.argv[1], Path(sys.argv[2])))
