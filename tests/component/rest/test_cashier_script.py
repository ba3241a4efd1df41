"""The script of the cashier's page that asks for news, where Node is."""

from __future__ import annotations

import asyncio
import json
import shutil
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

POLL = Path(__file__).with_name("poll.js")
SCRIPT = (files("shop_order.web") / "pages" / "cashier.js").read_text("utf-8")
CARD = {"state": "confirming", "poll": "2", "mayPay": "true"}
SAME = {"state": "confirming", "may_pay": True, "qr_code": None, "jsapi_params": None}
CODE, OTHER_CODE = {"qr_code": "weixin://1?a=1&b=<2>"}, {"qr_code": "weixin://2"}
BRIDGE = {"package": "prepay_id=1", "nonceStr": "a"}


async def reloaded(page: dict[str, Any], *answers: dict[str, Any]) -> bool | None:
    """Whether the page reloads while it gets these answers; None without Node."""
    if not (node := shutil.which("node")):
        return None
    given = json.dumps({"page": {"dataset": CARD} | page, "answers": [SAME | one for one in answers]})
    ran = await asyncio.create_subprocess_exec(
        node, str(POLL), SCRIPT, given, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    said, wrong = await ran.communicate()
    assert ran.returncode == 0, wrong.decode()
    return bool(json.loads(said)["reloaded"])


@pytest.mark.parametrize(
    ("page", "answers", "expected"),
    [
        ({}, [{}, {}, {"state": "paid"}], True),
        ({}, [{}, {"may_pay": False}], True),
        ({}, [{}, {}, CODE, {"jsapi_params": BRIDGE}], False),  # nothing of it is shown here
        ({"code": CODE["qr_code"]}, [CODE, CODE, CODE], False),
        ({"code": CODE["qr_code"]}, [CODE, OTHER_CODE], True),
        ({"code": CODE["qr_code"]}, [CODE, {}], True),
        ({"parameters": BRIDGE}, [{"jsapi_params": BRIDGE}] * 2, False),
        ({"parameters": BRIDGE}, [{"jsapi_params": BRIDGE | {"package": "prepay_id=2"}}], True),
        ({"parameters": BRIDGE}, [{}], True),
    ],
)
async def test_the_page_reloads_if_what_it_shows_is_no_longer_so(
    page: dict[str, Any], answers: list[dict[str, Any]], expected: bool
) -> None:
    assert await reloaded(page, *answers) in (expected, None)
