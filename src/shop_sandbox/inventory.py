"""The inventory service: stock leases. Each call is one job of the writer thread, hence one commit."""

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
    """`shop.neighbours.Inventory` and the operator's stocktaking. Results match the requests' order."""

    def __init__(self, database: Database, clock_ms: Callable[[], int]) -> None:
        self._database = database
        self._clock_ms = clock_ms

    async def open(self, seed: Iterable[tuple[int, int]]) -> None:
        """Fill a new file with `seed` (goods_id, available)."""

        def fill(connection: sqlite3.Connection) -> None:
            if not connection.execute("SELECT 1 FROM stock LIMIT 1").fetchone():
                for goods_id, available in seed:
                    leases.set_available(connection, goods_id, available)

        await self._database.run(fill)

    async def reserve(self, request: pb.ReserveRequests) -> pb.Results:
        """Reserve stock, all or nothing for each request. Raises ValueError above 256 requests."""
        requests = _bounded(request.requests)
        now_ms = self._clock_ms()
        return await self._database.run(
            lambda connection: pb.Results(
                results=[leases.reserve(connection, one, now_ms) for one in requests]
            )
        )

    async def confirm(self, request: pb.OrderSns) -> pb.Results:
        """Turn reserved stock into sold stock. Raises ValueError above 256 orders."""
        order_sns = _bounded(request.order_sns)
        return await self._database.run(
            lambda connection: pb.Results(
                results=[leases.confirm(connection, order_sn) for order_sn in order_sns]
            )
        )

    async def release(self, request: pb.OrderSns) -> pb.Results:
        """Make reserved stock available again. Raises ValueError above 256 orders."""
        order_sns = _bounded(request.order_sns)
        return await self._database.run(
            lambda connection: pb.Results(
                results=[leases.release(connection, order_sn) for order_sn in order_sns]
            )
        )

    async def return_stock(self, request: pb.ReturnRequests) -> pb.Results:
        """Take sold stock back, once per return_sn. Raises ValueError above 256 requests."""
        requests = _bounded(request.requests)
        return await self._database.run(
            lambda connection: pb.Results(results=[leases.return_stock(connection, one) for one in requests])
        )

    async def get_stock(self, request: pb.GoodsIds) -> pb.StockList:
        """The stock of these goods, without unknown ones. Raises ValueError above 1000 ids."""
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
        """A page of leases by order_sn, at most 1000 (0: 100); reserved, confirmed, released or tombstone."""
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
            returned = leases.returned_quantities(connection, after, last)
            return pb.LeaseList(leases=[_lease(*row, returned=returned.get(row[0], {})) for row in rows])

        return await self._database.run(read)

    async def set_stock(self, goods_id: int, available: int) -> None:
        """Set how many of these goods are available. Raises ValueError."""
        if type(available) is not int or not 0 <= available <= MAX_STOCK:
            raise ValueError(f"stock must be a whole number from 0 to {MAX_STOCK}")
        await self._database.run(lambda connection: leases.set_available(connection, goods_id, available))

    async def due(self, limit: int) -> list[tuple[str, int]]:
        """Expired leases to ask about now: (order_sn, number of checks so far)."""
        now_ms = self._clock_ms()
        return await self._database.run(lambda connection: leases.due(connection, now_ms, limit))

    async def settle(self, verdicts: Sequence[pb.Verdict], postponed: Sequence[tuple[int, str]]) -> None:
        """Apply the order service's answers; leases without one are checked again at (check_ms, order_sn)."""
        soonest_ms = self._clock_ms() + 1_000  # a time in the past must not make the loop spin

        def apply(connection: sqlite3.Connection) -> None:
            for verdict in verdicts:
                if verdict.answer == "CONFIRM":
                    leases.confirm(connection, verdict.order_sn)
                elif verdict.answer == "EXTEND":
                    check_ms = max(verdict.until_ms, soonest_ms)
                    leases.extend(connection, verdict.order_sn, verdict.until_ms, check_ms)
                else:
                    leases.release(connection, verdict.order_sn)
            leases.postpone(connection, postponed)

        await self._database.run(apply)


def _lease(order_sn: str, state: str, lines: str, until_ms: int, *, returned: Mapping[int, int]) -> pb.Lease:
    return pb.Lease(
        order_sn=order_sn,
        state=state,
        lines=[pb.Line(goods_id=goods_id, nums=nums) for goods_id, nums in leases.decode_lines(lines)],
        until_ms=until_ms,
        returned=[pb.Line(goods_id=goods_id, nums=nums) for goods_id, nums in sorted(returned.items())],
    )


def _bounded(items: Sequence[T]) -> Sequence[T]:
    if len(items) > MAX_BATCH:
        raise ValueError(f"at most {MAX_BATCH} in one call")
    return items
