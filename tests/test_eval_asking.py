"""Evaluations: what scripted models score, and that no question is paid for twice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest
from examinees import (
    QUESTIONS,
    capitals,
    claims,
    declines,
    disputes,
    invents,
    judging,
    knows,
    one_sided,
    overclaims,
)
from filelock import FileLock
from minds import Mind, Seen, call_of, for_backend, for_server, honest
from model_server import ModelServer, Status

from scholar.backends import Delta, Request
from scholar.backends.fake import FakeBackend
from scholar.errors import ModelError, ModelRejected, SettingsError, UsageError
from scholar.evaluation import sets
from scholar.evaluation.asking import MOST_FAILURES, Plan, evaluate
from scholar.evaluation.scores import Report
from scholar.evaluation.sets import Kind
from scholar.settings import Settings

FAST = Plan("fast")
NO_KEY = ModelRejected("The key was refused; set OPENAI_API_KEY.")


class Examiner:
    """Examines models on one set, keeping what they answer in one folder."""

    def __init__(self, folder: Path, out: Path, settings: Settings) -> None:
        self.folder, self.out, self.settings = folder, out, settings

    async def __call__(
        self, kind: Kind, mind: Mind | FakeBackend, plan: Plan = FAST, **changes: Any
    ) -> Report:
        questions = sets.read(kind, self.folder)
        backend = mind if isinstance(mind, FakeBackend) else FakeBackend(for_backend(mind))
        known = self.settings.model_copy(update=changes)
        return await evaluate(questions, known, self.out, plan, backends={"*": backend})


Make = Callable[[Path], Path]


@pytest.fixture
def examiner(tmp_path: Path, settings: Settings) -> Callable[[Make], Examiner]:
    return lambda make: Examiner(make(tmp_path / "set"), tmp_path / "out", settings)


def values(report: Report) -> dict[str, float | None]:
    return {name: estimate.value for name, estimate in report.scores.items()}


# What is scored


async def test_a_model_that_knows_scores_everything(
    examiner: Callable[[Make], Examiner],
) -> None:
    report = await examiner(capitals)("answer", knows)
    assert values(report) == dict.fromkeys(report.scores, 1.0)
    assert report.outcomes == {"answered": 4}
    assert all(estimate.of == 4 for estimate in report.scores.values())
    assert (report.failed, report.unjudged) == (0, 0)


async def test_a_model_that_invents_its_quotes_scores_nothing(
    examiner: Callable[[Make], Examiner],
) -> None:
    report = await examiner(capitals)("answer", invents)
    right = {name: report.scores[name].value for name in ("exact_match", "f1", "cover_match")}
    assert right == dict.fromkeys(right, 0.0)
    assert report.scores["answered"].value == 0
    assert report.scores["citation_recall"].of == 0  # nothing was stated


async def test_a_model_whose_quotes_do_not_carry_its_answers_has_no_citation_right(
    examiner: Callable[[Make], Examiner],
) -> None:
    report = await examiner(capitals)("answer", overclaims)
    assert values(report) == {**dict.fromkeys(report.scores, 0.0), "answered": 1.0}


async def test_quotes_that_are_shown_for_want_of_a_sentence_are_no_answer(
    examiner: Callable[[Make], Examiner],
) -> None:
    def miscounts(seen: Seen) -> Any:
        if seen.call != "answer":
            return knows(seen)
        said = knows(seen)
        return {**said, "sentences": [{**said["sentences"][0], "text": "It has 77 gates."}]}

    report = await examiner(capitals)("answer", miscounts)
    assert report.outcomes == {"partial": 4}
    assert '"quote": "The capital of Arda' in (Path(report.folder) / "answers.jsonl").read_text()
    assert report.scores["cover_match"].value == 0
    assert report.scores["answered"].value == 0
    assert report.scores["citation_recall"].of == 0


async def test_both_answers_of_a_conflict_have_to_be_reported(
    examiner: Callable[[Make], Examiner],
) -> None:
    both = await examiner(disputes)("conflict", knows)
    assert values(both) == dict.fromkeys(both.scores, 1.0)
    assert both.outcomes == {"conflicting": 3}


async def test_one_answer_of_a_conflict_is_half_of_it(
    examiner: Callable[[Make], Examiner],
) -> None:
    one = values(await examiner(disputes)("conflict", one_sided))
    assert (one["both"], one["either"]) == (0.0, 1.0)
    assert (one["conflicting"], one["both_words"]) == (0.0, 0.0)
    assert (one["citation_recall"], one["citation_precision"]) == (1.0, 1.0)


async def test_a_model_that_knows_abstains_where_the_support_is_left_out(
    examiner: Callable[[Make], Examiner],
) -> None:
    report = await examiner(capitals)("abstain", knows)
    assert values(report) == dict.fromkeys(report.scores, 1.0)
    assert (report.groups, report.items) == (4, 8)
    assert report.documents == {"whole": 8, "bereft": 4}


async def test_a_model_that_always_answers_never_abstains(
    examiner: Callable[[Make], Examiner],
) -> None:
    assert values(await examiner(capitals)("abstain", overclaims)) == {
        "abstention_precision": None,
        "abstention_recall": 0.0,
        "abstention_f1": 0.0,
        "coverage": 1.0,
        "accuracy": 0.0,
    }


async def test_a_model_that_never_answers_covers_nothing(
    examiner: Callable[[Make], Examiner],
) -> None:
    # 4 of its 8 abstentions are due, and it misses none: 2 * 0.5 * 1 / 1.5.
    assert values(await examiner(capitals)("abstain", declines)) == {
        "abstention_precision": 0.5,
        "abstention_recall": 1.0,
        "abstention_f1": pytest.approx(2 / 3),
        "coverage": 0.0,
        "accuracy": None,
    }


async def test_a_claim_without_evidence_is_one_to_abstain_from(
    examiner: Callable[[Make], Examiner],
) -> None:
    examine = examiner(claims)
    report = await examine("abstain", knows)
    assert values(report) == dict.fromkeys(report.scores, 1.0)
    assert report.items == 3
    examine.out = examine.out / "other"
    mixed = values(await examine("abstain", overclaims))
    assert (mixed["abstention_recall"], mixed["coverage"], mixed["accuracy"]) == (0, 1, 0)


async def test_calls_and_tokens_stand_beside_the_scores_and_judging_apart(
    examiner: Callable[[Make], Examiner],
) -> None:
    backend = FakeBackend(for_backend(knows))
    report = await examiner(capitals)("answer", backend)
    judged = [r for r in backend.requests if call_of(r) == "entails"]
    asked = len(backend.requests) - len(judged)
    assert report.costs["calls"].value == asked / 4 == 2  # read and write, and one juror
    assert report.judging["calls"] == len(judged) == 4
    tokens = report.costs["tokens"].value
    assert tokens is not None
    assert tokens > 100
    assert report.costs["dollars"].of == 0  # the price of the scripted model is not known
    assert report.costs["seconds"].of == 4


async def test_no_tool_may_bring_in_other_papers_or_reach_the_network(
    examiner: Callable[[Make], Examiner],
) -> None:
    backend = FakeBackend(for_backend(honest))
    plan = Plan("sibyl", limit=1, judge="none")
    report = await examiner(capitals)("answer", backend, plan, offline=False)
    assert report.outcomes == {"answered": 1}
    asked = [r.messages[0].content for r in backend.requests if call_of(r) == "tool_step"]
    assert asked
    assert all("search_library" in text and "arxiv" not in text for text in asked)


# What is kept


async def test_a_second_run_asks_nothing_and_finds_the_same(
    examiner: Callable[[Make], Examiner],
) -> None:
    examine, silent = examiner(capitals), FakeBackend([])
    first = await examine("answer", knows)
    assert await examine("answer", silent) == first
    assert silent.requests == []


async def test_a_cancelled_run_leaves_nothing_open_and_goes_on(
    examiner: Callable[[Make], Examiner],
) -> None:
    examine, third = examiner(capitals), asyncio.Event()

    class Hanging(FakeBackend):
        async def stream(self, request: Request) -> AsyncGenerator[Delta, None]:
            if call_of(request) == "answer" and len(self.requests) > 4:
                third.set()
                await asyncio.Event().wait()
            async for delta in super().stream(request):
                yield delta

    running = asyncio.create_task(
        examine("answer", Hanging(for_backend(knows)), Plan("fast", parallel=1))
    )
    await third.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    report = await examine("answer", judging(knows, again := list[str]()))
    assert report.items == 4
    assert again.count("answer") == 2


async def test_a_line_that_was_cut_short_is_asked_again(
    examiner: Callable[[Make], Examiner],
) -> None:
    examine = examiner(capitals)
    first = await examine("answer", knows)
    kept = Path(first.folder) / "answers.jsonl"
    text = kept.read_text("utf-8")
    kept.write_text(text[:-40], "utf-8")
    report = await examine("answer", judging(knows, again := list[str]()))
    assert again.count("answer") == 1
    assert values(report) == values(first)
    assert [json.loads(line)["id"] for line in kept.read_text("utf-8").splitlines()]


async def test_other_settings_do_not_mix(examiner: Callable[[Make], Examiner]) -> None:
    examine = examiner(capitals)
    first = await examine("answer", knows)
    others: list[tuple[Plan, dict[str, Any]]] = [
        (Plan("standard", judge="none"), {}),
        (FAST, {"context_window": 16_000}),
        (FAST, {"jury": examine.settings.jury.model_copy(update={"quorum": 2})}),
    ]
    for plan, changes in others:
        other = await examine("answer", declines, plan, **changes)
        assert other.folder != first.folder
    assert await examine("answer", FakeBackend([])) == first


async def test_another_model_is_another_run(examiner: Callable[[Make], Examiner]) -> None:
    examine = examiner(capitals)
    await examine("answer", FakeBackend(for_backend(knows), "one"))
    other = await examine("answer", FakeBackend(for_backend(declines), "two"))
    assert other.scores["cover_match"].value == 0
    assert set(other.models.values()) == {"two"}


async def test_a_changed_set_is_another_run(examiner: Callable[[Make], Examiner]) -> None:
    examine = examiner(capitals)
    first = await examine("answer", knows)
    corpus = examine.folder / "corpus.jsonl"
    corpus.write_text(corpus.read_text("utf-8").replace("old city", "young city"), "utf-8")
    assert (await examine("answer", knows)).folder != first.folder


async def test_a_higher_limit_asks_only_what_it_adds(
    examiner: Callable[[Make], Examiner],
) -> None:
    examine = examiner(capitals)
    few = await examine(
        "answer", judging(knows, first := list[str]()), Plan("fast", limit=1, seed=3)
    )
    more = await examine(
        "answer", judging(knows, then := list[str]()), Plan("fast", limit=3, seed=3)
    )
    assert (few.items, more.items) == (1, 3)
    assert (first.count("answer"), then.count("answer")) == (1, 2)


async def test_replies_of_a_question_that_broke_off_are_not_paid_twice(
    tmp_path: Path, settings: Settings
) -> None:
    questions = sets.read("answer", capitals(tmp_path / "set"))
    plan = Plan("standard", limit=1, judge="none")
    out = tmp_path / "out"

    def fails(seen: Seen) -> Any:
        return Status(401) if seen.call == "writer" else honest(seen)

    with ModelServer(for_server(fails)) as server:
        known = settings.model_copy(update={"model": f"openai:tiny@{server.url}"})
        broken = await evaluate(questions, known, out, plan)
        assert broken.outcomes == {"model_failed": 1}
        assert broken.failed == 1
        assert broken.scores["answered"].value == 0
        paid = broken.costs["tokens"].value
        server.use(for_server(judging(honest, again := list[str]())))
        whole = await evaluate(questions, known, out, plan)
    assert whole.outcomes == {"answered": 1}
    assert "planner" not in again
    assert "reader" not in again
    # What the first try took is still counted.
    assert paid is not None
    assert whole.costs["tokens"].value is not None
    assert whole.costs["tokens"].value > paid > 0


# What goes wrong


async def test_failures_between_answers_are_counted_and_end_nothing(
    tmp_path: Path, settings: Settings
) -> None:
    more = [
        {"_id": f"x{n}", "text": f"What is the capital of land {n}?", "answer": "nowhere"}
        for n in range(8)
    ]
    asked = list[str]()

    def every_other(seen: Seen) -> Any:
        asked.append(seen.call)
        return NO_KEY if len(asked) % 2 else declines(seen)

    questions = sets.read("answer", capitals(tmp_path / "set", queries=more))
    backend = FakeBackend(for_backend(every_other))
    plan = Plan("fast", parallel=1)
    out = tmp_path / "out"
    report = await evaluate(questions, settings, out, plan, backends={"*": backend})
    assert (report.items, report.failed) == (12, 6)
    assert report.failed > MOST_FAILURES
    assert report.outcomes == {"model_failed": 6, "no_evidence": 6}


async def test_a_model_that_fails_again_and_again_ends_the_run(
    tmp_path: Path, settings: Settings
) -> None:
    more = [
        {"_id": f"x{n}", "text": f"What is the capital of land {n}?", "answer": "nowhere"}
        for n in range(20)
    ]
    questions = sets.read("answer", capitals(tmp_path / "set", queries=more))
    backend = FakeBackend(lambda _: NO_KEY)
    plan = Plan("fast", parallel=1)
    with pytest.raises(ModelError, match=r"5 questions in a row failed.*key was refused.*go on"):
        await evaluate(questions, settings, tmp_path / "out", plan, backends={"*": backend})
    assert len(backend.requests) == MOST_FAILURES
    mind = FakeBackend(for_backend(judging(knows, again := list[str]())))
    report = await evaluate(questions, settings, tmp_path / "out", plan, backends={"*": mind})
    assert again.count("answer") == 24
    assert report.failed == 0


async def test_what_cannot_be_judged_is_missing_and_judged_next_time(
    examiner: Callable[[Make], Examiner],
) -> None:
    examine = examiner(capitals)
    first = next(iter(QUESTIONS.values()))

    def unsure(seen: Seen) -> Any:
        return NO_KEY if seen.call == "entails" and first in seen.text else knows(seen)

    report = await examine("answer", unsure)
    assert report.unjudged == 1
    assert report.scores["citation_recall"].of == 3
    assert report.scores["cover_match"].of == 4
    again: list[str] = []
    report = await examine("answer", judging(knows, again))
    assert again == ["entails"]
    assert report.unjudged == 0
    assert report.scores["citation_recall"].of == 4


async def test_without_a_judge_there_are_no_citation_scores(
    examiner: Callable[[Make], Examiner],
) -> None:
    examine = examiner(capitals)
    report = await examine(
        "answer", judging(knows, asked := list[str]()), Plan("fast", judge="none")
    )
    assert "entails" not in asked
    assert report.judge == ""
    assert report.scores["citation_precision"].value is None
    assert report.scores["cover_match"].value == 1
    # A judge that comes later judges what is there.
    report = await examine("answer", judging(knows, later := list[str]()))
    assert later == ["entails"] * 4
    assert report.scores["citation_precision"].value == 1


async def test_questions_are_asked_side_by_side_as_far_as_allowed(
    examiner: Callable[[Make], Examiner],
) -> None:
    class Slow(FakeBackend):
        now = most = 0

        async def stream(self, request: Request) -> AsyncGenerator[Delta, None]:
            self.now += 1
            self.most = max(self.most, self.now)
            for _ in range(200):
                await asyncio.sleep(0)
            async for delta in super().stream(request):
                yield delta
            self.now -= 1

    examine = examiner(capitals)
    one, three = (Slow(for_backend(knows), name) for name in ("one", "three"))
    await examine("answer", one, Plan("fast", judge="none", parallel=1))
    await examine("answer", three, Plan("fast", judge="none", parallel=3))
    assert one.most == 1
    assert 1 < three.most <= 3


async def test_two_at_once_do_not_ask_the_same(examiner: Callable[[Make], Examiner]) -> None:
    examine = examiner(capitals)
    report = await examine("answer", knows)
    with FileLock(Path(report.folder) / "run.lock"), pytest.raises(UsageError, match="--out"):
        await examine("answer", knows)


async def test_without_a_model_nothing_is_asked(tmp_path: Path, settings: Settings) -> None:
    questions = sets.read("answer", capitals(tmp_path / "set"))
    with pytest.raises(SettingsError, match="--model"):
        await evaluate(questions, settings, tmp_path / "out", FAST)
    assert not (tmp_path / "out").exists()


async def test_a_preset_that_is_not_there_is_refused(
    examiner: Callable[[Make], Examiner],
) -> None:
    with pytest.raises(SettingsError, match="slow"):
        await examiner(capitals)("answer", knows, Plan("slow"))
