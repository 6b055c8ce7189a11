"""What the service counts, in the words of Prometheus."""

from .._util.extras import needed


class Metrics:
    """Counters of one service, in a registry of their own.

    Attributes
    ----------
    requests : prometheus_client.Counter
        Requests by the status of their answer; ``none`` where there was none.
    in_flight : prometheus_client.Gauge
        Requests that have come and have no answer yet.
    seconds : prometheus_client.Histogram
        That scoring took, without the time that a request waits for its turn.
    detections : prometheus_client.Counter
        Rows by their verdict: ``real``, ``bogus`` or ``unscored``.
    """

    def __init__(self) -> None:
        client = needed("prometheus_client", "the service needs", "serve")
        self._client, self._registry = client, client.CollectorRegistry()
        given = {"registry": self._registry, "namespace": "rbinfer"}
        self.requests = client.Counter("requests", "requests answered", ["status"], **given)
        self.in_flight = client.Gauge("requests_in_flight", "requests without an answer", **given)
        self.seconds = client.Histogram("scoring_seconds", "time to score an image", **given)
        self.detections = client.Counter("detections", "detections scored", ["verdict"], **given)

    def as_text(self) -> tuple[bytes, str]:
        """Return what ``/metrics`` answers, and its type."""
        return self._client.generate_latest(self._registry), self._client.CONTENT_TYPE_LATEST
