"""The order log in MongoDB: `shop_logs.order_logs` (specification 6.4), and `order_stats` beside it.

Entries are upserted by event id; summaries are updated from the version that was read. Both are written in
one transaction if the server supports it, else entries first, so that no summary refers to a missing entry
(decision oplog).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, fields
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from bson import Int64
from pymongo import ASCENDING, AsyncMongoClient, UpdateOne, WriteConcern
from pymongo.errors import BulkWriteError, DuplicateKeyError, PyMongoError

from shop_order.domain.errors import DependencyDown
from shop_order.domain.order_log import Backfill, Figures, LogEntry, LogUpdate, OrderSummary, new_backfill_id
from shop_order.pkg.log import RateLimitedLog, get_logger
from shop_order.pkg.url import mask_url
from shop_order.repository.oplog import NAME

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pymongo.asynchronous.client_session import AsyncClientSession
    from pymongo.asynchronous.collection import AsyncCollection

log_error = RateLimitedLog(get_logger("order_log").error)
Document = dict[str, Any]
T = TypeVar("T")
DATABASE = "shop_logs"
TIMEOUT_S = 5.0  # of one call, by the specification
FIND_SERVER_MS = 2000
DUPLICATE = 11000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_BACKFILL = {"_id": "walk"}


class MongoOrderLog:
    """See `domain.ports.OrderLog`; the database is the URL's, or `shop_logs`."""

    # An acknowledged write can still be lost with its server.
    durable_after_s = 2.0

    def __init__(self, url: str) -> None:
        self._client = open_client(url)
        self._where = mask_url(url)
        database = self._client.get_default_database(DATABASE).with_options(
            write_concern=WriteConcern(w="majority", j=True, wtimeout=int(TIMEOUT_S * 1000))
        )
        self._logs: AsyncCollection[Document] = database["order_logs"]
        self._stats: AsyncCollection[Document] = database["order_stats"]
        self._meta: AsyncCollection[Document] = database["order_log_meta"]
        self._prepared = False
        self._transactions = False

    async def summaries(self, order_sns: Collection[str]) -> Mapping[str, OrderSummary]:
        async with self._server():
            found = self._stats.find({"_id": {"$in": list(order_sns)}})
            return {document["_id"]: summary_of(document) async for document in found}

    async def append(self, updates: Sequence[LogUpdate]) -> Collection[str]:
        if not updates:
            return ()
        async with self._server():
            if self._transactions:
                async with self._client.start_session() as session:
                    await session.with_transaction(lambda own: self._write(updates, own))
            else:
                await self._write(updates, None)
        return ()  # nothing is certain until it is read again

    async def _write(self, updates: Sequence[LogUpdate], session: AsyncClientSession | None) -> None:
        entries = [
            UpdateOne({"_id": Int64(entry.id)}, {"$setOnInsert": document_of(entry)}, upsert=True)
            for one in updates
            for entry in one.entries
        ]
        stats = [stats_update(one) for one in updates]
        for collection, operations in ((self._logs, entries), (self._stats, stats)):
            try:
                if operations:  # the driver refuses an empty list
                    await collection.bulk_write(operations, ordered=False, session=session)
            except BulkWriteError as failed:
                # A concurrent upsert stored the same document.
                if session is not None or not only_duplicates(failed):
                    raise

    async def entries(self, order_sn: str, limit: int) -> Sequence[LogEntry]:
        async with self._server():
            found = self._logs.find({"order_sn": order_sn}).sort("version", ASCENDING).limit(limit)
            return [entry_of(document) async for document in found]

    async def figures(self, first_day: str, last_day: str) -> Sequence[Figures]:
        pipeline: list[Document] = [
            {"$match": {"day": {"$gte": first_day, "$lte": last_day}}},
            {
                "$group": {
                    "_id": {"day": "$day", "channel": "$channel", "status": "$status"},
                    "orders": {"$sum": 1},
                    "amount_fen": {"$sum": "$pay_fen"},
                    "paid_fen": {"$sum": "$paid_fen"},
                    "refunded_fen": {"$sum": "$refunded_fen"},
                }
            },
            {"$sort": {"_id.day": 1, "_id.channel": 1, "_id.status": 1}},
        ]
        async with self._server():
            return [figures_of(group) async for group in await self._stats.aggregate(pipeline)]

    async def backfill(self) -> Backfill:
        async with self._server():
            found = await self._meta.find_one(_BACKFILL)
            return Backfill(found.get("walk", ""), found["mark"]) if found else Backfill()

    async def advance_backfill(self, since: Backfill, position: str) -> None:
        async with self._server():
            await self._advance(since, {"mark": position})

    async def _advance(self, since: Backfill, to: Document) -> bool:
        """Advance the backfill if it is still at `since`; return whether it was."""
        if since == Backfill():
            with suppress(DuplicateKeyError):  # another instance was first
                done = await self._meta.update_one(_BACKFILL, {"$setOnInsert": to}, upsert=True)
                return done.upserted_id is not None
            return False
        read = {
            **_BACKFILL,
            "walk": since.run or None,
            "mark": since.position,
        }  # None: there is no such field
        return (await self._meta.update_one(read, {"$set": to})).matched_count > 0

    async def purge(self, before_ms: int, limit: int) -> int:
        async with self._server():
            over = self._logs.find({"timestamp": {"$lt": _EPOCH + before_ms * _MS}}, {"_id": 1})
            ids = [document["_id"] async for document in over.sort("timestamp", ASCENDING).limit(limit)]
            if not ids:
                return 0
            return (await self._logs.delete_many({"_id": {"$in": ids}})).deleted_count

    async def reset_summaries(self, since: Backfill) -> None:
        async with self._server():
            moved = await self._advance(since, {"walk": new_backfill_id(), "mark": ""})
        if moved:
            await self._empty(self._stats)

    async def clear(self) -> None:
        # The summaries twice: those written while the entries were deleted would refer to missing entries.
        await self._empty(self._stats, self._logs, self._stats)

    async def _empty(self, *collections: AsyncCollection[Document]) -> None:
        async with self._server():
            await self._begin_backfill()  # before: stops one in progress
            for collection in collections:
                await collection.drop()
            await self._begin_backfill()  # after: concurrent writes may be lost
            self._prepared = False  # the indexes are dropped with them

    async def _begin_backfill(self) -> None:
        await self._meta.replace_one(_BACKFILL, {"walk": new_backfill_id(), "mark": ""}, upsert=True)

    async def close(self) -> None:
        await self._client.close()

    @asynccontextmanager
    async def _server(self) -> AsyncIterator[None]:
        """Prepare the server on first use, and translate its errors. Raises DependencyDown."""
        try:
            if not self._prepared:
                await self._prepare()
            yield
        except PyMongoError as failed:
            self._prepared = False  # another server may answer next time
            # Name and number only: the text of a write error quotes the data.
            code = f"{type(failed).__name__} {getattr(failed, 'code', None) or ''}".strip()
            log_error("database_failed", kind=code, database=NAME, code=code)
            raise DependencyDown(NAME, self._where) from failed

    async def _prepare(self) -> None:
        self._transactions = offers_transactions(await self._client.admin.command("isMaster"))
        await self._logs.create_index([("order_sn", ASCENDING), ("version", ASCENDING)])
        await self._logs.create_index([("timestamp", ASCENDING)])
        await self._logs.create_index([("user_id", ASCENDING), ("timestamp", ASCENDING)])
        await self._stats.create_index([("day", ASCENDING), ("channel", ASCENDING), ("status", ASCENDING)])
        self._prepared = True


def open_client(url: str) -> AsyncMongoClient[Document]:
    """Return a client that connects on use. Raises OSError for a malformed URL."""
    try:
        return AsyncMongoClient(
            url,
            serverSelectionTimeoutMS=FIND_SERVER_MS,
            connectTimeoutMS=FIND_SERVER_MS,
            socketTimeoutMS=int(TIMEOUT_S * 1000),
            tz_aware=True,
            connect=False,
            appname="order-service",
        )
    except (PyMongoError, ValueError) as bad:
        raise OSError(f"OPLOG__URL: {bad}") from bad


def offers_transactions(greeting: Mapping[str, Any]) -> bool:
    """Return whether it is a replica set or a sharded cluster with sessions."""
    joined = "setName" in greeting or greeting.get("msg") == "isdbgrid"
    return joined and "logicalSessionTimeoutMinutes" in greeting


def only_duplicates(failed: BulkWriteError) -> bool:
    """Return whether all errors are duplicate keys."""
    details = failed.details or {}
    errors = details.get("writeErrors") or []
    return (
        bool(errors)
        and not details.get("writeConcernErrors")
        and all(error["code"] == DUPLICATE for error in errors)
    )


def document_of(entry: LogEntry) -> Document:
    """Return the document of specification 6.4 without `_id`, `reason` and `details` only if not empty."""
    document = {**_document(entry), "timestamp": _EPOCH + entry.at_ms * _MS}
    empty = {name for name in ("reason", "details") if not document[name]}
    return {name: value for name, value in document.items() if name not in {"id", "at_ms", *empty}}


def entry_of(d: Document) -> LogEntry:
    """Return the entry of a document."""
    at_ms = (d["timestamp"] - _EPOCH) // _MS
    return _dataclass_of(LogEntry, {"reason": "", "details": {}, **d, "id": d["_id"], "at_ms": at_ms})


def stats_update(one: LogUpdate) -> UpdateOne:
    """Return the update from the version that was read, or the insert of a first version."""
    document = _document(one.summary)
    order_sn = document.pop("order_sn")
    if one.since:
        return UpdateOne({"_id": order_sn, "version": one.since}, {"$set": document})
    return UpdateOne({"_id": order_sn}, {"$setOnInsert": document}, upsert=True)


def summary_of(d: Document) -> OrderSummary:
    """Return the summary of a document of `order_stats`."""
    return _dataclass_of(OrderSummary, {**d, "order_sn": d["_id"]})


def _document(values: LogEntry | OrderSummary) -> Document:
    """Return the fields of a dataclass, with Int64 for numbers except statuses."""
    return {
        name: Int64(value) if isinstance(value, int) and not name.endswith("status") else value
        for name, value in asdict(values).items()
    }


def _dataclass_of(kind: type[T], d: Document) -> T:
    """Make a dataclass from a document, with int for the driver's Int64."""
    values = ((field.name, d[field.name]) for field in fields(kind))  # type: ignore[arg-type]
    return kind(**{name: int(value) if isinstance(value, Int64) else value for name, value in values})


def figures_of(group: Document) -> Figures:
    """Return the figures of one group of the aggregation."""
    by = group["_id"]
    sums = [int(group[name]) for name in ("orders", "amount_fen", "paid_fen", "refunded_fen")]
    return Figures(by["day"], by["channel"], int(by["status"]), *sums)
