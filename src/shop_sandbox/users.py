"""The user service: addresses, and wallets whose balance is the sum of the ledger."""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field

from shop_order.api.proto.shop import neighbours_pb2 as pb
from shop_sandbox.database import Database

MAX_PAGE = 1_000

SCHEMA = """
CREATE TABLE IF NOT EXISTS user (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  role TEXT NOT NULL CHECK (role IN ('user', 'admin')),
  balance_fen INTEGER NOT NULL DEFAULT 0 CHECK (balance_fen >= 0)
);
CREATE TABLE IF NOT EXISTS address (
  id INTEGER PRIMARY KEY,
  user_id INTEGER NOT NULL REFERENCES user (id),
  name TEXT NOT NULL,
  phone TEXT NOT NULL,
  province TEXT NOT NULL,
  city TEXT NOT NULL,
  district TEXT NOT NULL,
  detail TEXT NOT NULL,
  is_default INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS address_user ON address (user_id);
CREATE TABLE IF NOT EXISTS ledger (
  id INTEGER PRIMARY KEY,
  user_id INTEGER NOT NULL REFERENCES user (id),
  payment_sn TEXT NOT NULL,
  amount_fen INTEGER NOT NULL,
  kind TEXT NOT NULL
);
"""

_ADDRESS = "SELECT id, name, phone, province, city, district, detail, is_default FROM address"


class NotFound(LookupError):
    """No such user, or no such address of that user."""


@dataclass(frozen=True, slots=True)
class DemoAddress:
    """An address of a demo user."""

    id: int
    name: str
    phone: str
    province: str
    city: str
    district: str
    detail: str
    is_default: bool = False


@dataclass(frozen=True, slots=True)
class DemoUser:
    """A user in the initial data; `balance_fen` becomes the first ledger entry."""

    id: int
    name: str
    role: str = "user"
    balance_fen: int = 0
    addresses: tuple[DemoAddress, ...] = field(default=())


class Users:
    """`shop.neighbours.Users`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open(self, seed: Iterable[DemoUser]) -> None:
        """Fill a new file with `seed`."""

        def fill(connection: sqlite3.Connection) -> None:
            if not connection.execute("SELECT 1 FROM user LIMIT 1").fetchone():
                for user in seed:
                    _insert(connection, user)

        await self._database.run(fill)

    async def get_address(self, request: pb.AddressRequest) -> pb.Address:
        """The address, if it belongs to this user. Raises NotFound."""

        def read(connection: sqlite3.Connection) -> pb.Address:
            row = connection.execute(
                f"{_ADDRESS} WHERE id = ? AND user_id = ?", (request.address_id, request.user_id)
            ).fetchone()
            if row is None:
                raise NotFound(f"address {request.address_id} of user {request.user_id}")
            return _address(row)

        return await self._database.run(read)

    async def list_addresses(self, request: pb.UserId) -> pb.AddressList:
        """The user's addresses, the default first; empty for an unknown user."""

        def read(connection: sqlite3.Connection) -> pb.AddressList:
            rows = connection.execute(
                f"{_ADDRESS} WHERE user_id = ? ORDER BY is_default DESC, id LIMIT ?",
                (request.user_id, MAX_PAGE),
            ).fetchall()
            return pb.AddressList(addresses=[_address(row) for row in rows])

        return await self._database.run(read)

    async def get_balance(self, request: pb.UserId) -> pb.Balance:
        """The balance in fen. Raises NotFound."""

        def read(connection: sqlite3.Connection) -> pb.Balance:
            row = connection.execute(
                "SELECT balance_fen FROM user WHERE id = ?", (request.user_id,)
            ).fetchone()
            if row is None:
                raise NotFound(f"user {request.user_id}")
            return pb.Balance(balance_fen=row[0])

        return await self._database.run(read)

    async def list_ledger(self, request: pb.LedgerFilter) -> pb.Ledger:
        """A page of entries by id, at most 1000 (0: 100); a user's amounts add up to the balance."""
        limit = min(request.limit or 100, MAX_PAGE)
        if limit < 0:
            raise ValueError("limit must not be negative")

        def read(connection: sqlite3.Connection) -> pb.Ledger:
            rows = connection.execute(
                "SELECT id, user_id, l.payment_sn, l.amount_fen, kind, coalesce(refund_sn, '') FROM ledger l"
                " LEFT JOIN wallet_refund ON ledger_id = id WHERE id > ? ORDER BY id LIMIT ?",
                (request.after_id, limit),
            ).fetchall()
            return pb.Ledger(
                entries=[
                    pb.LedgerEntry(
                        id=row[0],
                        user_id=row[1],
                        payment_sn=row[2],
                        amount_fen=row[3],
                        kind=row[4],
                        refund_sn=row[5],
                    )
                    for row in rows
                ]
            )

        return await self._database.run(read)


def _insert(connection: sqlite3.Connection, user: DemoUser) -> None:
    connection.execute(
        "INSERT INTO user VALUES (?, ?, ?, ?)", (user.id, user.name, user.role, user.balance_fen)
    )
    if user.balance_fen:
        connection.execute(
            "INSERT INTO ledger (user_id, payment_sn, amount_fen, kind) VALUES (?, '', ?, 'deposit')",
            (user.id, user.balance_fen),
        )
    connection.executemany(
        "INSERT INTO address VALUES (?,?,?,?,?,?,?,?,?)",
        [
            (
                one.id,
                user.id,
                one.name,
                one.phone,
                one.province,
                one.city,
                one.district,
                one.detail,
                one.is_default,
            )
            for one in user.addresses
        ],
    )


def _address(row: tuple[int, str, str, str, str, str, str, int]) -> pb.Address:
    return pb.Address(
        id=row[0],
        name=row[1],
        phone=row[2],
        province=row[3],
        city=row[4],
        district=row[5],
        detail=row[6],
        is_default=bool(row[7]),
    )
