"""What a start would refuse is said before it, and the start refuses the same: one line, exit code 2."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from typer.testing import CliRunner, Result

from shop_order.cmd.cli import root as main
from shop_order.cmd.cli.root import app
from shop_order.pkg.ed25519 import new_private_pem
from tests.e2e.started import Started, run
from tests.shop import Shop
from tests.world.certificates import make_certificate

OURS, THEIRS, OTHER = (rsa.generate_private_key(65537, 2048) for _ in range(3))


def private(key: rsa.RSAPrivateKey) -> bytes:
    """As the provider's key tool writes it: bare base64."""
    return base64.b64encode(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))


def public(key: rsa.RSAPrivateKey) -> bytes:
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(der)


@pytest.fixture
def whole(tmp_path: Path) -> dict[str, str]:
    """All that production needs, with Alipay and TLS; files of the names of their settings."""
    files = tmp_path / "files"
    files.mkdir()
    key = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(OTHER.public_key()))
    (files / "jwks").write_text(json.dumps({"keys": [{**key, "kid": "1"}]}))
    (files / "root").write_bytes(new_private_pem())
    (files / "token").write_text("a.b.c\n")
    (files / "ours").write_bytes(private(OURS))
    (files / "theirs").write_bytes(public(THEIRS))
    certificate, tls_key = make_certificate(files, "shop")
    settings = {
        "DATA_DIR": str(tmp_path / "data"),
        "APP__ENV": "production",
        "SERVER__PUBLIC_URL": "https://a.shop",
        "SERVER__TLS_CERT": str(certificate),
        "SERVER__TLS_KEY": str(tls_key),
        "AUTH__LINK_KEYS": "l" * 32,
        "AUTH__JWKS": (files / "jwks").as_uri(),
        "AUDIT__ROOT_KEY_FILE": str(files / "root"),
        "NEIGHBOURS__TOKEN_FILE": str(files / "token"),
        "PAY__GATEWAY_SECRET": "g" * 32,
        "PAY__ALIPAY__APP_ID": "2021000000000001",
        "PAY__ALIPAY__SELLER_ID": "2088000000000001",
        "PAY__ALIPAY__APP_PRIVATE_KEY_FILE": str(files / "ours"),
        "PAY__ALIPAY__PUBLIC_KEY_FILE": str(files / "theirs"),
    }
    return {f"SHOP_ORDER_{key}": value for key, value in settings.items()}


def check(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Result:
    with monkeypatch.context() as patched:
        for key, value in environ.items():
            patched.setenv(key, value)
        return CliRunner().invoke(app, ["config", "check"])


def start(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Result:
    """As far as `serve` goes before it serves."""
    with monkeypatch.context() as patched:
        for key, value in environ.items():
            patched.setenv(key, value)
        patched.setattr(main, "run", lambda start: (_ for _ in ()).throw(SystemExit(0)))
        return CliRunner().invoke(app, ["serve"])


@pytest.mark.parametrize("env", ["dev", "test", "production"])
def test_a_whole_configuration_is_found_whole_in_every_environment(
    whole: dict[str, str], monkeypatch: pytest.MonkeyPatch, env: str
) -> None:
    found = check(whole | {"SHOP_ORDER_APP__ENV": env}, monkeypatch)
    assert found.exit_code == 0, found.output
    assert "alipay: ready" in found.stdout
    assert "production would start" in found.stdout
    assert start(whole, monkeypatch).exit_code == 0


def test_a_channel_that_is_off_is_no_fault(whole: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    without = {key: value for key, value in whole.items() if "ALIPAY" not in key}
    found = check(without, monkeypatch)
    assert (found.exit_code, "alipay: off" in found.stdout) == (0, True)
    assert start(without, monkeypatch).exit_code == 0


@pytest.mark.parametrize(("wallets", "said"), [("wallet", "balance: ready"), ("", "balance: off")])
def test_the_balance_is_ready_if_there_is_a_wallet(
    whole: dict[str, str], monkeypatch: pytest.MonkeyPatch, wallets: str, said: str
) -> None:
    found = check(whole | {"SHOP_ORDER_AUTH__WALLET_SERVICES": wallets}, monkeypatch)
    assert (found.exit_code, said in found.stdout) == (0, True), found.output


def test_a_broker_needs_the_keys_of_the_wallet_s_answers(
    whole: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole |= {"SHOP_ORDER_MESSAGE__URL": "rocketmq://proxy:8081"}
    found, refused = check(whole, monkeypatch), start(whole, monkeypatch)
    assert (found.exit_code, refused.exit_code) == (1, 2)
    (line,) = [line for line in found.stdout.splitlines() if "AUTH__WALLET_KEYS" in line]
    assert line.startswith("settings: AUTH__WALLET_KEYS: is not set")
    assert line.removeprefix("settings: ") in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    whole |= {"SHOP_ORDER_AUTH__WALLET_KEYS": "w" * 32}
    found = check(whole, monkeypatch)
    assert (found.exit_code, "balance: ready" in found.stdout) == (0, True), found.output
    assert "w" * 32 not in found.output


def test_an_empty_environment_is_told_all_that_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = check({"SHOP_ORDER_DATA_DIR": str(tmp_path)}, monkeypatch)
    assert found.exit_code == 1
    for key in ("SERVER__PUBLIC_URL", "AUTH__LINK_KEYS", "AUTH__JWKS", "AUDIT__ROOT_KEY_FILE"):
        assert f"settings: {key}: is not set" in found.stdout
    assert "production would not start: 6 problems" in found.stdout
    assert not (tmp_path / "dev").exists(), "it makes nothing"


@pytest.mark.parametrize(
    ("key", "content", "says"),
    [
        ("PAY__ALIPAY__APP_PRIVATE_KEY_FILE", None, "there is no such file"),
        ("PAY__ALIPAY__APP_PRIVATE_KEY_FILE", b"", "is empty"),
        ("PAY__ALIPAY__APP_PRIVATE_KEY_FILE", public(OURS), "contains a public key"),
        ("PAY__ALIPAY__PUBLIC_KEY_FILE", private(THEIRS), "contains a private key"),
        ("PAY__ALIPAY__PUBLIC_KEY_FILE", public(OURS), "is our own public key"),
        ("PAY__ALIPAY__PUBLIC_KEY_FILE", b"MIIB nonsense", "contains no readable key"),
        ("PAY__ALIPAY__PUBLIC_KEY_FILE", "", "is not set, but the channel requires it"),
        ("PAY__ALIPAY__APP_ID", "", "is not set, but the channel requires it"),
        ("AUDIT__ROOT_KEY_FILE", b"hello", "needs 1 to 64 PEM blocks"),
        ("AUDIT__ROOT_KEY_FILE", None, "there is no such file"),
        ("AUTH__JWKS", b"{}", "not a JWK Set"),
        ("AUTH__JWKS", b"hello", "Expecting value"),
        ("NEIGHBOURS__TOKEN_FILE", b"\n", "is empty"),
        ("NEIGHBOURS__TOKEN_FILE", None, "there is no such file"),
        ("SERVER__TLS_CERT", b"hello", "are not a PEM certificate and its private key"),
        ("SERVER__TLS_KEY", private(OTHER), "are not a PEM certificate and its private key"),
        ("SERVER__TLS_CLIENT_CA", b"hello", "contains no PEM certificate"),
        ("SERVER__PUBLIC_URL", "", "SERVER__PUBLIC_URL"),
        ("AUTH__HS256_KEY", "h" * 32, "is for dev and test"),
    ],
)
def test_what_the_check_finds_the_start_refuses(
    whole: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    key: str,
    content: bytes | str | None,
    says: str,
) -> None:
    name = f"SHOP_ORDER_{key}"
    if isinstance(content, str):
        whole[name] = content
    else:
        whole[name] = str(tmp_path / "planted")
        if content is not None:
            (tmp_path / "planted").write_bytes(content)
    refused = start(whole, monkeypatch)
    found = check(whole, monkeypatch)
    assert (refused.exit_code, found.exit_code) == (2, 1), found.output + refused.output
    assert len(refused.stderr.splitlines()) == 1
    for said in (refused.stderr, found.output):
        assert key in said
        assert says in said or "there is no readable file" in said
        if isinstance(content, bytes) and len(content) > 100:
            assert content[20:60].decode() not in said


async def test_a_channel_without_its_keys_says_why_in_the_log_of_a_developer(tmp_path: Path) -> None:
    environ = {**Shop(tmp_path).environ, "SHOP_ORDER_PAY__ALIPAY__PUBLIC_KEY_FILE": str(tmp_path / "bad")}
    (tmp_path / "bad").write_text("hello world!")
    async with Started(tmp_path, "shop-order", "serve", environ=environ) as serving:
        said = await serving.says("channel_unavailable")
        assert f"PAY__ALIPAY__PUBLIC_KEY_FILE: {tmp_path / 'bad'}: is not a key" in said
        assert await serving.stop() == 0


async def test_a_start_of_production_with_a_bad_key_ends_with_one_line(
    whole: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "files" / "ours").write_bytes(private(OURS)[:200])
    refused = await run(tmp_path, "shop-order", "serve", environ=whole)
    assert refused.code == 2
    (line,) = refused.err.splitlines()
    assert "PAY__ALIPAY__APP_PRIVATE_KEY_FILE" in line and "contains no readable key" in line
