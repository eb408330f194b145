"""Sending OpenTelemetry's spans and metrics to a collector, by OTLP over HTTP.

OpenTelemetry's own HTTP exporter retries for seconds and says on standard error what went wrong.
Here one attempt is made within a second, a collector that failed is left alone for a while, and
whoever runs `scholar` hears of it once. Loaded only where something is sent.
"""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import httpx2
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricsData
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.util.re import parse_env_headers

from scholar.backends import is_loopback
from scholar.telemetry import Signal, variable

SEND_SECONDS = 1.0
"""A collector nearby answers in milliseconds, and at its end a run waits for this."""
REST_SECONDS = 30.0
"""How long a collector that failed is sent nothing; what happens meanwhile is not reported."""


class Collector:
    """The address that takes one signal. `trouble` says why it did not, of the last time."""

    def __init__(self, address: str, signal: Signal) -> None:
        self._address = address
        self._signal = signal
        self._resting_until = 0.0
        self._client: httpx2.Client | None = None
        self._lock = threading.Lock()
        self.trouble = ""

    def send(self, message: Any) -> bool:
        """Send a protobuf message once, and say whether it was taken."""
        with self._lock:
            if time.monotonic() < self._resting_until:
                return False
            try:
                answer = self._opened().post(self._address, content=self._packed(message))
            except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
                return self._failed(str(error) or type(error).__name__)
            if not answer.is_success:
                return self._failed(f"it answered {answer.status_code} {answer.reason_phrase}")
            return True

    def close(self) -> None:
        """Let go of the connection."""
        if self._client is not None:
            self._client.close()

    def _opened(self) -> httpx2.Client:
        if self._client is None:
            headers = {
                **parse_env_headers(variable("HEADERS", self._signal), liberal=True),
                "Content-Type": "application/x-protobuf",
            }
            if self._packs:
                headers["Content-Encoding"] = "gzip"
            self._client = httpx2.Client(
                headers=headers,
                timeout=SEND_SECONDS,
                verify=variable("CERTIFICATE", self._signal) or True,
                trust_env=not is_loopback(self._address),
            )
        return self._client

    @property
    def _packs(self) -> bool:
        return variable("COMPRESSION", self._signal) == "gzip"

    def _packed(self, message: Any) -> bytes:
        plain: bytes = message.SerializeToString()
        return gzip.compress(plain) if self._packs else plain

    def _failed(self, why: str) -> bool:
        self._resting_until = time.monotonic() + REST_SECONDS
        where = urlsplit(self._address).netloc.rpartition("@")[2]  # without a password
        self.trouble = (
            f"No telemetry reaches {where} ({why}); the run goes on without. "
            "Start a collector there, or unset otlp.endpoint or OTEL_EXPORTER_OTLP_ENDPOINT."
        )
        return False


class Spans(SpanExporter):
    """Sends spans to a collector."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send `spans` once."""
        taken = self._collector.send(encode_spans(spans))
        return SpanExportResult.SUCCESS if taken else SpanExportResult.FAILURE


class Metrics(MetricExporter):
    """Sends metrics to a collector."""

    def __init__(self, collector: Collector) -> None:
        super().__init__()
        self._collector = collector

    def export(
        self, metrics_data: MetricsData, timeout_millis: float = 0, **kwargs: Any
    ) -> MetricExportResult:
        """Send `metrics_data` once."""
        taken = self._collector.send(encode_metrics(metrics_data))
        return MetricExportResult.SUCCESS if taken else MetricExportResult.FAILURE

    def force_flush(self, timeout_millis: float = 0) -> bool:
        """Nothing is held back here."""
        return True

    def shutdown(self, timeout_millis: float = 0, **kwargs: Any) -> None:
        """Nothing to do: whoever made the collector closes it."""
