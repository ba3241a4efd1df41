"""Counts of several processes make one answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import Gauge, values
from prometheus_client.parser import text_string_to_metric_families

from shop_order.pkg import metrics
from shop_order.pkg.metrics import InstanceMetrics, Metrics

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(values, "ValueClass", values.ValueClass)
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    yield tmp_path


def process(folder: Path, name: str) -> Metrics:
    """The counters of one of several processes."""
    metrics.share(str(folder), name)
    return Metrics()


def busy(one: Metrics) -> Metrics:
    """It did something."""
    one.request("grpc", "M", "OK", 0.003)
    one.events(["order.created", "order.paid"])
    one.batch("commit")(7)
    one.job("relay", "ok")
    one.cache("order")("hit")
    one.cache_is(True)
    return one


def series(text: bytes) -> Series:
    """Every sample but the times of creation and the figures of a process, which each has for itself."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
        if not sample.name.endswith("_created") and not sample.name.startswith("process_")
    }


def test_two_processes_answer_like_one_that_did_twice_as_much(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics.share(str(folder), "parent")
    InstanceMetrics()
    first, second = busy(process(folder, "worker-1")), busy(process(folder, "worker-2"))
    first.outbox(5, 2.5)  # only one of them looks
    together = series(first.text())
    assert together == series(second.text())
    monkeypatch.setattr(values, "ValueClass", values.MutexValue)
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR")
    alone = busy(busy(Metrics()))
    alone.outbox(5, 2.5)
    assert together == series(alone.text())


def test_a_process_that_follows_a_dead_one_goes_on_with_its_sums_and_measures_anew(folder: Path) -> None:
    other, dead = busy(process(folder, "worker-1")), busy(process(folder, "worker-2"))
    dead.outbox(9, 9.0)
    before = series(other.text())
    metrics.gone("worker-2")
    between = series(other.text())
    assert between[("shop_order_outbox_waiting", frozenset())] == 0
    follower = busy(process(folder, "worker-2"))
    after = series(follower.text())
    name = ("shop_order_events_total", frozenset({("type", "order.paid")}))
    assert (before[name], between[name], after[name]) == (2, 2, 3)


def test_each_of_several_processes_tells_what_it_takes_as_long_as_it_runs(folder: Path) -> None:
    metrics.share(str(folder), "parent")
    InstanceMetrics()
    one = process(folder, "worker-1")

    def taken(name: str) -> dict[str, float]:
        families = text_string_to_metric_families(one.text().decode())
        return {s.labels["process"]: s.value for f in families for s in f.samples if s.name == name}

    for name in ("process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds"):
        found = taken(name)
        assert found.keys() == {"parent", "worker-1"}
        assert min(found.values()) > 0
    metrics.gone("parent")
    assert taken("process_resident_memory_bytes").keys() == {"worker-1"}
    (folder / "worker-1.pid").write_text("4194305")  # Linux gives no such one: it died unnoticed
    assert taken("process_resident_memory_bytes") == {}


def test_a_cache_that_one_of_them_lost_is_not_up(folder: Path) -> None:
    one, other = busy(process(folder, "worker-1")), busy(process(folder, "worker-2"))
    other.cache_is(False)
    assert series(one.text())[("shop_order_cache_up", frozenset())] == 0


def test_every_gauge_says_which_of_many_processes_counts() -> None:
    gauges = [one for one in Metrics().registry._collector_to_names if isinstance(one, Gauge)]
    assert gauges
    assert [one._name for one in gauges if not one._multiprocess_mode.startswith("live")] == []
    assert [one._name for one in gauges if one._multiprocess_mode in ("live", "liveall")] == []
