"""A collector of OpenTelemetry on this machine, which takes OTLP over HTTP and keeps what came."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass
class Sent:
    """A span as it came."""

    name: str
    id: bytes
    parent: bytes
    trace: bytes
    start: int
    end: int
    kind: int
    failed: bool
    attributes: dict[str, Any]
    events: list[str]


@dataclass
class Collector:
    """What was sent. `answers` is the status of every answer, and `delay` the seconds before it."""

    address: str
    answers: int = 200
    delay: float = 0.0
    spans: list[Sent] = field(default_factory=list)
    metrics: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    resource: dict[str, Any] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    def one(self, name: str) -> Sent:
        """The one span of this name."""
        [span] = [span for span in self.spans if span.name == name]
        return span

    def under(self, span: Sent) -> list[Sent]:
        """Its children, in the order in which they began."""
        return sorted((s for s in self.spans if s.parent == span.id), key=lambda s: s.start)

    def take(self, path: str, body: bytes) -> None:
        self.bodies.append(body)
        if path.endswith("/v1/traces"):
            self._take_spans(body)
        else:
            self._take_metrics(body)

    def _take_spans(self, body: bytes) -> None:
        for group in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.resource = _plain(group.resource.attributes)
            for scope in group.scope_spans:
                self.spans += [
                    Sent(
                        span.name,
                        span.span_id,
                        span.parent_span_id,
                        span.trace_id,
                        span.start_time_unix_nano,
                        span.end_time_unix_nano,
                        span.kind,
                        span.status.code == 2,
                        _plain(span.attributes),
                        [event.name for event in span.events],
                    )
                    for span in scope.spans
                ]

    def _take_metrics(self, body: bytes) -> None:
        for group in ExportMetricsServiceRequest.FromString(body).resource_metrics:
            for scope in group.scope_metrics:
                for metric in scope.metrics:
                    self.metrics[metric.name] = [
                        {
                            **_plain(point.attributes),
                            "sum": point.sum,
                            "count": point.count,
                            "unit": metric.unit,
                        }
                        for point in metric.histogram.data_points
                    ]


def _plain(attributes: Any) -> dict[str, Any]:
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in attributes}


@contextmanager
def serving() -> Iterator[Collector]:
    """A collector that takes what it is sent until the block is left."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            headers = {name.lower(): value for name, value in self.headers.items()}
            collector.requests.append((self.path, headers))
            time.sleep(collector.delay)
            if collector.answers == 200:
                collector.take(self.path, body)
            self.send_response(collector.answers)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    collector = Collector(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
