"""The inventory service: stock on lease. Each call is one job of the writer thread, hence one commit."""

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from shop_order.api.proto.shop import neighbours_pb2 as pb
from shop_sandbox import leases
from shop_sandbox.database import Database

T = TypeVar("T")

MAX_BATCH = 256
MAX_IDS = 1_000
MAX_PAGE = 1_000
MAX_STOCK = 2**31 - 1


class Inventory:
    """`shop.neighbours.Inventory` and the operator's stocktaking. Answers in the order of the requests."""

    def __init__(self, database: Database, clock_ms: Callable[[], int]) -> None:
        self._database = database
        self._clock_ms = clock_ms

    async def open(self, seed: Iterable[tuple[int, int]]) -> None:
        """Start with `seed` (goods_id, available) when the file is new."""

        def fill(connection: sqlite3.Connection) -> None:
            if not connection.execute("SELECT 1 FROM stock LIMIT 1").fetchone():
                for goods_id, available in seed:
                    leases.set_available(connection, goods_id, available)

        await self._database.run(fill)

    async def reserve(self, request: pb.ReserveRequests) -> pb.Results:
        """Each request all or nothing. Raises ValueError above 256 requests."""
        requests = _bounded(request.requests)
        now_ms = self._clock_ms()
        return await self._database.run(
            lambda connection: pb.Results(
                results=[leases.reserve(connection, one, now_ms) for one in requests]
            )
        )

    async def confirm(self, request: pb.OrderSns) -> pb.Results:
        """Reserved becomes sold. Raises ValueError above 256 orders."""
        order_sns = _bounded(request.order_sns)
        return await self._database.run(
            lambda connection: pb.Results(
                results=[leases.confirm(connection, order_sn) for order_sn in order_sns]
            )
        )

    async def release(self, request: pb.OrderSns) -> pb.Results:
        """Reserved comes back. Raises ValueError above 256 orders."""
        order_sns = _bounded(request.order_sns)
        return await self._database.run(
            lambda connection: pb.Results(
                results=[leases.release(connection, order_sn) for order_sn in order_sns]
            )
        )

    async def give_back(self, request: pb.ReturnRequests) -> pb.Results:
        """Sold comes back, once per return_sn. Raises ValueError above 256 requests."""
        requests = _bounded(request.requests)
        return await self._database.run(
            lambda connection: pb.Results(results=[leases.give_back(connection, one) for one in requests])
        )

    async def get_stock(self, request: pb.GoodsIds) -> pb.StockList:
        """Unknown goods are left out. Raises ValueError above 1000 ids."""
        if len(request.ids) > MAX_IDS:
            raise ValueError(f"at most {MAX_IDS} ids")
        ids = list(request.ids)

        def read(connection: sqlite3.Connection) -> pb.StockList:
            select = "SELECT available, reserved, sold FROM stock WHERE goods_id = ?"
            found = ((goods_id, connection.execute(select, (goods_id,)).fetchone()) for goods_id in ids)
            return pb.StockList(
                stocks=[
                    pb.Stock(goods_id=goods_id, available=row[0], reserved=row[1], sold=row[2])
                    for goods_id, row in found
                    if row
                ]
            )

        return await self._database.run(read)

    async def list_leases(self, request: pb.LeaseFilter) -> pb.LeaseList:
        """A page by order_sn, at most 1000 (0: 100). States: reserved, confirmed, released, tombstone."""
        limit = min(request.limit or 100, MAX_PAGE)
        if limit < 0:
            raise ValueError("limit must not be negative")
        after = request.after_order_sn

        def read(connection: sqlite3.Connection) -> pb.LeaseList:
            rows = connection.execute(
                "SELECT order_sn, state, lines, until_ms FROM lease WHERE order_sn > ?"
                " ORDER BY order_sn LIMIT ?",
                (after, limit),
            ).fetchall()
            last = rows[-1][0] if rows else ""
            returned = leases.returned(connection, after, last)
            return pb.LeaseList(leases=[_lease(*row, returned=returned.get(row[0], {})) for row in rows])

        return await self._database.run(read)

    async def set_stock(self, goods_id: int, available: int) -> None:
        """The operator says how many may be sold from now on. Raises ValueError."""
        if type(available) is not int or not 0 <= available <= MAX_STOCK:
            raise ValueError(f"stock must be a whole number from 0 to {MAX_STOCK}")
        await self._database.run(lambda connection: leases.set_available(connection, goods_id, available))

    async def due(self, limit: int) -> list[tuple[str, int]]:
        """Leases that ran out and are to be asked about now: (order_sn, questions so far)."""
        now_ms = self._clock_ms()
        return await self._database.run(lambda connection: leases.due(connection, now_ms, limit))

    async def settle(self, verdicts: Sequence[pb.Verdict], ask_again: Sequence[tuple[int, str]]) -> None:
        """Do what the order service answered, and put off (check_ms, order_sn) what it did not."""
        soonest_ms = self._clock_ms() + 1_000  # an answer in the past must not turn the loop into a spin

        def apply(connection: sqlite3.Connection) -> None:
            for verdict in verdicts:
                if verdict.answer == "CONFIRM":
                    leases.confirm(connection, verdict.order_sn)
                elif verdict.answer == "EXTEND":
                    check_ms = max(verdict.until_ms, soonest_ms)
                    leases.extend(connection, verdict.order_sn, verdict.until_ms, check_ms)
                else:
                    leases.release(connection, verdict.order_sn)
            leases.ask_again(connection, ask_again)

        await self._database.run(apply)


def _lease(order_sn: str, state: str, lines: str, until_ms: int, *, returned: Mapping[int, int]) -> pb.Lease:
    return pb.Lease(
        order_sn=order_sn,
        state=state,
        lines=[pb.Line(goods_id=goods_id, nums=nums) for goods_id, nums in leases.decoded(lines)],
        until_ms=until_ms,
        returned=[pb.Line(goods_id=goods_id, nums=nums) for goods_id, nums in sorted(returned.items())],
    )


def _bounded(items: Sequence[T]) -> Sequence[T]:
    if len(items) > MAX_BATCH:
        raise ValueError(f"at most {MAX_BATCH} in one call")
    return items
