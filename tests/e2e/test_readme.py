"""What the two READMEs promise is there, and what they let a newcomer paste works."""

from __future__ import annotations

import json
import re
import sqlite3
import sys
from contextlib import closing
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from shop_order.cmd.main import app
from shop_order.configs import ConfigError, tree
from shop_order.configs.engines import check_scheme
from shop_order.configs.reloadable import RELOADABLE
from tests.e2e.pasting import paste
from tests.e2e.started import ROOT
from tests.shop import Shop

LANGUAGES = ["README.md", "README.zh-CN.md"]
FENCE = re.compile(r"^(?P<indent> *)```sh\n(?P<body>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)")
SETTING = re.compile(r"^\| `([A-Z][A-Z0-9_]+)`( ↻)? \| (\S.*?) \| (\S.*?) \|$", re.MULTILINE)
NO_VALUE = "–"

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


def packaged_defaults() -> dict[tree.Path, Any]:
    """What holds when nobody sets anything, before the profile."""
    found: dict[tree.Path, Any] = {}
    for file in resources.files("shop_order.configs").iterdir():
        if file.name.endswith(".yaml") and not re.fullmatch(r"app\.\w+\.yaml", file.name):
            found |= tree.flatten(yaml.safe_load(file.read_text("utf-8")))
    return found


def written(value: object) -> str:
    """A default as the table shows it."""
    if value is None or value == []:
        return NO_VALUE
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def test_every_setting_is_in_the_table_with_its_default_and_whether_it_can_be_reloaded(readme: str) -> None:
    before_the_sandbox = text_of(readme).partition("`SHOP_SANDBOX_")[0]
    rows = SETTING.findall(before_the_sandbox)
    table = {key: (default, bool(reloads)) for key, reloads, default, _ in rows}
    defaults = packaged_defaults()
    wanted = {tree.key_of(path): (written(defaults[path]), path in RELOADABLE) for path in tree.leaves()}
    assert table == wanted


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
    await pasted(command_with(readme, "order-backup.db"), shop, tmp_path)
    with closing(sqlite3.connect(tmp_path / "order-backup.db")) as copy:
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert copy.execute("SELECT order_sn FROM order_info").fetchall() == [(order["order_sn"],)]


def test_the_commands_are_those_there_are(readme: str) -> None:
    group: Any = typer.main.get_command(app)
    told = set(re.findall(r"^\| `shop-order (\w+)", text_of(readme), re.MULTILINE))
    assert told == set(group.commands)


def test_engines_are_built_or_refused_as_told(readme: str) -> None:
    rows = re.findall(r"^\| `([A-Z]+)__URL` \| (`\w+:`.*) \| (.*) \|$", text_of(readme), re.MULTILINE)
    rows = [(room, built, later) for room, built, later in rows if "//" not in built]
    assert {room for room, _, _ in rows} == {"DB", "CACHE", "MESSAGE", "OPLOG", "REGISTRY", "CONFIG", "TRACE"}
    for room, built, later in rows:
        for scheme in re.findall(r"`([\w+]+):`", built):
            assert check_scheme(room.lower(), f"{scheme}://x") == scheme
        for scheme in re.findall(r"`([\w+]+:)`", later):
            with pytest.raises(ConfigError, match="is not built in this version"):
                check_scheme(room.lower(), f"{scheme}//x")


def test_every_link_leads_somewhere(readme: str) -> None:
    links = LINK.findall(text_of(readme))
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_make_targets_are_those_there_are(readme: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z-]+)\b", text_of(readme))) <= targets
