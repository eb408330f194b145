"""Asking a set of questions, some at a time, and going on where an earlier run broke off.

Under one folder lie `libraries/`, one throwaway library for each set of documents, and a folder for
each combination of questions, preset, models, prompts and bounds. In it are `run.json`, which says
what they are; `answers.jsonl` and `calls.jsonl`, which grow as answers and calls come in; a file of
judgements for each judge; and the replies of the models, so that a question that was broken off
does not pay again for what it had asked.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from scholar import __version__, prompts, report
from scholar.backends.chain import Given as Backends
from scholar.backends.chain import public_id
from scholar.backends.gateway import Gateway
from scholar.context import Services
from scholar.errors import ModelError, SettingsError, SourceError
from scholar.evaluation import judges, metrics, scores
from scholar.evaluation.judges import judge_named
from scholar.evaluation.keeping import (
    Progress,
    alone,
    digest,
    kept_library,
    numbered,
    prompt_text,
    slug,
)
from scholar.evaluation.rows import Row, RowFile
from scholar.evaluation.scores import Done, Given, Judgement, Report
from scholar.evaluation.sets import Item, QuestionSet
from scholar.events import Called, Event
from scholar.journal.threads import UNANSWERED
from scholar.runs import Scholar
from scholar.settings import Role, Settings
from scholar.state import draft_of
from scholar.values import Answer, Call, Draft, Outcome

MOST_FAILURES = 5
"""Questions that may fail one after another: a hiccup takes fewer, an outage or a key takes all."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a set is asked: by which preset, how many questions, how many at once, judged by whom.

    `judge` is a model id, `nli:FOLDER`, `none`, or, empty, whatever plays the juror.
    """

    preset: str = ""
    limit: int | None = None
    seed: int = 0
    parallel: int = 4
    judge: str = ""


async def evaluate(
    questions: QuestionSet,
    settings: Settings,
    out: Path,
    plan: Plan,
    *,
    backends: Backends | None = None,
    on_notice: Callable[[str], None] = lambda _: None,
    on_progress: Progress = lambda *_: None,
) -> Report:
    """Ask what has not been asked yet, judge what has not been judged, and report on all of it.

    `backends` come before the models that `settings` name. Raises SettingsError without models,
    UsageError where another process is at it, and ModelError or SourceError where one question
    after another failed; what was answered by then is kept.
    """
    preset = plan.preset or settings.preset
    settings.preset_named(preset)
    identity = _identity(questions, settings, preset, backends)
    folder = out / f"{questions.kind}-{slug(questions.name)}-{preset}-{digest(identity)}"
    async with AsyncExitStack() as opened:
        opened.enter_context(alone(folder))
        (folder / "run.json").write_text(json.dumps(identity, indent=2), encoding="utf-8")
        gateway = Gateway(
            settings.model_copy(update={"home": folder}), backends, on_notice=on_notice
        )
        opened.push_async_callback(gateway.aclose)
        run = _Evaluation(questions, settings, folder, plan, preset, gateway)
        # What one question's tools brought in would answer the next, so the models alone are asked.
        tools = settings.tools.model_copy(update={"read_only": True})
        closed = settings.model_copy(update={"home": folder, "offline": True, "tools": tools})
        for name, documents in questions.shelves.items():
            if any(item.shelf == name for item in run.items):
                contents = [asdict(document) for document in documents]
                entries = [numbered(n, d.title, d.text) for n, d in enumerate(documents)]
                shelf = kept_library(out, contents, entries, settings, on_notice, on_progress)
                library = await opened.enter_async_context(shelf)
                run.scholars[name] = Scholar(services=Services(closed, library, gateway))
        await run.finish(on_progress)
    return run.report(identity["models"])


class _Evaluation:
    """The items of one run, the journals they are kept in, and who answers and judges them."""

    def __init__(
        self,
        questions: QuestionSet,
        settings: Settings,
        folder: Path,
        plan: Plan,
        preset: str,
        gateway: Gateway,
    ) -> None:
        self.items = questions.some(plan.limit, plan.seed)
        self.scholars: dict[str, Scholar] = {}
        self._questions, self._folder, self._plan, self._preset = questions, folder, plan, preset
        self._answers = RowFile(folder / "answers.jsonl")
        self._calls = RowFile(folder / "calls.jsonl")
        named = judges.NOBODY if questions.kind == "abstain" else plan.judge
        self._judge = judge_named(named, gateway, settings, self._note_judging)
        self._judgements = self._open_judgements()
        self._given = {row["id"]: Given.of(row) for row in self._answers.rows}
        rows = self._judgements.rows if self._judgements else ()
        self._judged = {row["id"]: Judgement.of(row) for row in rows}
        self._failures = 0

    async def finish(self, on_progress: Progress) -> None:
        """Answer and judge whatever is left."""
        left = [item for item in self.items if not self._is_done(item)]
        ready = len(self.items) - len(left)
        on_progress("Asking", ready, len(self.items))

        async def work(item: Item) -> None:
            nonlocal ready
            await self._work(item)
            ready += 1
            on_progress("Asking", ready, len(self.items))

        await _each(left, work, self._plan.parallel)

    def _is_done(self, item: Item) -> bool:
        given = self._given.get(item.id)
        if given is None or given.outcome in UNANSWERED:
            return False
        return self._judge is None or item.id in self._judged

    async def _work(self, item: Item) -> None:
        given = self._given.get(item.id)
        if given is None or given.outcome in UNANSWERED:
            answer, draft = await self._ask(item)
            row = _row(item, answer, draft)
            self._answers.add(row)
            given = self._given[item.id] = Given.of(row)
            if given.outcome in UNANSWERED:
                self._failed(given.outcome, answer.notes)
                return
        try:
            await self._judge_of(item, given)
        except ModelError as error:
            self._failed(Outcome.MODEL_FAILED, (str(error),))
        else:
            self._failures = 0

    async def _ask(self, item: Item) -> tuple[Answer, Draft]:
        """The answer, and the draft that it was published from."""
        run = self.scholars[item.shelf].start(item.question, preset=self._preset)

        def note(event: Event) -> None:
            if isinstance(event, Called):
                self._calls.add({"id": item.id, "call": asdict(event.call)})

        return await run.answer(note), draft_of(run.state)

    async def _judge_of(self, item: Item, given: Given) -> None:
        if self._judge is None or self._judgements is None:
            return
        judged = await asyncio.gather(
            *(metrics.judge(one, self._judge.entails) for one in given.stated)
        )
        both: Sequence[bool] = ()
        if self._questions.kind == "conflict":
            both = (False, False)
            if given.lines:
                both = await self._judge.reported(item.question, given.lines, item.statements)
        row = {"id": item.id, "sentences": [asdict(one) for one in judged], "reported": list(both)}
        self._judgements.add(row)
        self._judged[item.id] = Judgement.of(row)

    def _failed(self, outcome: Outcome, notes: Sequence[str]) -> None:
        self._failures += 1
        if self._failures >= MOST_FAILURES:
            why = notes[0] if notes else "no reason was given."
            kind = SourceError if outcome is Outcome.TOOLS_FAILED else ModelError
            raise kind(
                f"{self._failures} questions in a row failed, the last because: {why} "
                "What was answered is kept; run the command again to go on."
            )

    def _note_judging(self, call: Call) -> None:
        self._calls.add({"judge": self._judge.name if self._judge else "", "call": asdict(call)})

    def _open_judgements(self) -> RowFile | None:
        if self._judge is None:
            return None
        wording = [prompt_text(name) for name in judges.PROMPTS]
        name = digest([self._judge.name, wording])
        return RowFile(self._folder / f"judged-{slug(self._judge.name)}-{name}.jsonl")

    def report(self, models: Mapping[str, str]) -> Report:
        """What has come of all items that were asked."""
        calls: dict[str, list[Row]] = {}
        for row in self._calls.rows:
            calls.setdefault(row.get("id", ""), []).append(row)
        done = [
            Done(
                item,
                given,
                [row["call"] for row in calls.get(item.id, ())],
                self._judged.get(item.id),
            )
            for item in self.items
            if (given := self._given.get(item.id))
        ]
        kind = self._questions.kind
        name = self._judge.name if self._judge else ""
        judging = [row["call"] for row in calls.get("", ()) if row["judge"] == name]
        outcomes = Counter(one.given.outcome.value for one in done)
        failed = [one for one in done if one.given.outcome in UNANSWERED]
        return Report(
            kind=kind,
            name=self._questions.name,
            preset=self._preset,
            models=models,
            judge=name,
            items=len(done),
            groups=len({one.item.group for one in done}),
            scores=scores.score(done, scores.MEASURES[kind], self._plan.seed),
            costs=scores.score(done, scores.COSTS, self._plan.seed),
            outcomes=dict(outcomes.most_common()),
            failed=len(failed),
            unjudged=sum(one.judgement is None for one in done) - len(failed) if name else 0,
            judging=scores.spent(judging),
            folder=str(self._folder),
            seed=self._plan.seed,
            documents={name: len(shelf) for name, shelf in self._questions.shelves.items()},
        )


def _row(item: Item, answer: Answer, draft: Draft) -> Row:
    """What is kept of an answer; it was `written` unless the quotes alone were left to show."""
    texts = {sentence.text for sentence in draft.sentences}
    written = bool(answer.conflicts) or any(one.text in texts for one in answer.sentences)
    return {
        "id": item.id,
        "missing": draft.missing,
        "written": written,
        "answer": report.to_json(answer),
    }


async def _each(
    items: Iterable[Item], work: Callable[[Item], Awaitable[None]], parallel: int
) -> None:
    """`work` on all items, so many at once; the first error ends all of it."""
    waiting = iter(items)

    async def worker() -> None:
        for item in waiting:
            await work(item)

    workers = [asyncio.create_task(worker()) for _ in range(parallel)]
    try:
        await asyncio.gather(*workers)
    finally:
        for task in workers:
            task.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


def _identity(
    questions: QuestionSet, settings: Settings, preset: str, backends: Backends | None
) -> dict[str, Any]:
    """All that decides what is answered. Two runs that differ in any of it are kept apart."""
    asked = [(item.id, item.question, item.shelf) for item in questions.items]
    shelves = {
        name: [asdict(document) for document in documents]
        for name, documents in questions.shelves.items()
    }
    wording = [prompt_text(name) for name in prompts.names() if name not in judges.PROMPTS]
    return {
        "scholar": __version__,
        "kind": questions.kind,
        "set": questions.name,
        "contents": digest([asked, shelves]),
        "preset": preset,
        "bounds": settings.preset_named(preset).model_dump(mode="json"),
        "models": _models(settings, backends),
        "jury": _hidden(settings.jury.model_dump(mode="json")),
        "budget": settings.budget.model_dump(mode="json"),
        "embedder": settings.embedder,
        "context_window": settings.context_window,
        "prompts": digest(wording),
    }


def _models(settings: Settings, backends: Backends | None) -> dict[str, str]:
    """What plays each role; SettingsError where nothing does."""
    named: dict[str, str] = {}
    for role in get_args(Role):
        given = (backends or {}).get(role) or (backends or {}).get("*") or ()
        several = given if isinstance(given, Sequence) else (given,)
        chain = [one.name for one in several] or map(public_id, settings.chain_for(role))
        named[role] = ", ".join(chain)
    if not all(named.values()):
        raise SettingsError(
            "An evaluation needs a model for every role; use --model, or set SCHOLAR_MODEL."
        )
    return named


def _hidden(jury: dict[str, Any]) -> dict[str, Any]:
    return {**jury, "models": {name: public_id(id) for name, id in jury["models"].items()}}
