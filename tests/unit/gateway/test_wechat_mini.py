"""What WeChat's server API of mini-programs may answer, which nothing signs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from shop_order.gateway.payment.http import HttpAnswer, ProviderHttp
from shop_order.gateway.payment.wechat.mini import TOKEN, MiniProgram, MiniSettings

A_TOKEN = b'{"access_token":"the-token","expires_in":7200}'


class Answers(ProviderHttp):
    """Gives the same two answers again and again."""

    def __init__(self, token: bytes, upload: bytes) -> None:
        super().__init__()
        self._token, self._upload = token, upload

    async def call(self, method: str, url: str, **_: Any) -> HttpAnswer:
        return HttpAnswer(200, httpx.Headers(), self._token if TOKEN in url else self._upload)


async def told(folder: Path, token: bytes, upload: bytes) -> tuple[bool, list[tuple[str, Mapping[str, Any]]]]:
    """Whether nothing is left to do after an upload, and what was logged."""
    (folder / "secret").write_text("0123456789abcdef")
    settings = MiniSettings("http://wx", "wx2", "1900000109", folder / "secret", lambda: 1.0)
    log: list[tuple[str, Mapping[str, Any]]] = []
    mini = MiniProgram(
        settings, Answers(token, upload), lambda: 0, lambda event, **about: log.append((event, about))
    )
    return await mini.upload({}), log


@pytest.mark.parametrize("code", [[], {}, None, "0", False, True, 0.5])
async def test_a_code_that_is_no_number_is_no_success(tmp_path: Path, code: object) -> None:
    upload = json.dumps({"errcode": code}).encode()
    done, log = await told(tmp_path, A_TOKEN, upload)
    assert not done
    assert [event for event, _ in log] == ["wechat_mini_refused"]


async def test_the_log_has_no_token(tmp_path: Path) -> None:
    done, log = await told(tmp_path, A_TOKEN[:-1] + b',"x":"\xff"}', b'{"errcode":0}')
    assert not done
    assert [event for event, _ in log] == ["wechat_mini_no_answer"]
    assert "the-token" not in str(log)
