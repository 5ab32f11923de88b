"""Numbers for Prometheus, in a registry of our own; served on the private listener only."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from swapdesk.engine.figures import Figures

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

#: Upper bounds of the answer-time histogram, in seconds.
BUCKETS_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)


class Metrics:
    """What one process counts, and what it reads from the database when asked."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._answers = Counter(
            "swapdesk_answers",
            "Answers by endpoint and code of the dialect",
            ["endpoint", "code"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "swapdesk_answer_seconds",
            "Time from the request's head to the answer",
            ["endpoint"],
            buckets=BUCKETS_SECONDS,
            registry=self.registry,
        )
        self._orders = Gauge(
            "swapdesk_orders", "Orders by state", ["state"], registry=self.registry
        )
        self._webhooks = Gauge(
            "swapdesk_webhooks", "Undelivered webhooks", ["what"], registry=self.registry
        )

        #: (endpoint, code) -> its counter and histogram; finding them takes longer than counting
        self._known: dict[tuple[str, int], tuple[Counter, Histogram]] = {}

    def answered(self, endpoint: str, code: int, seconds: float) -> None:
        """Count one answer."""
        known = self._known.get((endpoint, code))
        if known is None:
            known = self._answers.labels(endpoint, code), self._seconds.labels(endpoint)
            self._known[endpoint, code] = known
        known[0].inc()
        known[1].observe(seconds)

    def page(self, figures: Figures) -> bytes:
        """The page that Prometheus reads."""
        for state, orders in figures.orders.items():
            self._orders.labels(state.value).set(orders)
        self._webhooks.labels("waiting").set(figures.webhooks_waiting)
        self._webhooks.labels("dead").set(figures.webhooks_dead)
        return generate_latest(self.registry)
