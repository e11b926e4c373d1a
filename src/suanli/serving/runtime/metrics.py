"""What a replica measures of itself, in Prometheus' text format."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self.requests = Counter(
            "suanli_runtime_requests", "Requests answered", ["path", "status"], registry=registry
        )
        self.latency = Histogram(
            "suanli_runtime_latency_seconds", "Whole answers", ["path"], buckets=SECONDS, registry=registry
        )
        self.first_token = Histogram(
            "suanli_runtime_first_token_seconds",
            "Until a generation's first token",
            buckets=SECONDS,
            registry=registry,
        )
        self.batch_size = Histogram(
            "suanli_runtime_batch_size", "Items of a batch", ["kind"], buckets=SIZES, registry=registry
        )
        self.batch_seconds = Histogram(
            "suanli_runtime_batch_seconds", "Work on a batch", ["kind"], buckets=SECONDS, registry=registry
        )
        self.tokens = Counter("suanli_runtime_tokens", "Tokens", ["kind"], registry=registry)
        self.cancelled = Counter(
            "suanli_runtime_cancelled", "Requests whose client went away", registry=registry
        )
        self._in_flight = Gauge(
            "suanli_runtime_in_flight", "Requests worked on or waiting", registry=registry
        )
        self._waiting = Gauge("suanli_runtime_waiting", "Items in queues", registry=registry)

    def follow(self, in_flight: Callable[[], int], waiting: Callable[[], int]) -> None:
        """Ask for these two whenever somebody reads."""
        self._in_flight.set_function(in_flight)
        self._waiting.set_function(waiting)

    def batch(self, kind: str, size: int, seconds: float) -> None:
        self.batch_size.labels(kind).observe(size)
        self.batch_seconds.labels(kind).observe(seconds)

    def families(self) -> list[tuple[str, str, str]]:
        """(name, type, meaning) of all of them."""
        told = self._registry.collect()
        return [(f.name + ("_total" if f.type == "counter" else ""), f.type, f.documentation) for f in told]

    def text(self) -> bytes:
        return generate_latest(self._registry)
