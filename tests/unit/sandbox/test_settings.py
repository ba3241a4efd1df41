"""SHOP_SANDBOX_* and the token for the order service."""

from pathlib import Path

import jwt
import pytest

from shop_sandbox.order_token import TokenFile
from shop_sandbox.settings import SettingsError, from_environment


def test_the_defaults_are_the_contract() -> None:
    settings = from_environment({"PATH": "/bin"})
    assert (settings.grpc_port, settings.http_port, settings.order) == (50061, 8090, "127.0.0.1:50051")
    assert settings.order_token_file == Path("data/sandbox/order.token")


def test_values_are_read() -> None:
    settings = from_environment({"SHOP_SANDBOX_GRPC_PORT": "0", "SHOP_SANDBOX_TOKEN_FILE": "t"})
    assert (settings.grpc_port, settings.order_token_file) == (0, Path("t"))


def test_the_wallet_s_key_is_that_of_development_unless_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "wallet.key").write_text("ours\n")
    assert from_environment({"SHOP_SANDBOX_KEYS_DIR": str(tmp_path)}).wallet_key() == b"ours"
    (tmp_path / "own").write_text("another\n")
    assert (
        from_environment({"SHOP_SANDBOX_WALLET_KEY_FILE": str(tmp_path / "own")}).wallet_key() == b"another"
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("GRPC_PORT", "x"),
        ("GRPC_PORT", "70000"),
        ("NOTICE_SCALE", "0"),
        ("COLOUR", "red"),
        ("SEED_GOODS", "-1"),
        ("WALLET_KEY_FILE", "no/such"),
    ],
)
def test_bad_and_unknown_settings_are_named_in_one_line(key: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"SHOP_SANDBOX_{key}") as raised:
        from_environment({f"SHOP_SANDBOX_{key}": value})
    assert "\n" not in str(raised.value)


def test_the_token_is_read_again_when_its_file_changes(tmp_path: Path) -> None:
    file = tmp_path / "order.token"
    token = TokenFile(file, tmp_path / "none.key")
    assert token() == ""
    file.write_text("first\n")
    assert token() == "first"
    file.write_text("another\n")
    assert token() == "another"


def test_without_a_file_a_token_is_signed_with_the_development_key(tmp_path: Path) -> None:
    key = tmp_path / "jwt_hs256.key"
    key.write_text("0" * 64)
    token = TokenFile(tmp_path / "order.token", key)()
    claims = jwt.decode(token, "0" * 64, algorithms=["HS256"], audience="order-service", issuer="shop")
    assert (claims["role"], claims["sub"]) == ("service", "inventory")
    assert claims["exp"] - claims["iat"] <= 86_400
