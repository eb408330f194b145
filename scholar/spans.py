"""The events of runs as OpenTelemetry, by its semantic conventions for generative AI.

    invoke_agent scholar            a run, or the part of it that one process did
    ├── plan                        a node of the state machine
    │   └── chat gpt-5-mini         a call of a model
    └── search                      one branch for each step
        └── execute_tool calculate

All parts of a run are one trace, whose id follows from the run's. Nothing that anybody wrote is
sent, neither questions nor quotes nor reasons, unless `otlp.content` allows it, and keys never are.
Loaded only where something is sent.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from importlib.metadata import version
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, set_span_in_context

from scholar.backends import split_model_id
from scholar.events import (
    Began,
    Called,
    Ended,
    Event,
    Exchanged,
    FellBack,
    Finished,
    Paused,
    Retrying,
    Searched,
    Started,
    Used,
)
from scholar.otlp import Collector, Metrics, Spans
from scholar.settings import Settings
from scholar.telemetry import Target
from scholar.trace import hide, keys_of
from scholar.values import Answer, Call, Outcome

CLOSE_SECONDS = 1.5
"""The longest that the end of the program waits for the last to be sent."""
_FAILED = frozenset((Outcome.MODEL_FAILED, Outcome.TOOLS_FAILED, Outcome.BUDGET_SPENT))
_OTHER = "_OTHER"
"""What OpenTelemetry calls a kind that has no name of its own."""
_TOKEN_BOUNDS = [4.0**n for n in range(14)]
_SECOND_BOUNDS = [0.01 * 2**n for n in range(14)]
"""Bounds of histograms as the conventions advise; a slow local model needs no longer ones."""


class Telemetry:
    """Sends what runs do to the collector of `target`. One for a process's runs; close it."""

    def __init__(
        self, settings: Settings, target: Target, on_notice: Callable[[str], None]
    ) -> None:
        self.content = settings.otlp.content
        self.keys = keys_of(settings)
        self._settings = settings
        self._on_notice = on_notice
        self._complained = False
        self._ids = _Ids()
        self._collectors: list[Collector] = []
        resource = Resource({"service.name": "scholar", "service.version": version("scholar")})
        resource = resource.merge(_named_by_the_environment())
        self._tracing = TracerProvider(
            resource=resource, id_generator=self._ids, shutdown_on_exit=False
        )
        if target.traces:
            spans = Spans(self._collector(Collector(target.traces, "traces")))
            self._tracing.add_span_processor(BatchSpanProcessor(spans))
        readers = []
        if target.metrics:
            metrics = Metrics(self._collector(Collector(target.metrics, "metrics")))
            readers.append(PeriodicExportingMetricReader(metrics))
        self._metering = MeterProvider(readers, resource=resource, shutdown_on_exit=False)
        self.tracer = self._tracing.get_tracer("scholar", version("scholar"))
        self.meters = _Meters(self._metering)

    def run(self) -> RunSpans:
        """What takes the events of one run."""
        return RunSpans(self)

    def start_trace(self, run_id: str, name: str, at: float, attributes: dict[str, Any]) -> Span:
        """The root span of a run, in the trace of that run."""
        self._ids.next_trace = trace_id_of(run_id)
        return self.tracer.start_span(
            name,
            context=Context(),  # the embedding program's own spans are no parents of a run
            kind=SpanKind.INTERNAL,
            attributes=attributes,
            start_time=_nanoseconds(at),
        )

    def provider_of(self, model: str) -> str:
        """Whose interface the model of this bare name is spoken to by, as the settings have it."""
        return self._providers.get(model, _OTHER)

    def complain(self) -> None:
        """Say, once, what the collector did not take."""
        trouble = next((one.trouble for one in self._collectors if one.trouble), "")
        if trouble and not self._complained:
            self._complained = True
            self._on_notice(trouble)

    def flush(self) -> None:
        """Send what there is now, and wait for it."""
        self._tracing.force_flush()
        self._metering.force_flush()

    def close(self) -> None:
        """Send what is left, within CLOSE_SECONDS; what takes longer is given up."""
        threads = [
            threading.Thread(target=close, daemon=True)
            for close in (self._tracing.shutdown, self._metering.shutdown)
        ]
        until = time.monotonic() + CLOSE_SECONDS
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        self.complain()
        if not any(thread.is_alive() for thread in threads):
            for collector in self._collectors:
                collector.close()

    def _collector(self, collector: Collector) -> Collector:
        self._collectors.append(collector)
        return collector

    @cached_property
    def _providers(self) -> Mapping[str, str]:
        known = self._settings
        chains = [known.model or (), *known.models.values(), *known.jury.models.values()]
        ids = {id for chain in chains for id in ((chain,) if isinstance(chain, str) else chain)}
        return {split_model_id(id)[0]: id.partition(":")[0] for id in ids}


def trace_id_of(run_id: str) -> int:
    """The id of a run's trace."""
    return int.from_bytes(hashlib.sha256(run_id.encode()).digest()[:16])


class _Ids(RandomIdGenerator):
    """Random ids, but for the next trace where its id is known."""

    next_trace: int | None = None

    def generate_trace_id(self) -> int:
        known, self.next_trace = self.next_trace, None
        return super().generate_trace_id() if known is None else known


class _Meters:
    """The instruments: two that the conventions name, and two of a run as a whole."""

    def __init__(self, provider: MeterProvider) -> None:
        meter = provider.get_meter("scholar", version("scholar"))
        self.tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            "{token}",
            "Number of input and output tokens used.",
            explicit_bucket_boundaries_advisory=_TOKEN_BOUNDS,
        )
        self.seconds = meter.create_histogram(
            "gen_ai.client.operation.duration",
            "s",
            "GenAI operation duration.",
            explicit_bucket_boundaries_advisory=_SECOND_BOUNDS,
        )
        self.run_seconds = meter.create_histogram(
            "scholar.run.duration", "s", "How long runs took, by outcome."
        )
        self.run_dollars = meter.create_histogram(
            "scholar.run.cost", "{USD}", "What runs cost, by outcome, where prices are known."
        )


class RunSpans:
    """Takes the events of one run, and makes spans and measurements of them."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._to = telemetry
        self._root: Span | None = None
        self._nodes: dict[tuple[str, str], Span] = {}
        self._said: dict[tuple[str, str, str], Exchanged] = {}

    def take(self, event: Event, at: float) -> None:
        """Take in an event of the time `at`, in seconds since the epoch."""
        match event:
            case Started():
                self._start(event, at)
            case Began(node, step):
                known = {"scholar.step": step} if step else {}
                self._nodes[node, step] = self._child(node, None, at, known)
            case Ended(node, step, _, failed):
                if span := self._nodes.pop((node, step), None):
                    _end(span, at, "node" if failed else "")
            case Exchanged(role=role, node=node, step=step):
                self._said[role, node, step] = event
            case Called(call, step):
                self._call(call, step, at)
            case Used():
                self._use(event, at)
            case Finished(answer):
                self._finish(answer)
            case _:
                self._note(event, at)

    def close(self, at: float) -> None:
        """End what is still open: the run has ended, or has been cut short."""
        for span in self._nodes.values():
            _end(span, at, "cancelled")
        self._nodes.clear()
        if self._root is not None:
            self._root.end(_nanoseconds(at))
            self._root = None
        self._to.complain()

    def _start(self, event: Started, at: float) -> None:
        attributes: dict[str, Any] = {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.provider.name": "scholar",
            "gen_ai.agent.name": "scholar",
            "gen_ai.agent.version": version("scholar"),
            "gen_ai.conversation.id": event.thread or event.run_id,
            "scholar.run_id": event.run_id,
            "scholar.preset": event.preset,
            "scholar.task": event.task,
            "scholar.resumed": event.again,
        }
        if self._to.content:
            attributes["gen_ai.input.messages"] = self._messages([("user", event.question)])
        self._root = self._to.start_trace(event.run_id, "invoke_agent scholar", at, attributes)

    def _child(
        self,
        name: str,
        parent: Span | None,
        at: float,
        attributes: dict[str, Any],
        kind: SpanKind = SpanKind.INTERNAL,
    ) -> Span:
        above = parent or self._root
        return self._to.tracer.start_span(
            name,
            context=set_span_in_context(above, Context()) if above else Context(),
            kind=kind,
            attributes=attributes,
            start_time=_nanoseconds(at),
        )

    def _call(self, call: Call, step: str, at: float) -> None:
        said = self._said.pop((call.role, call.node, step), None)
        model = _without_folders(call.model)
        common = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": self._to.provider_of(call.model),
            "gen_ai.request.model": model,
        }
        attributes: dict[str, Any] = {
            **common,
            "gen_ai.usage.input_tokens": call.input_tokens,
            "gen_ai.usage.output_tokens": call.output_tokens,
            "gen_ai.output.type": "json",
            "gen_ai.agent.name": call.role,
            "scholar.tokens_estimated": call.estimated,
            "scholar.from_disk": call.cached,
        }
        if call.dollars is not None:
            attributes["scholar.dollars"] = call.dollars
        if said and self._to.content:
            attributes |= self._contents(said, call)
        node = self._nodes.get((call.node, step))
        span = self._child(f"chat {model}", node, at - call.seconds, attributes, SpanKind.CLIENT)
        _end(span, at, _OTHER if call.failed else "")
        self._measure(call, common)

    def _measure(self, call: Call, common: dict[str, str]) -> None:
        if call.cached:  # nothing was asked of anybody
            return
        failed = {"error.type": _OTHER} if call.failed else {}
        self._to.meters.seconds.record(call.seconds, {**common, **failed})
        if not call.estimated:  # the conventions want what a server has counted
            for kind, count in (("input", call.input_tokens), ("output", call.output_tokens)):
                self._to.meters.tokens.record(count, {**common, "gen_ai.token.type": kind})

    def _use(self, event: Used, at: float) -> None:
        attributes = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": event.tool,
            "gen_ai.tool.type": "extension" if "." in event.tool else "function",
        }
        if self._to.content:
            attributes["gen_ai.tool.call.arguments"] = self._json(dict(event.arguments))
        node = self._nodes.get(("search", event.step))
        span = self._child(f"execute_tool {event.tool}", node, at - event.seconds, attributes)
        _end(span, at, _OTHER if event.failed else "")

    def _note(self, event: Event, at: float) -> None:
        match event:
            case Searched(step, passages, titles):
                if span := self._nodes.get(("search", step.id)):
                    span.set_attribute("scholar.passages", passages)
                    span.set_attribute("scholar.papers", len(titles))
                    self._retrieved(span, step.query)
            case Retrying(role, _, wait):
                self._mark("retrying", at, {"scholar.role": role, "scholar.wait": wait})
            case FellBack(role, before, after):
                models = {"scholar.from": before, "scholar.to": after}
                self._mark("fell_back", at, {"scholar.role": role, **models})
            case Paused() if self._root is not None:
                self._root.set_attribute("scholar.outcome", "waiting")
            case _:
                pass

    def _retrieved(self, span: Span, query: str) -> None:
        span.set_attribute("gen_ai.operation.name", "retrieval")
        span.set_attribute("gen_ai.data_source.id", "library")
        if self._to.content:
            span.set_attribute("gen_ai.retrieval.query.text", hide(query, self._to.keys))

    def _mark(self, name: str, at: float, attributes: dict[str, Any]) -> None:
        if self._root is not None:
            self._root.add_event(name, attributes, _nanoseconds(at))

    def _finish(self, answer: Answer) -> None:
        usage, outcome = answer.usage, {"scholar.outcome": answer.outcome.value}
        self._to.meters.run_seconds.record(usage.seconds, outcome)
        if usage.dollars is not None:
            self._to.meters.run_dollars.record(usage.dollars, outcome)
        if self._root is None:
            return
        found: dict[str, Any] = {
            **outcome,
            "gen_ai.usage.input_tokens": usage.input_tokens,
            "gen_ai.usage.output_tokens": usage.output_tokens,
            "scholar.calls": usage.calls,
            "scholar.sentences": len(answer.sentences),
            "scholar.papers": len(answer.bibliography),
        }
        if usage.dollars is not None:
            found["scholar.dollars"] = usage.dollars
        if self._to.content:
            text = " ".join(sentence.text for sentence in answer.sentences)
            found["gen_ai.output.messages"] = self._messages([("assistant", text)], "stop")
        self._root.set_attributes(found)
        if answer.outcome in _FAILED:
            self._root.set_attribute("error.type", answer.outcome.value)
            self._root.set_status(Status(StatusCode.ERROR))

    def _contents(self, said: Exchanged, call: Call) -> dict[str, str]:
        system = [{"type": "text", "content": text} for _, text in said.messages[:1]]
        finish = "error" if call.failed else "stop"
        return {
            "gen_ai.system_instructions": self._json(system),
            "gen_ai.input.messages": self._messages(said.messages[1:]),
            "gen_ai.output.messages": self._messages([("assistant", said.reply)], finish),
        }

    def _messages(self, messages: Sequence[tuple[str, str]], finish: str = "") -> str:
        ended = {"finish_reason": finish} if finish else {}
        return self._json(
            [
                {"role": role, "parts": [{"type": "text", "content": text}], **ended}
                for role, text in messages
            ]
        )

    def _json(self, value: Any) -> str:
        return hide(json.dumps(value, ensure_ascii=False), self._to.keys)


def _end(span: Span, at: float, error: str) -> None:
    if error:
        span.set_attribute("error.type", error)
        span.set_status(Status(StatusCode.ERROR))
    span.end(_nanoseconds(at))


def _nanoseconds(at: float) -> int:
    return int(at * 1e9)


def _without_folders(model: str) -> str:
    """A model in a folder of the user's by its last name: where it lies is nobody's business."""
    return model.rstrip("/").rpartition("/")[2] if model.startswith(("/", "~")) else model


def _named_by_the_environment() -> Resource:
    """What OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say, which wins over our own names."""
    known = Resource.create()
    unnamed = known.attributes.get("service.name", "").startswith("unknown_service")  # type: ignore[union-attr]
    own = {k: v for k, v in known.attributes.items() if not (unnamed and k == "service.name")}
    return Resource(own)
