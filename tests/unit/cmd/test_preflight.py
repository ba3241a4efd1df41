"""A file that a setting names must be there before the service serves."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shop_order.cmd.run.preflight import file_problems
from shop_order.configs import load


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ({"AUTH__JWKS": "file://[::1"}, "AUTH__JWKS: .*no such file"),
        ({"AUTH__JWKS": "/no/jwks.json"}, "AUTH__JWKS: /no/jwks.json: .*no such file"),
        ({"AUTH__JWKS": "file:///no/jwks.json"}, "AUTH__JWKS: /no/jwks.json: .*no such file"),
        (
            {"SERVER__TLS_CERT": "/no/c.pem", "SERVER__TLS_KEY": "/no/k.pem"},
            "SERVER__TLS_CERT: /no/c.pem: .*no such file",
        ),
        ({"NEIGHBOURS__TOKEN_FILE": "/no/token"}, "NEIGHBOURS__TOKEN_FILE: /no/token: .*no such file"),
    ],
)
def test_a_missing_file_is_named(tmp_path: Path, named: dict[str, str], says: str) -> None:
    environ = {f"SHOP_ORDER_{key}": value for key, value in named.items()}
    problems = file_problems(load({"SHOP_ORDER_DATA_DIR": str(tmp_path), **environ}).settings)
    assert problems and re.search(says, problems[0])
