"""Rules, pages and dashboard name what a running service shows: nothing is watched that does not exist."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner

from shop_order.api.proto import order_pb2 as pb
from shop_order.api.proto.order_pb2_grpc import OrderServiceStub
from shop_order.cmd.cli.root import app as cli
from shop_order.pkg.metrics import ALERTS
from tests.shop import Shop

ROOT = Path(__file__).parents[2]
WATCHING = ROOT / "deploy" / "observability"
RUNBOOKS = ROOT / "docs" / "runbooks"
SOURCES = ROOT / "src" / "shop_order"
DASHBOARD = "grafana/order-service.json"
METRIC = re.compile(r"\b(?:shop_order|process)_\w+")
OF_THE_TARGET = {"job", "instance"}  # given by Prometheus at the scrape: the service must not use them itself

Shown = Mapping[str, list[Mapping[str, str]]]  # metric: the labels of each of its series


def rules() -> dict[str, Any]:
    """Every alert by its name."""
    groups = yaml.safe_load((WATCHING / "alerts.yml").read_text())["groups"]
    found = [rule for group in groups for rule in group["rules"]]
    assert len({rule["alert"] for rule in found}) == len(found)
    return {rule["alert"]: rule for rule in found}


def panels() -> list[Any]:
    return [p for p in json.loads((WATCHING / DASHBOARD).read_text())["panels"] if p["type"] != "row"]


def expressions() -> dict[str, str]:
    """Where each expression stands, and what it says."""
    found = {f"alert {name}": str(rule["expr"]) for name, rule in rules().items()}
    for panel in panels():
        for target in panel["targets"]:
            found[f"panel {panel['title']} {target['refId']}"] = target["expr"].replace("$instance", ".*")
    return found


def selectors(node: Any) -> Iterator[Any]:
    """The metrics an expression asks for."""
    if isinstance(node, promql.VectorSelector):
        yield node
    for part in ("lhs", "rhs", "expr", "vector_selector", "args", "param"):
        inner = getattr(node, part, None)
        for one in inner if isinstance(inner, list) else [inner]:
            if one is not None and not isinstance(one, str | float | int):
                yield from selectors(one)


def grouped_by(node: Any) -> Iterator[tuple[set[str], list[str]]]:
    """For each aggregation: the labels it keeps, and the metrics below it."""
    modifier = getattr(node, "modifier", None)
    labels = getattr(modifier, "labels", None)
    if isinstance(node, promql.AggregateExpr) and labels:
        yield set(labels), [s.name for s in selectors(node)]
    for part in ("lhs", "rhs", "expr", "args"):
        inner = getattr(node, part, None)
        for one in inner if isinstance(inner, list) else [inner]:
            if one is not None and not isinstance(one, str | float | int):
                yield from grouped_by(one)


def parsed(text: str) -> dict[str, list[Mapping[str, str]]]:
    shown: dict[str, list[Mapping[str, str]]] = defaultdict(list)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            shown[sample.name].append(sample.labels)
    return shown


@pytest.fixture
async def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shown:
    """What /metrics shows after a purchase, and what the doctor wrote."""
    async with Shop(tmp_path, CACHE__ORDER_TTL_S="60") as shop:
        return await shown_by(shop, tmp_path, monkeypatch)


async def shown_by(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shown:
    order = await shop.paid()
    await shop.ship(order["order_sn"])
    assert shop.channel is not None
    look = pb.GetOrderByOrderSnRequest(order_sn=order["order_sn"])
    await OrderServiceStub(shop.channel).GetOrderByOrderSn(look, metadata=shop.metadata())

    async def published() -> bool:
        metrics = parsed((await shop.http.get("/metrics")).text)
        return "shop_order_behind" in metrics and "shop_order_degraded" in metrics

    await shop.until(published)
    text = (await shop.http.get("/metrics")).text
    for name, value in shop.environ.items():
        monkeypatch.setenv(name, value)
    file = tmp_path / "doctor.prom"
    done = await asyncio.to_thread(CliRunner().invoke, cli, ["doctor", "--metrics", str(file)])
    assert done.exit_code == 0, done.output
    target = {"job": "order-service", "instance": "a:8080"}
    up: dict[str, list[Mapping[str, str]]] = {"up": [target, {**target, "job": "order-relay"}]}
    return {**parsed(text), **parsed(file.read_text()), **up}


def is_a_value(matcher: Any) -> bool:
    """One that must be there; what a regular expression asks for may be yet to come."""
    return matcher.op == promql.MatchOp.Equal and matcher.name not in OF_THE_TARGET


def allows(matcher: Any, value: str) -> bool:
    """Whether a label's value fits; a matcher by regular expression fits the whole of it."""
    if matcher.op == promql.MatchOp.Equal:
        return bool(matcher.value == value)
    if matcher.op == promql.MatchOp.NotEqual:
        return bool(matcher.value != value)
    return bool(re.fullmatch(matcher.value, value)) is bool(matcher.op == promql.MatchOp.Re)


async def test_every_metric_and_label_that_is_watched_exists(shown: Shown) -> None:
    wrong = []
    for where, text in expressions().items():
        tree = promql.parse(text)
        asked = list(selectors(tree))
        assert asked, where
        for selector in asked:
            series = shown.get(selector.name)
            if not series:
                wrong.append(f"{where}: there is no {selector.name}")
                continue
            labels = set().union(*series) | OF_THE_TARGET
            for matcher in selector.matchers.matchers:
                if matcher.name not in labels:
                    wrong.append(f"{where}: {selector.name} has no label {matcher.name}")
                elif is_a_value(matcher) and not any(allows(matcher, one[matcher.name]) for one in series):
                    wrong.append(f"{where}: no {selector.name} with {matcher.name}={matcher.value}")
        for kept, names in grouped_by(tree):
            known = set().union(*(set().union(*shown.get(name, [{}])) for name in names))
            wrong += [f"{where}: {label} is no label of {names}" for label in kept - known - OF_THE_TARGET]
    assert wrong == []


async def test_no_metric_has_a_label_that_prometheus_gives_itself(shown: Shown) -> None:
    ours = {name: series for name, series in shown.items() if name != "up"}
    assert [name for name, series in ours.items() if OF_THE_TARGET & set().union(*series)] == []


async def test_methods_that_are_watched_are_those_there_are(shown: Shown) -> None:
    methods = {one["method"] for one in shown["shop_order_request_seconds_count"]}
    assert {"POST /api/v1/orders", "POST /api/v1/orders/{order_sn}/pay"} <= methods
    watched = [s for text in expressions().values() for s in selectors(promql.parse(text))]
    by_method = [m for s in watched for m in s.matchers.matchers if m.name == "method"]
    assert by_method
    for matcher in by_method:
        for method in ("POST /api/v1/orders", "POST /api/v1/orders/{order_sn}/pay"):
            assert allows(matcher, method)
        assert allows(matcher, "/order.OrderService/CreateOrder")
        assert not allows(matcher, "GET /api/v1/orders/{order_sn}")


def test_every_alert_has_its_page_and_every_page_its_alert() -> None:
    names = set(rules())
    pages = {page.stem for page in RUNBOOKS.glob("*.md")} - {"README"}
    assert pages == names
    index = (RUNBOOKS / "README.md").read_text()
    for name, rule in rules().items():
        page = (RUNBOOKS / f"{name}.md").read_text()
        assert page.startswith(f"# {name}\n")
        assert "".join(str(rule["expr"]).split()) in "".join(page.split()), f"{name} shows another rule"
        assert all(f"**{part}" in page for part in ("Means.", "Fires when", "Look", "Do"))
        assert rule["annotations"]["runbook"] == f"docs/runbooks/{name}.md"
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert f"| [{name}]({name}.md) | {rule['labels']['severity']} |" in index


async def test_metrics_that_pages_name_exist(shown: Shown) -> None:
    named = {name for page in RUNBOOKS.glob("*.md") for name in METRIC.findall(page.read_text())}
    assert named
    families = {re.sub(r"_(bucket|count|sum)$", "", name) for name in shown}
    assert named - families - set(shown) == set()


def test_links_between_pages_lead_somewhere() -> None:
    for page in RUNBOOKS.glob("*.md"):
        for link in re.findall(r"\]\((?!https?:)([^)#\s]+)", page.read_text()):
            assert (RUNBOOKS / link).exists(), f"{page.name}: {link}"


def test_what_the_code_alerts_of_is_counted_from_zero_and_watched() -> None:
    said: set[str] = set()
    for path in SOURCES.rglob("*.py"):
        said |= set(re.findall(r"alert\(\s*\"(\w+)\"", path.read_text()))
    assert said == set(ALERTS)
    pages = "".join(page.read_text() for page in RUNBOOKS.glob("*.md"))
    assert [name for name in ALERTS if name not in pages] == []


def test_every_rule_is_played() -> None:
    played = yaml.safe_load((WATCHING / "alerts_test.yml").read_text())["tests"]
    fired = {one["alertname"] for test in played for one in test["alert_rule_test"] if one.get("exp_alerts")}
    assert fired == set(rules())


PROMTOOL = [path for path in [shutil.which("promtool")] if path]


@pytest.mark.parametrize("promtool", PROMTOOL)
def test_prometheus_takes_and_plays_the_rules(promtool: str) -> None:
    for command in (
        ["check", "config", "--syntax-only", "prometheus.yml"],
        ["check", "rules", "alerts.yml"],
        ["test", "rules", "alerts_test.yml"],
    ):
        done = subprocess.run([promtool, *command], cwd=WATCHING, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_scraped_jobs_are_those_the_rules_name() -> None:
    config = yaml.safe_load((WATCHING / "prometheus.yml").read_text())
    assert config["rule_files"] == ["alerts.yml"]
    jobs = {scrape["job_name"] for scrape in config["scrape_configs"]}
    texts = [str(rule["expr"]) for rule in rules().values()]
    assert {job for text in texts for job in re.findall(r'job="([\w-]+)"', text)} <= jobs


def test_the_scraped_targets_are_those_of_compose() -> None:
    services = yaml.safe_load((WATCHING.parent / "compose.yaml").read_text())["services"]
    relay_port = services["relay"]["environment"]["SHOP_ORDER_MESSAGE__RELAY_PORT"]
    config = yaml.safe_load((WATCHING / "prometheus.yml").read_text())
    jobs = {scrape["job_name"]: scrape for scrape in config["scrape_configs"]}
    (order,) = jobs["order-service"]["dns_sd_configs"]
    assert order["port"] == 8080 and set(order["names"]) <= set(services)
    (relay,) = jobs["order-relay"]["static_configs"]
    assert relay["targets"] == [f"relay:{relay_port}"]


def test_the_dashboard_can_be_imported_anywhere() -> None:
    board = json.loads((WATCHING / DASHBOARD).read_text())
    variables = {variable["name"] for variable in board["templating"]["list"]}
    assert variables == {"datasource", "instance"}
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in panels():
        assert panel["description"], panel["title"]
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
