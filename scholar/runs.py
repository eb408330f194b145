"""A run's life: start it, watch it, end it early."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from os import PathLike, fspath
from typing import Any, Self

from scholar import settings as settings_module
from scholar.agents import ideas as generator
from scholar.agents import outliner, publisher
from scholar.context import Consult, Services, context_for
from scholar.errors import UsageError
from scholar.estimate import Estimate, estimate
from scholar.events import Called, Event, FellBack, Finished, Noted
from scholar.graph import Graph, build_graph, build_services
from scholar.library.ingest import Result, expand, ingest
from scholar.settings import Settings
from scholar.state import Failure, Question, State
from scholar.values import Answer, Call, Idea, Outcome


@dataclass
class Run:
    """One question on its way. Iterating over `events` drives it; the last one is `Finished`."""

    graph: Graph
    services: Services
    question: Question
    state: State = field(default_factory=State)
    calls: list[Call] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    async def events(self) -> AsyncGenerator[Event, None]:
        """What happens, as it happens. Closing the generator cancels what is under way.

        Raises UsageError where the question cannot be asked.
        """
        # The embedder loads while the planner's call is out.
        warming = asyncio.create_task(self.services.library.warm())
        parts: Any = self.graph.astream(
            self.question, context=self.services, stream_mode=["custom", "values"]
        )
        try:
            async with aclosing(parts):
                async for mode, data in parts:
                    if mode == "values":
                        self.state = data
                        continue
                    if isinstance(data, Called):
                        self.calls.append(data.call)
                    if isinstance(data, FellBack | Noted):
                        self.notes.append(data.note)
                    yield data
            yield Finished(self.state["answer"])
        finally:
            await asyncio.gather(warming, return_exceptions=True)

    async def cancelled(self) -> Answer:
        """What a run that was cut short had found: its answer, with the outcome `cancelled`."""
        state: State = {
            "question": self.question["question"],
            "run_id": self.services.new_id(),
            "started": self.services.clock(),
            **self.state,
            "calls": self.calls,
            "notes": list(dict.fromkeys([*self.state.get("notes", []), *self.notes])),
            "failure": Failure(Outcome.CANCELLED, "Cancelled; ask again to start over."),
        }
        context = context_for(state, self.services, lambda _: None)
        return (await publisher.publish(state, context))["answer"]


class Scholar:
    """The assistant from Python: one library, one set of models, any number of questions.

    Without arguments everything comes from the settings. `consult` is asked before a tool runs
    that may not without. Use it as an async context manager, or call `aclose` when done. Raises
    SettingsError or LibraryError on opening.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        services: Services | None = None,
        on_notice: Callable[[str], None] = lambda _: None,
        consult: Consult | None = None,
    ) -> None:
        if services is None:
            settings = settings or settings_module.load()
            services = build_services(settings, on_notice=on_notice, consult=consult)
        self.services = services
        self.graph = build_graph(self.services)

    async def add(self, *sources: str | PathLike[str]) -> list[Result]:
        """Add files, folders, bibliographies or arXiv ids; one result each, nothing raised."""
        settings = self.services.settings
        names = [fspath(source) for source in sources]
        items = await expand(self.services.library, names, settings)
        return [result async for result in ingest(self.services.library, items, settings)]

    async def ask(
        self, question: str, *, preset: str | None = None, k: int | None = None
    ) -> Answer:
        """Answer `question` from the library. `k` is the passages read per step of the plan.

        A run that fails is an answer too: look at its `outcome` and `notes`. Raises UsageError
        where the question or the preset cannot be used.
        """
        return await _answer_of(self.start(question, preset=preset, k=k))

    async def review(
        self,
        topic: str,
        *,
        columns: Sequence[str] = (),
        sections: int | None = None,
        preset: str = "review",
        k: int | None = None,
    ) -> Answer:
        """Review what the library says on `topic`: sections, and a table of the papers.

        The answer's sentences are the summary, and its `review` the rest. `columns` are those of
        the table, of the model's choice where none is named; there are at most `sections` sections.
        Raises UsageError where any of these cannot be used.
        """
        run = self.start_review(topic, columns=columns, sections=sections, preset=preset, k=k)
        return await _answer_of(run)

    def estimate(
        self, question: str, *, preset: str | None = None, k: int | None = None
    ) -> Estimate:
        """What `ask` would be likely to take, as ranges; nothing is called."""
        settings = self.services.settings
        return estimate(question, settings.preset_named(preset), settings, k)

    def start(self, question: str, *, preset: str | None = None, k: int | None = None) -> Run:
        """A run that has not begun; iterate over its `events` to drive it."""
        asked = Question(question=question, preset=preset or self.services.settings.preset)
        self.services.settings.preset_named(asked["preset"])
        if k is not None:
            asked["k"] = k
        return Run(self.graph, self.services, asked)

    def start_review(
        self,
        topic: str,
        *,
        columns: Sequence[str] = (),
        sections: int | None = None,
        preset: str = "review",
        k: int | None = None,
    ) -> Run:
        """The run of a review that has not begun, as `start`; raises UsageError as `review`."""
        run = self.start(topic, preset=preset, k=k)
        if len(columns) > outliner.MOST_COLUMNS:
            raise UsageError(
                f"A table has at most {outliner.MOST_COLUMNS} columns, and {len(columns)} are "
                "named; leave some out."
            )
        if sections is not None and not 1 <= sections <= outliner.MOST_SECTIONS:
            raise UsageError(
                f"A review cannot have {sections} sections; "
                f"give a number from 1 to {outliner.MOST_SECTIONS}."
            )
        wanted = Question(
            task="review", columns=list(columns), sections=sections or outliner.SECTIONS
        )
        run.question.update(wanted)
        return run

    async def ideas(
        self,
        topic: str,
        *,
        wanted: int = generator.IDEAS,
        new: int = 0,
        interactive: bool = False,
        preset: str | None = None,
    ) -> Answer:
        """Propose `wanted` research ideas on `topic`: they are the answer's `ideas`.

        With `new`, so many that no prior work has, as far as that was searched: known ones are
        replaced. `interactive` asks the person at hand what becomes of them before they are ranked.
        Raises UsageError where any of these cannot be used.
        """
        run = self.start_ideas(
            topic, wanted=wanted, new=new, interactive=interactive, preset=preset
        )
        return await _answer_of(run)

    def start_ideas(
        self,
        topic: str,
        *,
        wanted: int = generator.IDEAS,
        new: int = 0,
        interactive: bool = False,
        preset: str | None = None,
    ) -> Run:
        """The run of `ideas` that has not begun, as `start`; raises UsageError as `ideas`."""
        run = self.start(topic, preset=preset)
        if not 1 <= (new or wanted) <= generator.MOST_IDEAS:
            raise UsageError(
                f"A run cannot propose {new or wanted} ideas; "
                f"give a number from 1 to {generator.MOST_IDEAS}."
            )
        run.question.update(Question(task="ideas", wanted=wanted, new=new, interactive=interactive))
        return run

    def start_proposal(self, topic: str, idea: Idea, *, preset: str | None = None) -> Run:
        """A run that works `idea`, proposed on `topic`, out into a proposal of two pages.

        The parts are the answer's `proposal`.
        """
        run = self.start(topic, preset=preset)
        run.question.update(Question(task="proposal", idea=idea))
        return run

    async def aclose(self) -> None:
        """Let go of connections and files."""
        await self.services.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


async def _answer_of(run: Run) -> Answer:
    answer: Answer | None = None
    async with aclosing(run.events()) as events:
        async for event in events:
            if isinstance(event, Finished):
                answer = event.answer
    assert answer is not None  # a run ends in Finished or raises
    return answer
