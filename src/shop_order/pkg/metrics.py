"""What operators count; Prometheus text. One registry an application, so that tests share nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

LATENCY_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
BATCH = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """The counters of one application."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Histogram(
            "shop_order_request_seconds",
            "Answered requests",
            ["protocol", "method", "code"],
            buckets=LATENCY_S,
            registry=self.registry,
        )
        self._events = Counter("shop_order_events", "Stored events", ["type"], registry=self.registry)
        self._batches = Histogram(
            "shop_order_batch_size", "Items a batch", ["batch"], buckets=BATCH, registry=self.registry
        )
        self._alerts = Counter(
            "shop_order_alerts", "What an operator must look at", ["name"], registry=self.registry
        )
        self._jobs = Counter(
            "shop_order_job_runs", "Runs of jobs", ["job", "outcome"], registry=self.registry
        )
        self._config = Counter(
            "shop_order_config_loads",
            "Configurations that were looked at",
            ["outcome"],
            registry=self.registry,
        )
        self._outbox = Gauge("shop_order_outbox_waiting", "Events to be published", registry=self.registry)
        self._lag = Gauge(
            "shop_order_outbox_lag_seconds", "Age of the oldest of them", registry=self.registry
        )
        self._log_waiting = Gauge(
            "shop_order_log_waiting", "Events the order log is not known to have", registry=self.registry
        )
        self._log_lag = Gauge(
            "shop_order_log_lag_seconds", "Age of the oldest of them", registry=self.registry
        )
        self._cache = Counter(
            "shop_order_cache_lookups", "Look-ups in the cache", ["cache", "outcome"], registry=self.registry
        )
        self._cache_up = Gauge("shop_order_cache_up", "The cache answers", registry=self.registry)
        self._cache_losses = Counter(
            "shop_order_cache_losses", "How often the cache was lost", registry=self.registry
        )
        self._spans = Counter(
            "shop_order_trace_spans", "Spans handed to the collector", ["outcome"], registry=self.registry
        )
        self._known: dict[tuple[str, str, str], Callable[[float], None]] = {}

    def request(self, protocol: str, method: str, code: str, seconds: float) -> None:
        """One answered request."""
        key = (protocol, method, code)
        observe = self._known.get(key)
        if observe is None:
            observe = self._known[key] = self._requests.labels(*key).observe
        observe(seconds)

    def events(self, types: Sequence[str]) -> None:
        """Events that were stored."""
        for type in types:
            self._events.labels(type).inc()

    def batch(self, name: str) -> Callable[[int], None]:
        """An observer of one batcher's sizes."""
        return self._batches.labels(name).observe

    def alert(self, name: str) -> None:
        """Something needs an operator's eye."""
        self._alerts.labels(name).inc()

    def job(self, name: str, outcome: str) -> None:
        """A job ran: `ok`, or `failed`."""
        self._jobs.labels(name, outcome).inc()

    def config(self, outcome: str) -> None:
        """`applied`, `unchanged`, `refused`, `failed`, its source `away`, or a `copy` used."""
        self._config.labels(outcome).inc()

    def outbox(self, waiting: int, lag_s: float) -> None:
        """What the relay has before it."""
        self._outbox.set(waiting)
        self._lag.set(lag_s)

    def order_log(self, waiting: int, lag_s: float) -> None:
        """What the order log is still to be told."""
        self._log_waiting.set(waiting)
        self._log_lag.set(lag_s)

    def cache(self, name: str) -> Callable[[str], None]:
        """Counts one cache's look-ups: `hit`, `absent`, `miss`, or `down`."""
        return lambda outcome: self._cache.labels(name, outcome).inc()

    def cache_is(self, up: bool) -> None:
        """The cache came, or went."""
        self._cache_up.set(int(up))
        if not up:
            self._cache_losses.inc()

    def spans(self, outcome: str, count: int) -> None:
        """Spans were `sent`, or `lost`."""
        self._spans.labels(outcome).inc(count)

    def text(self) -> bytes:
        """Everything, as Prometheus reads it."""
        return generate_latest(self.registry)
