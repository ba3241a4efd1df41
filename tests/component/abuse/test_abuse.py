"""Every row of the table, over both protocols: the promised answer, nothing leaked or lost, still alive."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.component.abuse import scenes, tokens
from tests.component.abuse.acts import OK, Act, Row, Send
from tests.component.abuse.calls import Answer, Scene
from tests.component.abuse.judging import must_be, must_be_alive, must_not_leak
from tests.component.abuse.table import TABLE
from tests.shop import Shop

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.engine("sqlite", "memory", "embedded")]

LIST = Path(__file__).parents[2] / "baseline" / "abuse_rows.json"
CASES = [
    pytest.param(
        row, act, send, transport, id=f"{row.number}-{act.name[:40]!a}-{protocol}{tail}", marks=marks
    )
    for transport, tail, marks in (
        ("grpcio", "", ()),
        ("native", "-native", (pytest.mark.slow,)),
    )
    for row in TABLE
    for act in row.acts
    for protocol, send in act.sends.items()
    if transport == "grpcio" or protocol != "rest"
]
LAST = {id(row): list(row.acts[-1].sends.values())[-1] for row in TABLE}
USERS = count(1_000)

Shops = Callable[[Mapping[str, str]], Coroutine[Any, Any, Shop]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shops(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shops]:
    """A running Shop for each set of settings the table asks for."""
    running: dict[tuple[tuple[str, str], ...], Shop] = {}
    async with AsyncExitStack() as stack:

        async def shop(environ: Mapping[str, str]) -> Shop:
            key = tuple(sorted(environ.items()))
            if key not in running:
                folder = tmp_path_factory.mktemp("shop")
                (folder / "jwks.json").write_text(tokens.jwks())
                settings = {k: v.replace("<jwks>", str(folder / "jwks.json")) for k, v in environ.items()}
                running[key] = await stack.enter_async_context(Shop(folder, **settings))
                await scenes.stock_up(running[key])
            return running[key]

        yield shop


@pytest.mark.parametrize(("row", "act", "send", "transport"), CASES)
async def test_row(row: Row, act: Act, send: Send, transport: str, shops: Shops) -> None:
    shop = await shops({**row.environ, "SERVER__GRPC_TRANSPORT": transport})
    scene = Scene(shop, next(USERS))
    if act.before is not None:
        await act.before(scene)
    answer = await send(scene)
    must_be(answer, act.expect or row.expect)
    must_not_leak(answer)
    scene.bearer = shop.token(scene.user)
    if act.after is not None:
        await act.after(scene, answer)
    if send is LAST[id(row)]:  # the doctor walks every order: once a row
        await must_be_alive(shop)
        await shop.check_doctor()


async def test_the_table_has_exactly_the_rows_of_the_list() -> None:
    listed = {int(number): name for number, name in json.loads(LIST.read_text())["rows"].items()}
    assert [row.number for row in TABLE] == sorted(listed), "one row a case, and no case without one"
    assert {row.number: row.name for row in TABLE} == listed
    assert all(row.acts for row in TABLE)


async def test_every_protocol_is_in_the_table() -> None:
    assert {key for row in TABLE for act in row.acts for key in act.sends} == {
        "9.1",
        "3",
        "rest",
        "neighbour",
    }


@pytest.mark.parametrize(
    "said",
    [
        'File "/srv/app.py", line 3, in place',
        "near SELECT id FROM order_info",
        "KeyError: 'x'",
        "raised by OrderService",
        "shop_order.web.http failed",
    ],
)
async def test_what_must_not_leak_would_be_seen(said: str) -> None:
    with pytest.raises(AssertionError):
        must_not_leak(Answer(500, said=said))


async def test_a_wrong_answer_would_be_seen() -> None:
    for answer in (Answer(500), Answer(200, "OUT_OF_STOCK")):
        with pytest.raises(AssertionError):
            must_be(answer, OK)
