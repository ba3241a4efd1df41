"""What a lease may do, statement by statement, on a real SQLite connection."""

import sqlite3
from collections.abc import Iterator

import pytest

from shop_order.api.proto.shop import neighbours_pb2 as pb
from shop_sandbox import leases

NOW_MS = 1_000_000


@pytest.fixture
def book() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(leases.SCHEMA)
    leases.set_available(connection, 1, 10)
    leases.set_available(connection, 2, 3)
    yield connection
    for available, reserved, sold, stocked in connection.execute(
        "SELECT available, reserved, sold, stocked FROM stock"
    ):
        assert available + reserved + sold == stocked, "every test keeps the sum"
    connection.close()


def request(order_sn: str = "A", *lines: tuple[int, int], lease_s: int = 60) -> pb.ReserveRequest:
    wanted = [pb.Line(goods_id=goods_id, nums=nums) for goods_id, nums in lines or ((1, 2),)]
    return pb.ReserveRequest(order_sn=order_sn, lines=wanted, lease_s=lease_s)


def reserve(book: sqlite3.Connection, *args: object, **kwargs: object) -> pb.Result:
    return leases.reserve(book, request(*args, **kwargs), NOW_MS)  # type: ignore[arg-type]


def stock(book: sqlite3.Connection, goods_id: int = 1) -> tuple[int, int, int]:
    row = book.execute(
        "SELECT available, reserved, sold FROM stock WHERE goods_id = ?", (goods_id,)
    ).fetchone()
    return (row[0], row[1], row[2])


def test_reserve_takes_the_stock(book: sqlite3.Connection) -> None:
    assert reserve(book, "A", (1, 2), (2, 3)).ok
    assert stock(book, 1) == (8, 2, 0)
    assert stock(book, 2) == (0, 3, 0)


def test_the_same_reserve_again_takes_nothing_more(book: sqlite3.Connection) -> None:
    reserve(book, "A", (1, 2), (2, 1))
    assert reserve(book, "A", (2, 1), (1, 1), (1, 1)).ok, "the same lines in another order and cut"
    assert stock(book) == (8, 2, 0)


def test_a_known_order_with_other_lines_is_a_mismatch(book: sqlite3.Connection) -> None:
    reserve(book, "A", (1, 2))
    assert reserve(book, "A", (1, 3)).reason == "MISMATCH"
    assert stock(book) == (8, 2, 0)


def test_reserve_of_a_confirmed_order_with_the_same_lines_is_ok(book: sqlite3.Connection) -> None:
    reserve(book)
    leases.confirm(book, "A")
    assert reserve(book).ok
    assert reserve(book, "A", (1, 1)).reason == "MISMATCH"
    assert stock(book) == (8, 0, 2)


def test_one_short_line_takes_nothing_and_is_named(book: sqlite3.Connection) -> None:
    result = reserve(book, "A", (1, 2), (2, 4), (99, 1))
    assert (result.ok, result.reason, list(result.goods_ids)) == (False, "OUT_OF_STOCK", [2, 99])
    assert stock(book, 1) == (10, 0, 0)
    assert stock(book, 2) == (3, 0, 0)
    assert reserve(book, "A", (1, 2)).ok, "the number is not burnt by a shortage"


@pytest.mark.parametrize(
    "lines", [((0, 1),), ((1, 0),), ((1, -1),), ((1, leases.MAX_NUMS + 1),), ((1, leases.MAX_NUMS), (1, 1))]
)
def test_lines_nobody_can_mean_are_invalid(
    book: sqlite3.Connection, lines: tuple[tuple[int, int], ...]
) -> None:
    assert reserve(book, "A", *lines).reason == "INVALID"
    assert book.execute("SELECT count(*) FROM lease").fetchone() == (0,)


def test_an_empty_request_or_a_lease_without_end_is_invalid(book: sqlite3.Connection) -> None:
    assert leases.reserve(book, pb.ReserveRequest(order_sn="A"), NOW_MS).reason == "INVALID"
    assert reserve(book, "", (1, 1)).reason == "INVALID"
    assert reserve(book, "A", (1, 1), lease_s=leases.MAX_LEASE_S + 1).reason == "INVALID"
    assert reserve(book, "A", (1, 1), lease_s=-1).reason == "INVALID"


def test_confirm_sells_once(book: sqlite3.Connection) -> None:
    reserve(book)
    assert leases.confirm(book, "A").ok
    assert leases.confirm(book, "A").ok
    assert stock(book) == (8, 0, 2)


def test_confirm_of_what_nobody_reserved(book: sqlite3.Connection) -> None:
    assert leases.confirm(book, "A").reason == "UNKNOWN"
    leases.release(book, "A")
    assert leases.confirm(book, "A").reason == "TOMBSTONE"


def test_release_gives_back_once(book: sqlite3.Connection) -> None:
    reserve(book)
    assert leases.release(book, "A").ok
    assert leases.release(book, "A").ok
    assert stock(book) == (10, 0, 0)


def test_release_before_reserve_refuses_the_late_reserve(book: sqlite3.Connection) -> None:
    assert leases.release(book, "A").ok
    assert reserve(book).reason == "TOMBSTONE"
    assert stock(book) == (10, 0, 0)


def test_reserve_after_release_is_refused(book: sqlite3.Connection) -> None:
    reserve(book)
    leases.release(book, "A")
    assert reserve(book).reason == "TOMBSTONE"
    assert stock(book) == (10, 0, 0)


def test_release_of_a_confirmed_lease_is_refused(book: sqlite3.Connection) -> None:
    reserve(book)
    leases.confirm(book, "A")
    assert leases.release(book, "A").reason == "CONFIRMED"
    assert stock(book) == (8, 0, 2)


def give_back(book: sqlite3.Connection, return_sn: str, order_sn: str, *lines: tuple[int, int]) -> pb.Result:
    wanted = [pb.Line(goods_id=goods_id, nums=nums) for goods_id, nums in lines]
    return leases.return_stock(book, pb.ReturnRequest(return_sn=return_sn, order_sn=order_sn, lines=wanted))


def test_return_gives_back_once_per_number(book: sqlite3.Connection) -> None:
    reserve(book, "A", (1, 5))
    leases.confirm(book, "A")
    assert give_back(book, "R1", "A", (1, 2)).ok
    assert give_back(book, "R1", "A", (1, 2)).ok
    assert stock(book) == (7, 0, 3)
    assert give_back(book, "R1", "A", (1, 3)).reason == "MISMATCH"
    assert give_back(book, "R2", "A", (1, 3)).ok
    assert stock(book) == (10, 0, 0)


def test_never_more_comes_back_than_was_sold(book: sqlite3.Connection) -> None:
    reserve(book, "A", (1, 5))
    assert give_back(book, "R1", "A", (1, 1)).reason == "UNKNOWN", "not confirmed yet"
    leases.confirm(book, "A")
    assert give_back(book, "R1", "A", (1, 6)).reason == "MISMATCH"
    assert give_back(book, "R1", "A", (2, 1)).reason == "MISMATCH"
    assert give_back(book, "R1", "B", (1, 1)).reason == "UNKNOWN"
    give_back(book, "R1", "A", (1, 4))
    assert give_back(book, "R2", "A", (1, 2)).reason == "MISMATCH"
    assert stock(book) == (9, 0, 1)


def test_stocktaking_leaves_what_is_reserved_and_sold(book: sqlite3.Connection) -> None:
    reserve(book, "A", (1, 2))
    reserve(book, "B", (1, 3))
    leases.confirm(book, "B")
    leases.set_available(book, 1, 20)
    assert stock(book) == (20, 2, 3)


def test_only_reserved_leases_past_their_time_are_due(book: sqlite3.Connection) -> None:
    for order_sn, lease_s in (("A", 10), ("B", 10), ("C", 10), ("D", 20)):
        reserve(book, order_sn, (1, 1), lease_s=lease_s)
    leases.confirm(book, "B")
    leases.release(book, "C")
    assert leases.due(book, NOW_MS + 9_999, 10) == []
    assert leases.due(book, NOW_MS + 10_000, 10) == [("A", 0)]
    leases.postpone(book, [(NOW_MS + 15_000, "A")])
    assert leases.due(book, NOW_MS + 14_999, 10) == []
    assert leases.due(book, NOW_MS + 20_000, 10) == [("A", 1), ("D", 0)]


def test_the_tables_themselves_refuse_an_oversale(book: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        book.execute(
            "UPDATE stock SET available = available - 11, reserved = reserved + 11 WHERE goods_id = 1"
        )
