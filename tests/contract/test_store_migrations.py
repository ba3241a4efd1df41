"""A migration of a server that is killed leaves some of its steps done: run again, it does the rest."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from shop_order.repository import schema
from shop_order.repository.schema import migrate
from tests.contract.engine import Engine, added
from tests.contract.servers import connected, described

CHANGES = re.compile(r"\s*(CREATE|DROP|ALTER|UPDATE alembic|INSERT INTO alembic|DELETE FROM alembic)\b")


class Killed(BaseException):
    """The process is gone, right after the server did a statement."""


@pytest.fixture
def dying() -> Iterator[list[str]]:
    """Each migration dies after the first statement that no earlier one did; what was done."""
    done: list[str] = []

    def die(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if CHANGES.match(statement) and statement not in done:
            done.append(statement)
            raise Killed

    sa.event.listen(sa.Engine, "after_cursor_execute", die)
    yield done
    sa.event.remove(sa.Engine, "after_cursor_execute", die)


def until_through(url: str, revision: str) -> int:
    """Migrate again and again; how often it was killed."""
    for kills in range(200):
        try:
            migrate(url, revision)
        except Killed:
            continue
        return kills
    raise AssertionError("it never comes to an end")


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_a_migration_that_is_killed_after_every_step_ends_as_if_it_never_was(
    server: Engine, dying: list[str]
) -> None:
    name = server.url.rpartition("/")[2]
    await server.opened.pop().close()
    wanted = described(server, name)
    assert until_through(server.url, "base") > 10
    assert server.sql("SHOW TABLES LIKE 'order_info'") == []
    dying.clear()
    assert until_through(server.url, "head") > 20
    assert described(server, name) == wanted
    await server.open()
    await added(server.store)


async def test_of_two_migrations_at_once_one_waits(server: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    await server.opened.pop().close()
    migrate(server.url, "base")
    failures: list[BaseException] = []

    def bring() -> None:
        try:
            migrate(server.url)
        except BaseException as failed:  # noqa: BLE001 - shown by the test
            failures.append(failed)

    both = [threading.Thread(target=bring) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert failures == []
    await server.open()
    await added(server.store)
    monkeypatch.setattr(schema, "LOCK_S", 1)
    with connected(server.url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT GET_LOCK(concat('shop-order migrate ', left(database(), 40)), 1)")
        with pytest.raises(OSError, match="another migration"):
            migrate(server.url)
