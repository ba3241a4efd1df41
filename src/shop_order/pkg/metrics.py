"""Prometheus metrics; each application has a registry of its own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
    write_to_textfile,
)

from shop_order import version
from shop_order.pkg.message import GROUPS

LATENCY_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
BATCH = (1, 2, 4, 8, 16, 32, 64, 128)

ALERTS = (
    "notice_mismatch",
    "notices_forged",
    "payment_stuck",
    "refund_failed",
    "refund_stuck",
    "shipping_untold",
    "log_unreadable",
    "row_unreadable",
    "root_contradicted",
)
# `away`: a source was unreachable; `copy`: its last copy on disk was used.
CONFIG_OUTCOMES = ("applied", "unchanged", "refused", "failed", "away", "copy")


class Metrics:
    """The metrics of one application."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        build = self._gauge("shop_order_build_info", "Always 1; the label is the version", "version")
        build.labels(version()).set(1)
        self.config_loads = self._counter(
            "shop_order_config_loads", "Loads of the configuration", "outcome", zero=CONFIG_OUTCOMES
        )
        self._requests = self._histogram(
            "shop_order_request_seconds", "Answered requests", LATENCY_S, "protocol", "method", "code"
        )
        self._streams = self._counter("shop_order_grpc_streams", "Ended streams", "method", "code")
        self._grpc_open = self._gauge("shop_order_grpc_open", "Running calls", "pool")
        self._events = self._counter("shop_order_events", "Stored events", "type")
        self._batches = self._histogram("shop_order_batch_size", "Items per batch", BATCH, "batch")
        self.alerts = self._counter(
            "shop_order_alerts", "Conditions that need an operator", "name", zero=ALERTS
        )
        self.job_runs = self._counter("shop_order_job_runs", "Runs of jobs", "name", "outcome")
        self._outbox = self._gauge("shop_order_outbox_waiting", "Unpublished events")
        self._lag = self._gauge("shop_order_outbox_lag_seconds", "Age of the oldest of them")
        self.dead_letters = self._gauge("shop_order_dead_letters", "Dead letters by consumer group", "group")
        for group in GROUPS:
            self.dead_letters.labels(group.name)
        self._log_waiting = self._gauge("shop_order_log_waiting", "Events not confirmed by the order log")
        self._log_lag = self._gauge("shop_order_log_lag_seconds", "Age of the oldest of them")
        self.roots_behind = self._gauge(
            "shop_order_roots_behind_seconds", "Time since the end of the last sealed day"
        )
        self._cache = self._counter("shop_order_cache_lookups", "Look-ups in the cache", "cache", "outcome")
        self._cache_up = self._gauge("shop_order_cache_up", "Whether the cache is available")
        self._cache_losses = self._counter("shop_order_cache_losses", "Losses of the cache")
        self._spans = self._counter(
            "shop_order_trace_spans", "Spans handed to the collector", "outcome", zero=("sent", "lost")
        )
        self.worker_changes = self._counter("shop_order_worker_changes", "Worker ids lost to another process")
        self.job_held = self._gauge("shop_order_job_held", "Whether this process runs the job", "name")
        self._behind = self._gauge("shop_order_behind", "Overdue items", "what")
        self._behind_s = self._gauge("shop_order_behind_seconds", "Age of the oldest of them", "what")
        self._differences = self._gauge(
            "shop_order_reconciliation_differences",
            "Differences between bills of 30 days and our payments",
            "channel",
        )
        self._reconciled_s = self._gauge(
            "shop_order_reconciliation_age_seconds",
            "Age of the last day up to which a week is reconciled",
            "channel",
        )
        self._degraded = self._gauge("shop_order_degraded", "Whether the part is missing", "part")
        ProcessCollector(registry=self.registry)
        self._known: dict[tuple[str, str, str], Callable[[float], None]] = {}

    def request(self, protocol: str, method: str, code: str, seconds: float) -> None:
        """Observe an answered request."""
        key = (protocol, method, code)
        observe = self._known.get(key)
        if observe is None:
            observe = self._known[key] = self._requests.labels(*key).observe
        observe(seconds)

    def stream_ended(self, method: str, code: str, seconds: float) -> None:
        """Count an ended stream; its duration, which the client decides, is not observed."""
        self._streams.labels(method, code).inc()

    def set_grpc_calls(self, taken: Mapping[str, int]) -> None:
        """Set the number of running calls by pool."""
        for pool, calls in taken.items():
            self._grpc_open.labels(pool).set(calls)

    def events(self, types: Sequence[str]) -> None:
        """Count stored events."""
        for type in types:
            self._events.labels(type).inc()

    def token_refusals(self, reasons: Sequence[str]) -> Callable[[str], None]:
        """Return a counter of refused tokens by reason."""
        refused = self._counter("shop_order_tokens_refused", "Refused tokens", "reason", zero=reasons)
        return lambda reason: refused.labels(reason).inc()

    def batch(self, name: str) -> Callable[[int], None]:
        """Return an observer of a batcher's batch sizes."""
        return self._batches.labels(name).observe

    def register_job(self, name: str) -> None:
        """Expose the job's counters."""
        for outcome in ("ok", "failed"):
            self.job_runs.labels(name, outcome)

    def set_overdue(self, what: str, count: int, oldest_s: float) -> None:
        """Set the number of overdue items and the age of the oldest."""
        self._behind.labels(what).set(count)
        self._behind_s.labels(what).set(oldest_s)

    def set_reconciliation(self, channel: str, age_s: float, differences: int) -> None:
        """Set the age of the last reconciled day and the number of differences."""
        self._reconciled_s.labels(channel).set(age_s)
        self._differences.labels(channel).set(differences)

    def set_degraded(self, parts: Sequence[str], missing: Collection[str]) -> None:
        """Set which of the parts are missing."""
        for part in parts:
            self._degraded.labels(part).set(int(part in missing))

    def outbox(self, waiting: int, lag_s: float) -> None:
        """Set the number of unpublished events and the age of the oldest."""
        self._outbox.set(waiting)
        self._lag.set(lag_s)

    def order_log(self, waiting: int, lag_s: float) -> None:
        """Set the number of events missing in the order log and the age of the oldest."""
        self._log_waiting.set(waiting)
        self._log_lag.set(lag_s)

    def cache(self, name: str) -> Callable[[str], None]:
        """Return a counter of a cache's look-ups: `hit`, `absent`, `miss` or `down`."""
        return lambda outcome: self._cache.labels(name, outcome).inc()

    def cache_up(self, up: bool) -> None:
        """Set whether the cache is available, and count its losses."""
        self._cache_up.set(int(up))
        if not up:
            self._cache_losses.inc()

    def spans(self, outcome: str, count: int) -> None:
        """Count spans: `sent` or `lost`."""
        self._spans.labels(outcome).inc(count)

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self.registry)

    def _counter(self, name: str, meaning: str, *labels: str, zero: Sequence[str] = ()) -> Counter:
        """Return a counter; it exposes `zero` from the start: alert rules need a change to see an event."""
        counter = Counter(name, meaning, labels, registry=self.registry)
        for value in zero:
            counter.labels(value)
        return counter

    def _histogram(self, name: str, meaning: str, buckets: Sequence[float], *labels: str) -> Histogram:
        return Histogram(name, meaning, labels, buckets=buckets, registry=self.registry)

    def _gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        return Gauge(name, meaning, labels, registry=self.registry)


def write_examined(path: Path, orders: int, findings: Mapping[str, int]) -> None:
    """Write the doctor's findings by area for node_exporter's textfile collector. Raises OSError."""
    registry = CollectorRegistry()
    found = Gauge("shop_order_doctor_findings", "Findings of the last run", ["area"], registry=registry)
    for area in ("money", "stock", "history", "figures"):
        found.labels(area).set(findings.get(area, 0))
    Gauge("shop_order_doctor_orders", "Orders checked by the last run", registry=registry).set(orders)
    ended = Gauge("shop_order_doctor_run_timestamp_seconds", "When the last run ended", registry=registry)
    ended.set_to_current_time()
    write_to_textfile(str(path), registry)
    path.chmod(0o644)  # node_exporter runs as another user; no personal data
