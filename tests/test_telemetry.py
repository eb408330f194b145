"""OpenTelemetry: what a collector gets of a run, that it gets no more, and that a run never waits
for it.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from collector import Collector, serving
from minds import Mind, Seen, but, honest
from observing import RUN, Watched, before, watch
from office import Desk, OpenDesk
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.semconv._incubating.metrics import gen_ai_metrics
from papers import QUESTION, SHELF
from pydantic import SecretStr

from scholar import otlp
from scholar.errors import ModelRejected, SettingsError
from scholar.events import Called, Started
from scholar.otlp import SEND_SECONDS
from scholar.settings import Otlp, Settings, Trace, load
from scholar.spans import CLOSE_SECONDS, Telemetry, trace_id_of
from scholar.telemetry import open_telemetry, target_of
from scholar.values import Call, Outcome

INTERNAL, CLIENT = 1, 3
KEY = "sk-very-secret-0123456789"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with serving() as collector:
        yield collector


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may take its time here."""
    monkeypatch.setattr(otlp, "SEND_SECONDS", 30.0)


Observed = tuple[Desk, Watched]


async def observed(
    desk: OpenDesk,
    collector: Collector,
    mind: Mind = honest,
    *,
    preset: str = "standard",
    content: bool = False,
    notices: list[str] | None = None,
    **changes: Any,
) -> Observed:
    """A run of which the collector is told."""
    at = desk(mind, otlp=Otlp(endpoint=collector.address, content=content), **changes)
    telemetry = opened(at.scholar.services.settings, notices)
    watched = await watch(at, at.scholar.start(QUESTION, preset=preset), telemetry=telemetry)
    finish(telemetry)
    return at, watched


def finish(telemetry: Telemetry) -> None:
    """Send everything, however long that takes, and close."""
    telemetry.flush()
    telemetry.close()


def opened(settings: Settings, notices: list[str] | None = None) -> Telemetry:
    told = [] if notices is None else notices
    telemetry = open_telemetry(settings, told.append)
    assert telemetry is not None
    return telemetry


async def test_a_run_is_a_tree_of_nodes_and_their_calls(
    desk: OpenDesk, collector: Collector
) -> None:
    await observed(desk, collector)
    root = collector.one("invoke_agent scholar")
    assert root.parent == b""
    assert {span.trace for span in collector.spans} == {root.trace}
    assert int.from_bytes(root.trace) == trace_id_of(RUN)
    line = "intake gate plan search read resolve compose verify deliberate publish"
    nodes = collector.under(root)
    assert [span.name for span in nodes] == line.split()
    called = {node.name: len(collector.under(node)) for node in nodes if collector.under(node)}
    assert called == {"plan": 1, "read": 1, "compose": 1, "deliberate": 3}
    for node in nodes:
        assert node.kind == INTERNAL
        assert root.start <= node.start <= node.end <= root.end
        for call in collector.under(node):
            assert call.name == "chat fake"
            assert call.kind == CLIENT
            assert call.end <= node.end
    assert not any(span.failed for span in collector.spans)
    assert len(collector.spans) == 1 + len(nodes) + 6


async def test_spans_say_what_the_conventions_want(desk: OpenDesk, collector: Collector) -> None:
    _, watched = await observed(desk, collector)
    answer = watched.answer
    assert answer is not None
    root = collector.one("invoke_agent scholar").attributes
    assert root["gen_ai.operation.name"] == "invoke_agent"
    assert root["gen_ai.agent.name"] == "scholar"
    assert root["gen_ai.conversation.id"] == root["scholar.run_id"] == RUN
    assert root["gen_ai.usage.input_tokens"] == answer.usage.input_tokens
    assert root["scholar.outcome"] == "answered"
    assert root["scholar.preset"] == "standard"
    [plan] = collector.under(collector.one("plan"))
    [call] = [e.call for e in watched.events if isinstance(e, Called) and e.call.node == "plan"]
    assert plan.attributes["gen_ai.operation.name"] == "chat"
    assert plan.attributes["gen_ai.request.model"] == "fake"
    assert plan.attributes["gen_ai.agent.name"] == "planner"
    assert plan.attributes["gen_ai.usage.input_tokens"] == call.input_tokens
    assert plan.attributes["gen_ai.usage.output_tokens"] == call.output_tokens
    search = collector.one("search").attributes
    assert search["gen_ai.operation.name"] == "retrieval"
    assert search["scholar.step"] == "s1"
    assert search["scholar.passages"] > 0
    assert collector.resource["service.name"] == "scholar"


async def test_every_name_is_one_of_the_conventions_or_our_own(
    desk: OpenDesk, collector: Collector
) -> None:
    await observed(desk, collector, preset="sibyl", content=True)
    conventions = {v for v in vars(gen_ai_attributes).values() if isinstance(v, str)}
    used = {name for span in collector.spans for name in span.attributes}
    assert {name for name in used if name.startswith("gen_ai.")} <= conventions
    assert all(name.startswith(("gen_ai.", "scholar.", "error.")) for name in used)
    metrics = {v for v in vars(gen_ai_metrics).values() if isinstance(v, str)}
    assert {name for name in collector.metrics if name.startswith("gen_ai.")} <= metrics


async def test_metrics_count_tokens_seconds_and_dollars(
    desk: OpenDesk, collector: Collector
) -> None:
    prices = load(prices={"fake": {"input": 1.0, "output": 2.0}}).prices
    _, watched = await observed(desk, collector, prices=prices)
    assert watched.answer is not None
    usage = watched.answer.usage
    tokens = {p["gen_ai.token.type"]: p for p in collector.metrics["gen_ai.client.token.usage"]}
    assert tokens["input"]["sum"] == usage.input_tokens
    assert tokens["output"]["sum"] == usage.output_tokens
    assert tokens["input"]["count"] == 6
    assert tokens["input"]["unit"] == "{token}"
    [seconds] = collector.metrics["gen_ai.client.operation.duration"]
    assert seconds["count"] == 6
    assert seconds["unit"] == "s"
    assert seconds["gen_ai.request.model"] == "fake"
    [cost] = collector.metrics["scholar.run.cost"]
    assert cost["sum"] == pytest.approx(usage.dollars)
    [took] = collector.metrics["scholar.run.duration"]
    assert (took["scholar.outcome"], took["count"]) == ("answered", 1)


async def test_nothing_that_anybody_wrote_is_sent_unless_allowed(
    desk: OpenDesk, collector: Collector
) -> None:
    at, _ = await observed(desk, collector, preset="sibyl", trace=Trace(content=True))
    sent = b"".join(collector.bodies)
    assert b"invoke_agent scholar" in sent
    texts = [message.content for request in at.backend.requests for message in request.messages]
    texts += [passage.text for stored in SHELF.values() for passage in stored.entry.passages]
    texts += [stored.paper.title for stored in SHELF.values()]
    for text in (QUESTION, *texts):
        assert text.encode() not in sent
        assert json.dumps(text)[1:-1].encode() not in sent
    for word in (b"passages", b"walks", b"PageRank"):
        assert word not in sent.replace(b"scholar.passages", b"")


async def test_what_was_said_is_sent_where_that_is_allowed(
    desk: OpenDesk, collector: Collector
) -> None:
    at, watched = await observed(desk, collector, preset="sibyl", content=True)
    assert watched.answer is not None
    root = collector.one("invoke_agent scholar").attributes
    [asked] = json.loads(root["gen_ai.input.messages"])
    assert asked == {"role": "user", "parts": [{"type": "text", "content": QUESTION}]}
    [answered] = json.loads(root["gen_ai.output.messages"])
    assert watched.answer.sentences[0].text in answered["parts"][0]["content"]
    assert answered["finish_reason"] == "stop"
    [write] = collector.under(collector.one("compose"))
    request = next(r for r in at.backend.requests if r.schema_name == "writer")
    [system] = json.loads(write.attributes["gen_ai.system_instructions"])
    assert system["content"] == request.messages[0].content
    [user] = json.loads(write.attributes["gen_ai.input.messages"])
    assert user["parts"][0]["content"] == request.messages[1].content
    [reply] = json.loads(write.attributes["gen_ai.output.messages"])
    assert "sentences" in json.loads(reply["parts"][0]["content"])
    tool = collector.one("execute_tool search_library").attributes
    assert json.loads(tool["gen_ai.tool.call.arguments"]) == {"query": QUESTION}
    search = collector.one("search").attributes
    assert search["gen_ai.retrieval.query.text"] == QUESTION
    assert not (watched.path.read_text().count('"exchanged"'))  # the trace was not allowed it


async def test_a_key_is_not_sent_even_with_what_was_said(
    desk: OpenDesk, collector: Collector
) -> None:
    def echo(seen: Seen) -> str:
        return json.dumps({"sentences": [], "conflicts": [], "missing": f"The key {KEY}."})

    await observed(desk, collector, but(writer=echo), content=True, api_key=SecretStr(KEY))
    sent = b"".join(collector.bodies)
    assert b"[key]" in sent
    assert KEY.encode() not in sent


async def test_tools_are_spans_under_the_search_that_used_them(
    desk: OpenDesk, collector: Collector
) -> None:
    def calculates(seen: Seen) -> dict[str, Any]:
        return {
            "reason": "It is a sum.",
            "tool": "finish" if seen.known else "calculate",
            "arguments": [] if seen.known else [{"name": "expression", "value": "2 +"}],
            "question": seen.question,
        }

    await observed(desk, collector, but(tool_step=calculates), preset="sibyl")
    [tool] = [span for span in collector.spans if span.name == "execute_tool calculate"]
    search = next(span for span in collector.spans if span.id == tool.parent)
    assert search.name == "search"
    assert tool.attributes["gen_ai.tool.name"] == "calculate"
    assert tool.failed


async def test_a_failed_call_and_run_are_marked_so(desk: OpenDesk, collector: Collector) -> None:
    refused = ModelRejected("The key was refused; set another.")
    _, watched = await observed(desk, collector, but(writer=lambda _: refused))
    assert watched.answer is not None
    assert watched.answer.outcome is Outcome.MODEL_FAILED
    failed = [span.name for span in collector.spans if span.failed]
    assert sorted(failed) == ["chat fake", "compose", "invoke_agent scholar"]
    root = collector.one("invoke_agent scholar").attributes
    assert root["error.type"] == "model_failed"
    kinds = {p.get("error.type") for p in collector.metrics["gen_ai.client.operation.duration"]}
    assert kinds == {None, "_OTHER"}
    assert b"refused" not in b"".join(collector.bodies)


async def test_a_run_that_is_taken_up_again_stays_one_trace(
    desk: OpenDesk, collector: Collector
) -> None:
    at = desk(honest, otlp=Otlp(endpoint=collector.address))
    telemetry = opened(at.scholar.services.settings)
    start = at.scholar.start
    await watch(at, start(QUESTION), until=before("compose"), telemetry=telemetry)
    await watch(at, start(QUESTION), skip=before("compose"), again=True, telemetry=telemetry)
    finish(telemetry)
    roots = [span for span in collector.spans if span.name == "invoke_agent scholar"]
    assert [root.attributes["scholar.resumed"] for root in roots] == [False, True]
    assert len({span.trace for span in collector.spans}) == 1
    cut = [span for span in collector.spans if span.name == "compose"]
    assert [span.failed for span in cut] == [True, False]
    assert cut[0].attributes["error.type"] == "cancelled"


async def test_runs_side_by_side_are_traces_of_their_own(
    desk: OpenDesk, collector: Collector
) -> None:
    at = desk(honest, otlp=Otlp(endpoint=collector.address))
    telemetry = opened(at.scholar.services.settings)
    runs = [telemetry.run() for _ in range(2)]
    for number, run in enumerate(runs):
        run.take(Started(f"run-{number}", QUESTION, "fast"), 1.0)
    for number, run in enumerate(runs):
        run.take(Called(Call("writer", f"m{number}", 1, 1, 0.5)), 2.0)
        run.close(3.0)
    finish(telemetry)
    for number in range(2):
        call = collector.one(f"chat m{number}")
        assert int.from_bytes(call.trace) == trace_id_of(f"run-{number}")
        assert (call.start, call.end) == (1_500_000_000, 2_000_000_000)


async def test_what_came_from_disk_or_was_estimated_is_no_measurement(
    desk: OpenDesk, collector: Collector, settings: Settings
) -> None:
    known = settings.model_copy(
        update={"otlp": Otlp(endpoint=collector.address), "model": "openai:m@http://127.0.0.1:1/v1"}
    )
    telemetry = opened(known)
    run = telemetry.run()
    run.take(Started(RUN, QUESTION, "fast"), 1.0)
    run.take(Called(Call("writer", "m", 0, 0, 0.0, cached=True)), 2.0)
    run.take(Called(Call("writer", "m", 9, 9, 1.0, estimated=True)), 3.0)
    run.take(Called(Call("writer", "/home/me/secret/m2", 9, 9, 1.0, estimated=True)), 3.0)
    run.close(4.0)
    finish(telemetry)
    assert "gen_ai.client.token.usage" not in collector.metrics
    points = collector.metrics["gen_ai.client.operation.duration"]
    assert sum(point["count"] for point in points) == 2
    spans = {
        span.name: span for span in collector.spans if span.attributes.get("scholar.from_disk")
    }
    assert spans["chat m"].attributes["gen_ai.provider.name"] == "openai"
    assert collector.one("chat m2")
    assert b"secret" not in b"".join(collector.bodies)


def test_without_an_endpoint_nothing_is_sent_or_loaded() -> None:
    code = (
        "import sys; from scholar.settings import Settings; from scholar import telemetry;"
        "assert telemetry.open_telemetry(Settings()) is None;"
        "import scholar.observer;"
        "print([m for m in sys.modules if m.startswith('opentelemetry')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


BASE = "http://127.0.0.1:4318"


@pytest.mark.parametrize(
    ("environment", "changes", "traces", "metrics"),
    [
        ({"ENDPOINT": BASE}, {}, f"{BASE}/v1/traces", f"{BASE}/v1/metrics"),
        ({"ENDPOINT": f"{BASE}/x/"}, {}, f"{BASE}/x/v1/traces", f"{BASE}/x/v1/metrics"),
        ({"TRACES_ENDPOINT": f"{BASE}/t"}, {}, f"{BASE}/t", ""),
        (
            {"ENDPOINT": BASE, "METRICS_ENDPOINT": f"{BASE}/m"},
            {},
            f"{BASE}/v1/traces",
            f"{BASE}/m",
        ),
        (
            {"ENDPOINT": "http://a", "TRACES_ENDPOINT": "http://b"},
            {"otlp": Otlp(endpoint=BASE)},
            f"{BASE}/v1/traces",
            f"{BASE}/v1/metrics",
        ),
        ({}, {}, "", ""),
        ({"ENDPOINT": "http://collector.example:4318"}, {"offline": True}, "", ""),
        (
            {"ENDPOINT": "http://localhost:4318"},
            {"offline": True},
            "http://localhost:4318/v1/traces",
            "http://localhost:4318/v1/metrics",
        ),
        ({}, {"offline": True, "otlp": Otlp(endpoint="https://api.example")}, "", ""),
    ],
)
def test_where_telemetry_goes(
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    changes: dict[str, Any],
    traces: str,
    metrics: str,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_{name}", value)
    target = target_of(Settings(**changes))
    assert (target.traces, target.metrics, target.trouble) == (traces, metrics, "")


def test_the_settings_of_looking_on_come_from_the_environment_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SCHOLAR_TRACE__KEEP", "false")
    monkeypatch.setenv("SCHOLAR_OTLP__ENDPOINT", BASE)
    settings = load()
    assert (settings.trace.keep, settings.trace.content) == (False, False)
    assert target_of(settings).traces == f"{BASE}/v1/traces"
    assert not settings.otlp.content
    with pytest.raises(SettingsError, match="otlp"):
        load(otlp={"endpoint": "localhost:4318"})


def test_opentelemetrys_own_switches_are_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", BASE)
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "none")
    assert (target_of(Settings()).traces, target_of(Settings()).metrics) == (
        f"{BASE}/v1/traces",
        "",
    )
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert not target_of(Settings(otlp=Otlp(endpoint=BASE)))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [("PROTOCOL", "grpc", "http/protobuf"), ("ENDPOINT", "localhost:4318", "http://localhost")],
)
def test_what_of_the_environment_cannot_be_followed_is_said(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", BASE)
    monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_{name}", value)
    notices: list[str] = []
    assert open_telemetry(Settings(), notices.append) is None
    [notice] = notices
    assert said in notice


async def test_headers_names_and_compression_come_from_the_environment(
    desk: OpenDesk, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Basic%20abc,x-team=papers")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "my-scholar")
    await observed(desk, collector)
    assert {path for path, _ in collector.requests} == {"/v1/traces", "/v1/metrics"}
    for _, headers in collector.requests:
        assert headers["authorization"] == "Basic abc"
        assert headers["x-team"] == "papers"
        assert headers["content-type"] == "application/x-protobuf"
        assert headers["content-encoding"] == "gzip"
    assert collector.resource["service.name"] == "my-scholar"
    assert collector.one("invoke_agent scholar")


def nobody() -> str:
    """An address of this machine at which nobody answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://me:password@127.0.0.1:{free.getsockname()[1]}"


def refuses(collector: Collector) -> str:
    collector.answers = 503
    return collector.address


def sleeps(collector: Collector) -> str:
    collector.delay = 30.0
    return collector.address


@pytest.mark.slow
@pytest.mark.parametrize(
    ("broken", "why"),
    [(lambda _: nobody(), "refused"), (refuses, "503"), (sleeps, "time")],
    ids=["down", "refuses", "sleeps"],
)
async def test_a_collector_that_takes_nothing_costs_a_notice_and_no_more(
    desk: OpenDesk,
    collector: Collector,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    broken: Callable[[Collector], str],
    why: str,
) -> None:
    monkeypatch.setattr(otlp, "SEND_SECONDS", SEND_SECONDS)
    at = desk(honest, otlp=Otlp(endpoint=broken(collector)))
    notices: list[str] = []
    telemetry = opened(at.scholar.services.settings, notices)
    first = await watch(at, at.scholar.start(QUESTION), telemetry=telemetry)
    second = await watch(at, at.scholar.start(QUESTION), telemetry=telemetry)
    began = time.monotonic()
    telemetry.close()
    assert time.monotonic() - began < CLOSE_SECONDS + 0.5
    for watched in (first, second):
        assert watched.answer is not None
        assert watched.answer.outcome is Outcome.ANSWERED
    [notice] = notices
    assert why in notice
    assert "the run goes on without" in notice
    assert "password" not in notice
    assert not caplog.records
    assert capfd.readouterr().err == ""


async def test_a_collector_that_failed_is_left_alone_and_complained_of_once(
    desk: OpenDesk, collector: Collector
) -> None:
    at = desk(honest, otlp=Otlp(endpoint=refuses(collector)))
    notices: list[str] = []
    telemetry = opened(at.scholar.services.settings, notices)
    for _ in range(3):
        await watch(at, at.scholar.start(QUESTION), telemetry=telemetry)
        telemetry.flush()
    telemetry.close()
    assert len(notices) == 1
    assert len(collector.requests) == 2  # one of spans, one of metrics


async def test_no_package_that_is_used_adds_spans_of_its_own(
    desk: OpenDesk, collector: Collector
) -> None:
    await observed(desk, collector)
    assert {span.name.split()[0] for span in collector.spans} == {
        *"invoke_agent chat intake gate plan search read resolve compose verify".split(),
        *"deliberate publish".split(),
    }
