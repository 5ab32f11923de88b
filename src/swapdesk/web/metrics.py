"""Numbers for Prometheus, in a registry of our own; served on the private listener only."""

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from swapdesk.engine.figures import Figures

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

#: Upper bounds of the answer-time histogram, in seconds.
BUCKETS_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)


class Answers(Collector):
    """Answers by endpoint and code, and how long they took. Counted in plain lists, because every
    request is; put into the words of Prometheus when it asks."""

    def __init__(self) -> None:
        self._codes: dict[tuple[str, int], int] = {}
        self._buckets: dict[str, list[int]] = {}
        self._seconds: dict[str, float] = {}

    def add(self, endpoint: str, code: int, seconds: float) -> None:
        """Count one answer."""
        key = (endpoint, code)
        self._codes[key] = self._codes.get(key, 0) + 1
        buckets = self._buckets.get(endpoint)
        if buckets is None:
            buckets = self._buckets[endpoint] = [0] * (len(BUCKETS_SECONDS) + 1)
            self._seconds[endpoint] = 0.0
        buckets[bisect_left(BUCKETS_SECONDS, seconds)] += 1
        self._seconds[endpoint] += seconds

    def collect(self) -> Iterator[CounterMetricFamily | HistogramMetricFamily]:
        """See Collector."""
        told = "Answers by endpoint and code of the dialect"
        answers = CounterMetricFamily("swapdesk_answers", told, labels=["endpoint", "code"])
        for (endpoint, code), count in self._codes.items():
            answers.add_metric([endpoint, str(code)], count)
        yield answers
        told = "Time from the request's head to the answer"
        times = HistogramMetricFamily("swapdesk_answer_seconds", told, labels=["endpoint"])
        bounds = [*map(str, BUCKETS_SECONDS), "+Inf"]
        for endpoint, buckets in self._buckets.items():
            sums = zip(bounds, accumulate(buckets), strict=True)
            times.add_metric([endpoint], list(sums), self._seconds[endpoint])
        yield times


class Metrics:
    """What one process counts, and what it reads from the database when asked."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._answers = Answers()
        self.registry.register(self._answers)
        self._orders = Gauge(
            "swapdesk_orders", "Orders by state", ["state"], registry=self.registry
        )
        self._webhooks = Gauge(
            "swapdesk_webhooks", "Undelivered webhooks", ["what"], registry=self.registry
        )

    def answered(self, endpoint: str, code: int, seconds: float) -> None:
        """Count one answer."""
        self._answers.add(endpoint, code, seconds)

    def page(self, figures: Figures) -> bytes:
        """The page that Prometheus reads."""
        for state, orders in figures.orders.items():
            self._orders.labels(state.value).set(orders)
        self._webhooks.labels("waiting").set(figures.webhooks_waiting)
        self._webhooks.labels("dead").set(figures.webhooks_dead)
        return generate_latest(self.registry)
