"""What `config check` finds wrong with the settings of WeChat Pay before the first buyer does."""

from __future__ import annotations

from pathlib import Path

import pytest

from shop_order.cmd.run.preflight import channel_problems
from shop_order.configs import load
from tests.world.wechat import a_certificate, written_keys

SERIAL = "5157F09EFDC096DE15EBE81A47057A7232F1B8E1"


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    """Complete ones of public-key mode, as for production."""
    written_keys(tmp_path)
    (tmp_path / "cert.pem").write_bytes(a_certificate("us", int(SERIAL, 16)))
    (tmp_path / "other.pem").write_bytes(a_certificate("another", int(SERIAL, 16)))
    return {
        "GATEWAY": "https://api.mch.weixin.qq.com",
        "MCH_ID": "1900000109",
        "APP_ID_OFFICIAL": "wx1",
        "APP_ID_MINI": "",
        "APP_ID_APP": "",
        "MERCHANT_SERIAL_NO": SERIAL,
        "MERCHANT_PRIVATE_KEY_FILE": str(tmp_path / "ours.pem"),
        "MERCHANT_CERTIFICATE_FILE": str(tmp_path / "cert.pem"),
        "API_V3_KEY_FILE": str(tmp_path / "v3.txt"),
        "PUBLIC_KEY_FILE": str(tmp_path / "theirs.pem"),
        "PUBLIC_KEY_ID": "PUB_KEY_ID_0119000001092024",
        "NOTIFY_URL": "https://shop.example/notify",
        "MINI_SECRET_FILE": "",
    }


def found(folder: Path, settings: dict[str, str], **others: str) -> list[str]:
    environ = {f"SHOP_ORDER_PAY__WECHAT__{name}": value for name, value in settings.items()}
    environ |= {f"SHOP_ORDER_{name}": value for name, value in others.items()}
    return channel_problems(load({"SHOP_ORDER_DATA_DIR": str(folder), **environ}).settings)["wechat"]


def test_complete_settings_have_no_problem(tmp_path: Path, settings: dict[str, str]) -> None:
    assert not found(tmp_path, settings)
    assert not found(tmp_path, settings | {"PUBLIC_KEY_FILE": "", "PUBLIC_KEY_ID": ""})  # certificate mode
    assert not found(tmp_path, settings | {"MERCHANT_SERIAL_NO": ""})
    assert not found(tmp_path, settings | {"MERCHANT_CERTIFICATE_FILE": ""})


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"MCH_ID": ""}, ["PAY__WECHAT__MCH_ID: is not set"]),
        ({"APP_ID_OFFICIAL": ""}, ["PAY__WECHAT__APP_ID_OFFICIAL: is not set"]),
        ({"APP_ID_MINI": "wx2"}, ["PAY__WECHAT__MINI_SECRET_FILE: is not set"]),
        ({"MINI_SECRET_FILE": "theirs.pem"}, ["PAY__WECHAT__MINI_SECRET_FILE: {}: contains no AppSecret"]),
        ({"PUBLIC_KEY_ID": ""}, ["PAY__WECHAT__PUBLIC_KEY_ID: is not set"]),
        ({"PUBLIC_KEY_FILE": ""}, ["PAY__WECHAT__PUBLIC_KEY_FILE: is not set"]),
        (
            {"MERCHANT_SERIAL_NO": "", "MERCHANT_CERTIFICATE_FILE": ""},
            ["PAY__WECHAT__MERCHANT_SERIAL_NO: is not set"],
        ),
        ({"API_V3_KEY_FILE": "no.txt"}, ["PAY__WECHAT__API_V3_KEY_FILE: no.txt: there is no such file"]),
        ({"API_V3_KEY_FILE": "ours.pem"}, ["PAY__WECHAT__API_V3_KEY_FILE: {}: contains no APIv3 key"]),
        (
            {"MERCHANT_PRIVATE_KEY_FILE": "theirs.pem"},
            ["PAY__WECHAT__MERCHANT_PRIVATE_KEY_FILE: {}: contains a public key instead"],
        ),
        (
            {"PUBLIC_KEY_FILE": "cert.pem"},
            ["PAY__WECHAT__PUBLIC_KEY_FILE: {}: contains a certificate instead of a key"],
        ),
        (
            {"PUBLIC_KEY_FILE": "own.pem"},
            ["PAY__WECHAT__PUBLIC_KEY_FILE: {}: is our own public key"],
        ),
        (
            {"MERCHANT_CERTIFICATE_FILE": "other.pem"},
            ["PAY__WECHAT__MERCHANT_CERTIFICATE_FILE: {}: is not the certificate of"],
        ),
        (
            {"MERCHANT_CERTIFICATE_FILE": "v3.txt"},
            ["PAY__WECHAT__MERCHANT_CERTIFICATE_FILE: {}: contains no readable certificate"],
        ),
        (
            {"MERCHANT_SERIAL_NO": "1DDE55AD98ED71D6EDD4A4A16996DE7B47773A8C"},
            ["PAY__WECHAT__MERCHANT_SERIAL_NO: 1DDE55AD98ED71D6EDD4A4A16996DE7B47773A8C: the certificate's"],
        ),
        (
            {"MERCHANT_SERIAL_NO": SERIAL.lower(), "MERCHANT_CERTIFICATE_FILE": ""},
            [f"PAY__WECHAT__MERCHANT_SERIAL_NO: {SERIAL.lower()}: must be upper-case hexadecimal"],
        ),
        ({"PUBLIC_KEY_ID": SERIAL}, [f"PAY__WECHAT__PUBLIC_KEY_ID: {SERIAL}: must begin with PUB_KEY_ID_"]),
        (
            {"NOTIFY_URL": "http://shop.example/notify?a=b"},
            [
                "PAY__WECHAT__NOTIFY_URL: http://shop.example/notify?a=b: the provider sends notices to",
                "PAY__WECHAT__NOTIFY_URL: http://shop.example/notify?a=b: must have no query",
            ],
        ),
        (
            {"NOTIFY_URL": ""},
            ["SERVER__PUBLIC_URL: http://shop.example: the provider sends notices to https"],
        ),
    ],
)
def test_each_mistake_is_named(
    tmp_path: Path, settings: dict[str, str], wrong: dict[str, str], says: list[str]
) -> None:
    from cryptography.hazmat.primitives import serialization

    from tests.world.wechat import key

    (tmp_path / "own.pem").write_bytes(
        key("us")
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    named = {
        name: str(tmp_path / value) if value.endswith(("pem", "v3.txt")) else value
        for name, value in wrong.items()
    }
    file = next(iter(named.values()))
    texts = found(tmp_path, settings | named, SERVER__PUBLIC_URL="http://shop.example")
    assert len(texts) == len(says), texts
    for text, start in zip(texts, says, strict=True):
        assert text.startswith(start.replace("{}", file))


def test_a_channel_that_is_off_has_no_problem(tmp_path: Path, settings: dict[str, str]) -> None:
    off = dict.fromkeys(settings, "") | {"GATEWAY": "https://api.mch.weixin.qq.com"}
    assert not found(tmp_path, off, SERVER__PUBLIC_URL="http://shop.example")
