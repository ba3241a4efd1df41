import os
import stat
from pathlib import Path

import pytest

from shop_order.configs import ConfigError, Loaded, load, mask, reload, show
from shop_order.configs.dev_keys import dev_keys
from shop_order.configs.load import override_file
from shop_order.configs.tree import ALIASES, RELOADABLE, leaves


def env_of(tmp_path: Path, **settings: str) -> dict[str, str]:
    return {"SHOP_ORDER_DATA_DIR": str(tmp_path), **{f"SHOP_ORDER_{k}": v for k, v in settings.items()}}


def loaded(tmp_path: Path, **settings: str) -> Loaded:
    return load(env_of(tmp_path, **settings))


def key_of(tmp_path: Path, *setting: str) -> str:
    """The development key of a setting."""
    return dev_keys(str(tmp_path))[setting][1]


def test_the_contract_s_defaults(tmp_path: Path) -> None:
    s = loaded(tmp_path).settings
    assert (s.server.http_port, s.server.grpc_port, s.server.host) == (8080, 50051, "127.0.0.1")
    assert (s.order.pay_timeout_s, s.order.auto_confirm_s) == (1800, 604800)
    assert (s.limit.unpaid_orders, s.limit.user_rate, s.limit.user_burst, s.limit.global_rate) == (
        20,
        20,
        100,
        0,
    )
    assert s.db.url == f"sqlite:///{tmp_path}/order.db"
    assert s.server.reflection
    assert s.server.base_url == "http://127.0.0.1:8080"


def test_every_setting_has_a_packaged_default_and_an_origin(tmp_path: Path) -> None:
    assert set(loaded(tmp_path).origins) == set(leaves())


def test_later_layers_win_and_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "app.yaml").write_text("app: {env: test}\n")
    (folder / "order.yaml").write_text(
        "order:\n  pay_timeout_s: 60\n  auto_confirm_s: 70\n  scan_interval_s: 1\n"
    )
    (folder / "app.test.yaml").write_text("order: {auto_confirm_s: 80}\n")
    (folder / "app.production.yaml").write_text("order: {auto_confirm_s: 90}\n")
    override = override_file(str(tmp_path))
    override.parent.mkdir()
    override.write_text("order: {scan_interval_s: 2}\n")
    it = loaded(tmp_path, CONFIG__URL=f"file:{folder}", ORDER__PAY_TIMEOUT_S="61")
    assert it.settings.app.env == "test"
    assert it.settings.log.level == "warn"
    order = it.settings.order
    assert (order.pay_timeout_s, order.auto_confirm_s, order.scan_interval_s) == (61, 80, 2)
    assert it.origins["order", "pay_timeout_s"] == "environment variable SHOP_ORDER_ORDER__PAY_TIMEOUT_S"
    assert it.origins["order", "auto_confirm_s"].endswith("app.test.yaml")
    assert it.origins["order", "scan_interval_s"].startswith("override ")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"SERVER__HTTPPORT": "1"}, "unknown setting SERVER__HTTPPORT.*did you mean SERVER__HTTP_PORT"),
        ({"NONSENSE": "1"}, "unknown setting NONSENSE"),
        ({"DB": "x"}, "DB is a section"),
        ({"SERVER__HTTP_PORT": "eighty"}, "SERVER__HTTP_PORT.*integer.*SHOP_ORDER_SERVER__HTTP_PORT"),
        ({"SERVER__HTTP_PORT": "70000"}, "SERVER__HTTP_PORT"),
        ({"SERVER__HTTP_PORT": "5", "SERVER__GRPC_PORT": "5"}, "SERVER__GRPC_PORT"),
        ({"ORDER__PAY_TIMEOUT_S": "0"}, "ORDER__PAY_TIMEOUT_S"),
        ({"NEIGHBOURS__TIMEOUT_S": "nan"}, "NEIGHBOURS__TIMEOUT_S"),
        ({"APP__ENV": "../../etc"}, "APP__ENV"),
        ({"DB__URL": "mysql://u:pw@h"}, "DB__URL.*must be mysql://user:password@host:port/db"),
        ({"DB__URL": "mysql://h/db"}, "DB__URL.*must be"),
        ({"DB__URL": "mysql://u:short密码@h/db"}, "DB__URL.*Latin-1"),
        ({"DB__URL": "mysql://u:short%E5%AF%86@h/db"}, "DB__URL.*Latin-1"),
        ({"DB__URL": "mysql://u:pw@h:nan/db"}, "DB__URL.*must be"),
        ({"DB__URL": "mysql://u:pw@h/db?ssl=1"}, "DB__URL.*unknown option ssl "),
        ({"DB__URL": "mysql://u:pw@h/db?ssl-mode=required"}, "DB__URL.*ssl-mode must be verify_identity"),
        ({"DB__URL": "mysql://u:pw@h/db?ssl-ca=/no/such"}, "DB__URL.*ssl- options can't be used"),
        ({"DB__URL": "mysql://u:pw@h/db?ssl-key=k"}, "DB__URL.*ssl-key needs ssl-cert"),
        ({"CACHE__URL": "rediss://h?ssl-ca="}, "CACHE__URL.*ssl-ca is empty"),
        ({"DB__URL": "order.db"}, "DB__URL"),
        ({"DB__URL": "oracle://h"}, "DB__URL.*does not support"),
        ({"DB__URL": "sqlite://"}, "DB__URL.*needs a file"),
        ({"CACHE__URL": "redis+cluster://h/3"}, "CACHE__URL.*has no database"),
        ({"MESSAGE__URL": "rocketmq://h"}, "MESSAGE__URL.*host:port"),
        ({"CONFIG__URL": "nacos://h:8848?tenant=x"}, "CONFIG__URL.*unknown parameter tenant"),
        ({"CONFIG__URL": "nacos:"}, "CONFIG__URL.*write nacos://"),
        ({"CONFIG__URL": "nacos://u:short]@h:1"}, "CONFIG__URL: in a password"),
        ({"REGISTRY__URL": "consul://:short]@h:1"}, "REGISTRY__URL: in a password"),
        ({"CACHE__URL": "redis://:[short@h:1/0"}, "CACHE__URL: in a password"),
        ({"REGISTRY__URL": "consul://"}, "REGISTRY__URL.*write consul://"),
        ({"REGISTRY__URL": "consul://h:1", "SERVER__HOST": "0.0.0.0"}, "SERVER__ADVERTISE_HOST"),
        ({"NEIGHBOURS__GOODS": "goods-service"}, "NEIGHBOURS__GOODS.*needs a registry"),
        ({"CONFIG__URL": "file:/nowhere/at/all"}, "CONFIG__URL"),
        (
            {"SERVER__WORKERS": "2"},
            "SERVER__WORKERS: one process is one instance .*environment.*--scale",
        ),
        ({"SERVER__WORKERS": ""}, "SERVER__WORKERS: one process is one instance"),
        ({"SERVER__TLS_CERT": "c.pem"}, "TLS_CERT and TLS_KEY"),
        ({"SERVER__CORS_ORIGINS": "ftp://a"}, "SERVER__CORS_ORIGINS"),
        ({"PAY__CALLBACK_ALLOW": "10.0.0.0/99"}, "PAY__CALLBACK_ALLOW"),
        ({"AUTH__LINK_KEYS": "short"}, "AUTH__LINK_KEYS.*32"),
        ({"AUTH__WALLET_KEYS": "short"}, "AUTH__WALLET_KEYS.*32"),
        ({"NEIGHBOURS__GOODS": "host:0"}, "NEIGHBOURS__GOODS"),
        ({"PRICING__FREIGHT_FEN": "-1"}, "PRICING__FREIGHT_FEN"),
        ({"PRICING__FREIGHT_FEN": "8.00"}, "PRICING__FREIGHT_FEN.*whole number of fen"),
        ({"PRICING__FREIGHT_FEN": "free"}, "PRICING__FREIGHT_FEN.*whole number of fen"),
        ({"PRICING__FREIGHT_FEN": "10000001"}, "PRICING__FREIGHT_FEN"),
        ({"PRICING__FREE_FREIGHT_FROM_FEN": "99.00"}, "FREE_FREIGHT_FROM_FEN.*whole number"),
        ({"PRICING__PROVINCE_FREIGHT_FEN": "1500"}, "1500 is not a province"),
        ({"PRICING__PROVINCE_FREIGHT_FEN": "新僵=1500"}, "新僵 is not a province"),
        ({"PRICING__PROVINCE_FREIGHT_FEN": "新疆=15.00"}, "FREIGHT_FEN__新疆.*whole number"),
        ({"PRICING__PROVINCE_FREIGHT_FEN": "新疆=1,新疆维吾尔自治区=2"}, "新疆 occurs twice"),
        ({"PRICING__PROVINCE_FREIGHT_FEN": '{"新疆": 1, "新疆": 2}'}, "新疆 occurs twice"),
        ({"PRICING__PROVINCE_FREIGHT_FEN": "{新疆"}, "is not a mapping"),
    ],
)
def test_a_bad_or_unknown_setting_is_one_clear_line(
    tmp_path: Path, settings: dict[str, str], says: str
) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        loaded(tmp_path, **settings)
    assert "\n" not in str(caught.value)
    assert not any(secret in str(caught.value) for secret in ("pw@", "short"))


def test_a_former_name_works_in_every_layer_and_is_named(tmp_path: Path) -> None:
    assert loaded(tmp_path).renamed == ()
    (tmp_path / "own.yaml").write_text("cache: {most_entries: 7}")
    it = loaded(tmp_path, CONFIG__URL=f"file:{tmp_path}")
    assert it.settings.cache.max_entries == 7
    assert it.renamed == ("CACHE__MOST_ENTRIES is now CACHE__MAX_ENTRIES",)
    it = loaded(tmp_path, CONFIG__URL=f"file:{tmp_path}", CACHE__MOST_ENTRIES="8")
    assert it.settings.cache.max_entries == 8
    assert it.origins["cache", "max_entries"] == "environment variable SHOP_ORDER_CACHE__MOST_ENTRIES"
    it = loaded(tmp_path, CONFIG__URL=f"file:{tmp_path}", CACHE__MAX_ENTRIES="9")
    assert it.settings.cache.max_entries == 9
    with pytest.raises(ConfigError, match=r"CACHE__MAX_ENTRIES: .* SHOP_ORDER_CACHE__MOST_ENTRIES"):
        loaded(tmp_path, CACHE__MOST_ENTRIES="0")


def test_both_names_of_a_setting_in_one_layer_are_refused(tmp_path: Path) -> None:
    says = "CACHE__MOST_ENTRIES is the former name of CACHE__MAX_ENTRIES: set only CACHE__MAX_ENTRIES"
    with pytest.raises(ConfigError, match=says):
        loaded(tmp_path, CACHE__MOST_ENTRIES="8", CACHE__MAX_ENTRIES="8")
    (tmp_path / "own.yaml").write_text("cache: {most_entries: 7, max_entries: 7}")
    with pytest.raises(ConfigError, match=f"{says} .*own.yaml"):
        loaded(tmp_path, CONFIG__URL=f"file:{tmp_path}")


@pytest.mark.parametrize("old", ALIASES)
def test_an_alias_leads_from_no_setting_to_one(old: tuple[str, ...]) -> None:
    assert old not in set(leaves())
    assert ALIASES[old] in set(leaves())


@pytest.mark.parametrize("text", ["server: {workers: 1}", "server: {workers: '1'}"])
def test_one_worker_is_accepted_and_unused(tmp_path: Path, text: str) -> None:
    (tmp_path / "own.yaml").write_text(text)
    it = loaded(tmp_path, CONFIG__URL=f"file:{tmp_path}")
    assert it.unused == ("SERVER__WORKERS",)
    assert loaded(tmp_path, SERVER__WORKERS="1").unused == ("SERVER__WORKERS",)
    (tmp_path / "own.yaml").write_text("server: {workers: 4}")
    with pytest.raises(ConfigError, match=r"SERVER__WORKERS: one process is one instance .*own\.yaml"):
        loaded(tmp_path, CONFIG__URL=f"file:{tmp_path}")


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("db.yaml", "db: [", "db.yaml line 1"),
        ("db.yaml", "db: {uri: x}", "unknown setting DB__URI.*db.yaml"),
        ("db.yaml", "- a", "db.yaml"),
        ("db.yaml", "db: {url: a}\norder: {}\ndb: {url: b}", "db occurs twice"),
        ("db.yml", "", "db.yml: ignored"),
        ("app.prod.yaml", "", "app.prod.yaml: ignored"),
        ("app.yaml", "config: {url: 'file:'}", "CONFIG__URL"),
        ("app.dev.yaml", "app: {env: production}", "APP__ENV"),
    ],
)
def test_a_bad_document_is_one_clear_line(tmp_path: Path, name: str, text: str, says: str) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / name).write_text(text)
    with pytest.raises(ConfigError, match=says) as caught:
        loaded(tmp_path, CONFIG__URL=f"file:{folder}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["data_dir: /else", "app: {env: production}", "config: {url: 'file:'}"])
def test_an_override_can_not_move_what_decides_where_it_is_read(tmp_path: Path, text: str) -> None:
    override = override_file(str(tmp_path))
    override.parent.mkdir()
    override.write_text(text)
    with pytest.raises(ConfigError, match="can't be set in"):
        loaded(tmp_path)


def test_variables_that_kubernetes_adds_for_a_service_called_shop_order_change_nothing(
    tmp_path: Path,
) -> None:
    added = {
        "PORT": "tcp://10.0.0.1:80",
        "PORT_80_TCP": "x",
        "SERVICE_HOST": "10.0.0.1",
        "SERVICE_PORT_GRPC": "1",
    }
    assert loaded(tmp_path, **added).settings == loaded(tmp_path).settings


def test_lists_are_written_with_commas_or_as_json(tmp_path: Path) -> None:
    commas = loaded(tmp_path, PAY__RETURN_URLS="https://a.shop, https://b.shop/").settings.pay.return_urls
    json = loaded(tmp_path, PAY__RETURN_URLS='["https://a.shop", "https://b.shop"]').settings.pay.return_urls
    assert commas == json == ("https://a.shop", "https://b.shop")


def test_the_shops_name_is_one_visible_line(tmp_path: Path) -> None:
    assert loaded(tmp_path).settings.app.shop_name is None
    assert loaded(tmp_path, APP__SHOP_NAME="").settings.app.shop_name is None
    assert loaded(tmp_path, APP__SHOP_NAME="青瓷小铺").settings.app.shop_name == "青瓷小铺"
    for bad in ("  ", "a\nb", "a\u200b", "字" * 51):
        with pytest.raises(ConfigError, match="APP__SHOP_NAME"):
            loaded(tmp_path, APP__SHOP_NAME=bad)


def test_settings_can_not_be_changed_in_place(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="frozen"):
        loaded(tmp_path).settings.order.pay_timeout_s = 1  # type: ignore[misc]


def test_development_keys_are_made_once_and_kept_from_others(tmp_path: Path) -> None:
    first = loaded(tmp_path).settings
    assert loaded(tmp_path).settings == first
    assert first.auth.hs256_key is not None
    assert first.auth.hs256_key.get_secret_value() == key_of(tmp_path, "auth", "hs256_key")
    for name in os.listdir(tmp_path / "dev"):
        assert stat.S_IMODE((tmp_path / "dev" / name).stat().st_mode) == 0o600
    assert sorted(os.listdir(tmp_path / "dev")) == [
        "gateway_secret",
        "history_root.pem",
        "jwt_hs256.key",
        "link.key",
        "wallet.key",
    ]


def test_whoever_makes_a_development_key_later_takes_the_first_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = dev_keys(str(tmp_path))
    root_file, _ = first["audit", "root_key_file"]
    root_key = root_file.read_bytes()
    monkeypatch.setattr(Path, "exists", lambda _: False)  # another process made it just after we looked
    assert dev_keys(str(tmp_path)) == first
    assert root_file.read_bytes() == root_key


def test_a_damaged_development_key_is_named(tmp_path: Path) -> None:
    loaded(tmp_path)
    (tmp_path / "dev" / "link.key").write_text("")
    with pytest.raises(ConfigError, match=r"link\.key"):
        loaded(tmp_path)


def test_an_unusable_data_directory_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="DATA_DIR"):
        load({"SHOP_ORDER_DATA_DIR": str(tmp_path / "file")})


def test_show_masks_secrets_unless_asked(tmp_path: Path) -> None:
    it = loaded(tmp_path, NEIGHBOURS__TIMEOUT_S="4", AUTH__JWKS="https://u:hunter2@h/jwks?token=abc")
    names = ("link_keys", "wallet_keys", "hs256_key")
    settings = ("pay", "gateway_secret"), *(("auth", name) for name in names)
    secrets = [key_of(tmp_path, *setting) for setting in settings]
    masked, plain = show(it), show(it, secrets=True)
    for secret in [*secrets, "hunter2", "token=abc"]:
        assert secret not in masked
        assert secret in plain
    for secret in secrets:
        assert secret not in repr(it)
    assert "timeout_s: 4.0  # environment variable SHOP_ORDER_NEIGHBOURS__TIMEOUT_S" in masked
    assert "http_port: 8080  # default server.yaml" in masked


def test_a_published_document_is_shown_without_its_secrets() -> None:
    text = mask(
        "it",
        "auth: {link_keys: [geheim]}\ndb: {url: 'mysql://u:geheim@h/db'}\n"
        "pay: {gateway_secret: geheim, return_urls: ['https://u:geheim@h/?token=geheim']}\n",
    )
    assert "geheim" not in text
    assert text.count("***") == 5


def test_a_reload_takes_what_may_change_and_names_what_waits(tmp_path: Path) -> None:
    current = loaded(tmp_path)
    fresh = reload(current, env_of(tmp_path, LOG__LEVEL="debug", SERVER__HTTP_PORT="9090"))
    assert fresh.loaded.settings.log.level == "debug"
    assert fresh.loaded.settings.server.http_port == 8080
    assert (fresh.applied, fresh.needs_restart) == (("LOG__LEVEL",), ("SERVER__HTTP_PORT",))
    assert fresh.loaded.origins["server", "http_port"] == "default server.yaml"
    assert current.settings.log.level == "info"


@pytest.mark.parametrize(
    "text",
    ["西藏=2000, 新疆维吾尔自治区=1500,浙江=0", '{"西藏": 2000, "新疆": "1500", "浙江": 0}'],
    ids=["pairs", "json"],
)
def test_freight_by_province_may_come_from_a_text(tmp_path: Path, text: str) -> None:
    it = loaded(tmp_path, PRICING__PROVINCE_FREIGHT_FEN=text)
    assert it.settings.pricing.province_freight_fen == {"浙江": 0, "西藏": 2000, "新疆": 1500}
    zones = it.settings.pricing.zones_fen
    assert (len(zones), zones["新疆"], zones["北京"]) == (34, 1500, 0)
    assert "province_freight_fen: {浙江: 0, 西藏: 2000, 新疆: 1500}  # environment variable" in show(it)


def test_a_document_replaces_freight_by_province_as_a_whole(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    environ = env_of(tmp_path, CONFIG__URL=f"file:{own}")
    for text, wanted in (
        ("pricing: {province_freight_fen: {新疆: 1500, 西藏自治区: 2000}}\n", {"西藏": 2000, "新疆": 1500}),
        ("pricing: {province_freight_fen: {}}\n", {}),
        ("pricing: {province_freight_fen: {新疆: 0}}\n", {"新疆": 0}),
    ):
        (own / "own.yaml").write_text(text)
        it = load(environ).settings
        assert it.pricing.province_freight_fen == wanted
    assert not it.pricing.zones_fen, "an addition of nothing everywhere asks nobody for a province"
    for bad in ("{新疆: yes}", "{新疆: 8.5}", "[新疆]", "{1: 5}", "null"):
        (own / "own.yaml").write_text(f"pricing: {{province_freight_fen: {bad}}}\n")
        with pytest.raises(ConfigError, match="PRICING__PROVINCE_FREIGHT_FEN"):
            load(environ)


def test_only_real_settings_are_declared_reloadable() -> None:
    assert set(leaves()) >= RELOADABLE


def test_the_base_of_links_is_an_address_one_can_open(tmp_path: Path) -> None:
    assert loaded(tmp_path, SERVER__HOST="0.0.0.0").settings.server.base_url == "http://127.0.0.1:8080"
    assert loaded(tmp_path, SERVER__HOST="::1").settings.server.base_url == "http://[::1]:8080"
    assert loaded(tmp_path, SERVER__PUBLIC_URL="https://a.shop/").settings.server.base_url == "https://a.shop"


@pytest.mark.parametrize("text", ["[::1]:50061", '["[::1]:50061"]', "[[::1]:50061]", "- '[::1]:50061'"])
def test_an_ipv6_address_is_an_address_and_no_list(tmp_path: Path, text: str) -> None:
    it = loaded(tmp_path, NEIGHBOURS__INBOXES=text, NEIGHBOURS__GOODS="[::1]:50061").settings
    assert (it.neighbours.inboxes, it.neighbours.goods) == (("[::1]:50061",), "[::1]:50061")
    assert loaded(tmp_path, SERVER__HOST="[::1]").settings.server.host == "::1"
    assert loaded(tmp_path, SERVER__HOST="::").settings.server.base_url == "http://[::1]:8080"
    for key in ("NEIGHBOURS__INBOXES", "NEIGHBOURS__GOODS"):
        with pytest.raises(ConfigError, match=f"{key}.*brackets"):
            loaded(tmp_path, **{key: "::1:50061"})
    with pytest.raises(ConfigError, match="SERVER__HOST"):
        loaded(tmp_path, SERVER__HOST="127.0.0.1:80")
