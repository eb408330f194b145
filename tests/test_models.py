"""`scholar models`, and the flags of `scholar ask` that bear on models, budgets and the cache."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command_line import KEY, command
from injected import closed_port, impatient
from minds import for_server, honest
from model_server import (
    Html,
    ModelServer,
    Raw,
    Script,
    Scripted,
    Status,
    Unfinished,
    Unmetered,
    refuse_param,
)
from office import OpenDesk
from papers import QUESTION

from scholar.backends.gateway import ATTEMPTS, REPAIRS, Gateway
from scholar.backends.ledger import Ledger
from scholar.backends.probe import probe
from scholar.estimate import estimate
from scholar.settings import Settings, load_presets


@pytest.fixture
def server(
    model: ModelServer, home: Path, shelf_home: Path, monkeypatch: pytest.MonkeyPatch
) -> ModelServer:
    """A model for every role, over the shelf, at first an honest one whose price is known."""
    monkeypatch.setenv("SCHOLAR_MODEL", f"openai:gpt-5-mini@{model.url}")
    return model


def prose(body: dict[str, Any]) -> Scripted:
    """A server that takes a schema and does not hold to it; its model does as it is told."""
    told = "fits this schema" in body["messages"][1]["content"]
    return '{"ok": true}' if told else "Red is one, and a week has seven days."


def picky(body: dict[str, Any]) -> Scripted:
    """A server that refuses schemas, seeds and the reporting of tokens."""
    for name in ("response_format", "seed", "stream_options"):
        if name in body:
            return refuse_param(name)
    return '{"colour": "red", "days": 7}'


# --- check


def test_each_model_of_every_chain_is_asked_once(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = [f"openai:{name}@{server.url}" for name in ("a", "b")]
    monkeypatch.setenv("SCHOLAR_MODELS__WRITER", json.dumps(chain))
    code, out, _ = command("models", "check", "--json")
    assert code == 0
    assert [request.body["model"] for request in server.requests] == ["gpt-5-mini", "a", "b"]
    assert [found["model"] for found in json.loads(out)][1:] == chain
    first = json.loads(out)[0]
    assert first["answers"] is first["json_schema"] is first["usage"] is first["seed"] is True
    assert "for every role" not in command("models", "check")[1]


def test_what_a_server_refuses_is_found_out_once_and_known_to_later_processes(
    server: ModelServer,
) -> None:
    server.use(picky)
    code, out, _ = command("models", "check")
    assert code == 0
    assert "takes the schema in the prompt" in out
    assert "reports no tokens" in out
    assert "takes no seed" in out
    server.use(for_server(honest))
    assert command("ask", QUESTION)[0] == 0
    for request in server.requests:
        assert not {"response_format", "seed", "stream_options"} & request.body.keys()
        assert "fits this schema" in request.body["messages"][1]["content"]


def test_a_server_that_takes_a_schema_for_nothing_is_found_out(server: ModelServer) -> None:
    server.use(prose)
    code, out, _ = command("models", "check")
    assert code == 0
    assert "takes the schema in the prompt" in out
    assert len(server.requests) == 1 + REPAIRS + 1
    server.use(for_server(honest))
    assert command("ask", QUESTION)[0] == 0
    assert not any("response_format" in request.body for request in server.requests)


def test_a_server_whose_model_had_to_be_corrected_is_found_out_too(server: ModelServer) -> None:
    left: list[Scripted] = ["Red.", '{"colour": "red", "days": 7}']
    server.use(lambda _: left.pop(0))
    code, out, _ = command("models", "check")
    assert (code, left) == (0, [])
    assert "takes the schema in the prompt" in out


def test_a_check_finds_out_anew_what_a_server_has_learnt_since(server: ModelServer) -> None:
    server.use(picky)
    command("models", "check")
    server.use(for_server(honest))
    assert "holds replies to a schema" in command("models", "check")[1]


# --- check, and the dialect that is spoken from then on

CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
WORDS = '{"colour": "red", "days": 7}'


def checked() -> dict[str, Any]:
    """What `models check` finds of the one model there is."""
    code, out, _ = command("models", "check", "--json")
    assert code == 0
    (found,) = json.loads(out)
    assert isinstance(found, dict)
    return found


def paths_of_a_question(server: ModelServer) -> set[str]:
    """Where a question that is asked in a later process goes."""
    before = len(server.requests)
    assert command("ask", QUESTION)[0] == 0
    return {request.path for request in server.requests[before:]}


def test_responses_are_taken_where_the_server_has_them_and_asked_once(server: ModelServer) -> None:
    server.use(for_server(honest), responses=for_server(honest))
    found = checked()
    assert [request.path for request in server.requests] == [RESPONSES]
    assert (found["dialect"], found["json_schema"], found["usage"]) == ("responses", True, True)
    assert found["seed"] is False
    assert " s by responses; holds replies to a schema" in command("models", "check")[1]
    assert json.loads(command("models", "list", "--json")[1])[0]["responses"] is True
    assert paths_of_a_question(server) == {RESPONSES}


def test_a_server_without_responses_is_asked_by_chat(server: ModelServer) -> None:
    assert checked()["dialect"] == "chat"
    assert " s by chat; holds replies to a schema" in command("models", "check")[1]
    assert json.loads(command("models", "list", "--json")[1])[0]["responses"] is False
    assert paths_of_a_question(server) == {CHAT}


def test_before_a_check_a_server_is_asked_by_chat(server: ModelServer) -> None:
    server.use(for_server(honest), responses=for_server(honest))
    assert json.loads(command("models", "list", "--json")[1])[0]["responses"] is None
    assert paths_of_a_question(server) == {CHAT}


def takes_no_schema(body: dict[str, Any]) -> Scripted:
    return refuse_param("text.format") if "text" in body else WORDS


PRETENDED: dict[str, Scripted | Script] = {
    "a page": Html(),
    "other JSON": Raw(b'{"object": "list", "data": []}', "application/json"),
    "an empty stream": Raw(b"data: [DONE]\n\n"),
    "events of chat": Raw(b'data: {"choices": [{"delta": {"content": "Red."}}]}\n\n'),
    "prose": "Red is one, and a week has seven days.",
    "prose that is told its form": prose,
    "another shape": '{"answer": "red"}',
    "no usage": Unmetered(WORDS),
    "no schemas": takes_no_schema,
    "half a reply": Unfinished(WORDS),
    "no entry": Status(403, {"error": {"message": "This path is not allowed."}}),
    "trouble": Status(500, {"error": {"message": "Panic"}}),
}


@pytest.mark.parametrize("said", PRETENDED.values(), ids=PRETENDED)
def test_responses_that_are_worse_than_chat_are_not_taken(
    server: ModelServer, said: Scripted | Script
) -> None:
    server.use(for_server(honest), responses=said if callable(said) else lambda _: said)
    with impatient():
        found = checked()
    assert (found["dialect"], found["json_schema"], found["usage"]) == ("chat", True, True)
    assert found["seed"] is True
    assert server.requests[0].path == RESPONSES
    assert paths_of_a_question(server) == {CHAT}


def test_a_schema_that_only_worked_when_corrected_is_no_schema_of_responses(
    server: ModelServer,
) -> None:
    left: list[Scripted] = ["Red.", WORDS]
    server.use(for_server(honest), responses=lambda _: left.pop(0))
    assert checked()["dialect"] == "chat"
    assert left == []


def test_responses_are_taken_where_chat_is_no_better(server: ModelServer) -> None:
    def modest(body: dict[str, Any]) -> Scripted:
        return refuse_param("text.format") if "text" in body else Unmetered(WORDS)

    server.use(picky, responses=modest)
    found = checked()
    assert found["dialect"] == "responses"
    assert found["json_schema"] is found["usage"] is False
    row = json.loads(command("models", "list", "--json")[1])[0]
    assert (row["json_schema"], row["refused"]) == (False, ["text"])
    server.use(picky, responses=for_server(honest))
    assert paths_of_a_question(server) == {RESPONSES}
    assert not any("text" in request.body for request in server.requests)


def test_responses_are_taken_where_chat_does_not_answer(server: ModelServer) -> None:
    broken = Status(400, {"error": {"message": "I am out of order."}})
    server.use(lambda _: broken, responses=lambda _: Unmetered(WORDS))
    found = checked()
    assert (found["dialect"], found["usage"]) == ("responses", False)
    server.use(lambda _: broken, responses=for_server(honest))
    assert paths_of_a_question(server) == {RESPONSES}


@pytest.mark.parametrize("holds", [True, False])
def test_a_model_that_only_responses_serve_is_checked_there(
    server: ModelServer, holds: bool
) -> None:
    where = "This model is only supported in v1/responses and not in v1/chat/completions."
    elsewhere = Status(404, {"error": {"message": where, "param": "model"}})
    server.use(lambda _: elsewhere, responses=for_server(honest) if holds else prose)
    found = checked()
    assert (found["dialect"], found["json_schema"]) == ("responses", holds)
    server.use(lambda _: elsewhere, responses=for_server(honest))
    assert paths_of_a_question(server) == {RESPONSES}


def test_a_server_that_has_lost_its_responses_is_found_out_by_a_question(
    server: ModelServer,
) -> None:
    server.use(for_server(honest), responses=for_server(honest))
    assert checked()["dialect"] == "responses"
    server.use(for_server(honest))
    assert paths_of_a_question(server) == {CHAT}
    assert json.loads(command("models", "list", "--json")[1])[0]["responses"] is False


async def test_a_server_that_is_not_there_is_not_tried_in_the_other_dialect(
    tmp_path: Path,
) -> None:
    ledger = Ledger(Settings().budget, lambda _: None)
    with closed_port() as nowhere, impatient():
        model = f"openai:tiny@{nowhere}"
        gateway = Gateway(Settings(home=tmp_path, model=model))
        try:
            found = await probe(gateway, model, model, ledger)
            assert gateway.facts(model).responses is None
        finally:
            await gateway.aclose()
    assert "start the server" in found.error
    assert len(ledger.calls) == ATTEMPTS


def test_a_model_that_does_not_answer_exits_with_4_and_its_sentence(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.use(lambda _: Status(401, {"error": {"message": f"Bad key {KEY}"}}))
    code, out, _ = command("models", "check")
    assert code == 4
    assert "set SCHOLAR_API_KEY" in out
    with closed_port() as nowhere, impatient():
        monkeypatch.setenv("SCHOLAR_MODEL", f"openai:tiny@{nowhere}")
        code, out, _ = command("models", "check", "--json")
    assert code == 4
    assert "start the server" in json.loads(out)[0]["error"]


def test_without_a_model_there_is_nothing_to_check(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SCHOLAR_MODEL")
    code, _, err = command("models", "check")
    assert code == 2
    assert "set SCHOLAR_MODEL" in err
    assert command("models", "list")[0] == 0


# --- list


def test_the_list_shows_chains_prices_and_what_was_measured(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = [f"openai:{name}@{server.url}" for name in ("gpt-5-mini", "own")]
    monkeypatch.setenv("SCHOLAR_MODELS__JUROR", json.dumps(chain))
    code, out, _ = command("models", "list")
    assert code == 0
    assert out.index("planner, reader, ideator, writer") < out.index("juror")
    assert "$0.25 in, $2 out" in out
    assert "price unknown · not measured yet" in out
    assert not server.requests
    command("models", "check")
    rows = json.loads(command("models", "list", "--json")[1])
    assert [(row["role"], row["place"]) for row in rows][-2:] == [("juror", 1), ("juror", 2)]
    assert rows[0]["calls"] == 1
    assert rows[0]["tokens_per_second"] > 0
    assert rows[0]["json_schema"] is True
    assert rows[0]["limits"]["concurrency"] == 8
    assert "to first token" in command("models", "list")[1]


# --- ask


def test_a_question_asked_again_is_answered_from_disk(server: ModelServer) -> None:
    first = json.loads(command("ask", QUESTION, "--json")[1])
    asked = len(server.requests)
    again = json.loads(command("ask", QUESTION, "--json")[1])
    assert asked == len(server.requests) == again["usage"]["cached"] == again["usage"]["calls"]
    assert again["usage"]["dollars"] == again["usage"]["input_tokens"] == 0
    assert again["sentences"] == first["sentences"]
    assert "6 calls (6 answered from disk)" in command("ask", QUESTION)[1]
    assert command("ask", QUESTION, "--no-cache")[0] == 0
    assert len(server.requests) == 2 * asked


def test_a_model_that_stands_in_is_shown_while_it_runs_and_in_the_answer(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closed_port() as nowhere, impatient():
        chain = [f"openai:tiny@{nowhere}", f"openai:gpt-5-mini@{server.url}"]
        monkeypatch.setenv("SCHOLAR_MODEL", json.dumps(chain))
        code, out, err = command("ask", QUESTION)
    assert code == 0
    instead = [line for line in err.splitlines() if line.startswith("  instead")]
    assert len(instead) == 6
    assert f"planner: {chain[1]} for {chain[0]}: Nothing usable answers" in instead[0]
    assert out.count("stood in for") == 1


@pytest.mark.parametrize("flag", ["--budget-dollars", "--budget-tokens"])
def test_a_budget_can_be_given_with_the_question(server: ModelServer, flag: str) -> None:
    code, out, err = command("ask", QUESTION, flag, "0", "--json")
    assert code == 6
    assert json.loads(out)["outcome"] == "budget_spent"
    assert "raise" in err
    assert not server.requests


def test_seconds_can_be_given_with_the_question(server: ModelServer) -> None:
    server.use(for_server(honest), first_token=5)
    code, out, _ = command("ask", QUESTION, "--budget-seconds", "0.3", "--json")
    assert code == 6
    assert json.loads(out)["usage"]["seconds"] < 2


@pytest.mark.parametrize("preset", load_presets())
def test_a_run_stays_within_its_estimate(server: ModelServer, preset: str) -> None:
    code, out, _ = command("ask", QUESTION, "--preset", preset, "--estimate", "--json")
    assert code == 0
    assert not server.requests
    said = json.loads(out)
    usage = json.loads(command("ask", QUESTION, "--preset", preset, "--json")[1])["usage"]
    used = {
        "calls": usage["calls"],
        "tokens": usage["input_tokens"] + usage["output_tokens"],
        "dollars": usage["dollars"],
    }
    for what, value in used.items():
        least, most = said[what]
        assert least <= value <= most, what
    assert "calls, " in command("ask", QUESTION, "--preset", preset, "--estimate")[1]


def test_an_estimate_without_a_price_says_so() -> None:
    known = Settings(model="openai:own")
    assert estimate(QUESTION, known.preset_named("fast"), known).dollars is None
    assert estimate(QUESTION, known.preset_named("fast"), known).calls == (2, 2)


async def test_an_estimate_is_also_had_from_python(desk: OpenDesk) -> None:
    at = desk(honest)
    assert at.scholar.estimate(QUESTION, preset="standard").calls == (6, 15)
    assert not at.backend.requests
