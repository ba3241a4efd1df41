"""What the two READMEs promise is there, and what they let a newcomer paste works."""

from __future__ import annotations

import json
import re
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e.pasting import paste
from tests.e2e.started import ROOT
from tests.shop import Shop

LANGUAGES = ["README.md", "README.zh-CN.md"]
FENCE = re.compile(r"^(?P<indent> *)```sh\n(?P<body>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)

pytestmark = pytest.mark.parametrize("readme", LANGUAGES)


def text_of(readme: str) -> str:
    return (ROOT / readme).read_text("utf-8")


def command_with(readme: str, words: str) -> str:
    """The shell block that holds these words."""
    bodies = [found["body"] for found in FENCE.finditer(text_of(readme)) if words in found["body"]]
    assert len(bodies) == 1, words
    return bodies[0]


async def pasted(command: str, shop: Shop, folder: Path) -> str:
    """Paste it into the running Shop: only ports and paths are other than in the text."""
    here = {
        "127.0.0.1:8080": shop.url.removeprefix("http://"),
        "127.0.0.1:50051": shop.grpc_address,
        ".venv/bin/shop-order": f"{sys.executable} -m shop_order.cmd.main",
        ".venv/bin/python": sys.executable,
        "data/order.db": str(shop.folder / "order" / "order.db"),
    }
    command = re.sub("|".join(map(re.escape, here)), lambda found: here[found[0]], command)
    environ = {"SHOP_ORDER_DATA_DIR": str(shop.folder / "order"), "PYTHONPATH": str(ROOT / "src")}
    return await paste(command, folder, environ)


async def test_the_first_curl_places_an_order(readme: str, shop: Shop, tmp_path: Path) -> None:
    answer = json.loads(await pasted(command_with(readme, "curl -sS"), shop, tmp_path))
    order = await shop.order(answer["data"]["order_sn"])
    assert (order["status"], order["pay_url"]) == (1, answer["data"]["pay_url"])


async def test_the_first_grpc_call_places_an_order(readme: str, shop: Shop, tmp_path: Path) -> None:
    said = await pasted(command_with(readme, "<<'PY'"), shop, tmp_path)
    order = await shop.order(said.split()[0])
    assert order["status"] == 1
    assert order["pay_url"] in said and str(order["pay_fen"]) in said


async def test_the_backup_is_a_whole_database(readme: str, shop: Shop, tmp_path: Path) -> None:
    order = await shop.place()
    operation = readme.replace("README", "docs/operation")
    await pasted(command_with(operation, "order-backup.db"), shop, tmp_path)
    with closing(sqlite3.connect(tmp_path / "order-backup.db")) as copy:
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert copy.execute("SELECT order_sn FROM order_info").fetchall() == [(order["order_sn"],)]
