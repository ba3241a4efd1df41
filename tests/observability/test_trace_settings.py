"""A collector that is named badly is refused at the start, with one line."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from shop_order.configs import ConfigError, load
from shop_order.pkg.tracing import TraceConfig, open_tracing
from shop_sandbox.settings import SettingsError, from_environment


def environ(folder: Path, **trace: str) -> dict[str, str]:
    return {"SHOP_ORDER_DATA_DIR": str(folder), **{f"SHOP_ORDER_TRACE__{k}": v for k, v in trace.items()}}


@pytest.mark.parametrize(
    "url",
    [
        "otlp:",
        "otlp://",
        "otlp://host",
        "otlp://host:x",
        "otlp://h:1/v1/traces",
        "otlp://u:p@h:1",
        "otlp://h:1?a=b",
    ],
)
def test_a_url_that_names_no_collector_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^TRACE__URL: must be otlp://host:port or otlps://host:port$"):
        load(environ(tmp_path, URL=url))


def test_another_protocol_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^TRACE__URL: this version does not support zipkin: "):
        load(environ(tmp_path, URL="zipkin://host:9411"))
    with pytest.raises(ValueError, match="no traces over zipkin:"):
        open_tracing(TraceConfig("zipkin://host:9411", "x"))
    with pytest.raises(SettingsError, match="SHOP_SANDBOX_TRACE"):
        from_environment({"SHOP_SANDBOX_TRACE": "zipkin://host:9411"})


@pytest.mark.parametrize("part", ["opentelemetry.sdk", "opentelemetry.exporter"])
def test_without_the_extra_the_start_says_what_to_install(
    part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> object:
        if part in name:
            raise ModuleNotFoundError(name)
        return find_spec(name)

    monkeypatch.setattr("shop_order.configs.engines.find_spec", missing)
    assert load(environ(tmp_path)).settings.trace.url == "none:"
    with pytest.raises(ConfigError, match=r"pip install 'shop-order\[otel\]'"):
        load(environ(tmp_path, URL="otlp://host:4317"))


@pytest.mark.parametrize(("key", "value"), [("RATIO", "1.1"), ("RATIO", "-0.1"), ("SAMPLER", "always_on")])
def test_a_sampler_that_there_is_not_is_refused(key: str, value: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"TRACE__{key}"):
        load(environ(tmp_path, **{key: value}))
